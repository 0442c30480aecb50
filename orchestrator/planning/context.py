"""What every stage of a sweep needs to know; a worker is given it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.planning.manifest import DataManifest

#: Training examples scored for a row's ``train_loss``.
TRAIN_SCORE_EXAMPLES = 256


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The part of a sweep that its stages share; plain data that travels to any worker.

    Parameters
    ----------
    family, model_options
        Registry name and options of the model family.
    source, data_options
        Registry name and options of the data source.
    manifest
        What planning read of the data; a worker refuses data with another digest.
    eval_examples
        Most examples of a held-back split that are scored.
    simulated
        True where nothing is trained.
    """

    family: str
    model_options: Mapping[str, Any]
    source: str
    data_options: Mapping[str, Any]
    manifest: DataManifest
    eval_examples: int
    simulated: bool
