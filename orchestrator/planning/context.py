"""What every stage of a sweep needs to know; a worker is given it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.planning.manifest import DataManifest
from orchestrator.planning.tasks import Task
from orchestrator.programs.program import Program
from orchestrator.spec.plugins.code import PluginCode
from orchestrator.spec.sections.inference import Inference

#: Training examples scored for a row's ``train_loss``.
TRAIN_SCORE_EXAMPLES = 256


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """One data set that cells are trained and scored on.

    Parameters
    ----------
    source, options
        Registry name and options of the data source.
    manifest
        What planning read of it; a worker refuses data with another digest.
    """

    source: str
    options: Mapping[str, Any]
    manifest: DataManifest

    def scored_examples(self, most: int) -> int:
        """Return how many examples are scored to measure one cell: validation, test and a sample of training."""
        return min(most, self.manifest.val_examples) + min(most, self.manifest.test_examples) + TRAIN_SCORE_EXAMPLES


@dataclass(frozen=True, kw_only=True)
class KeepOrder:
    """Whose final weights a worker writes to the store.

    Parameters
    ----------
    sweep
        Whose cells compete.
    most
        How many of the best of each task; ``None`` for all.
    cells
        Ids of those that are kept however they do.
    """

    sweep: str
    most: int | None
    cells: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The part of a sweep that its stages share; plain data that travels to any worker.

    Parameters
    ----------
    family, model_options
        Registry name and options of the model family.
    data
        ``pretrain`` and, where cells are fine-tuned, ``finetune``.
    eval_examples
        Most examples of a held-back split that are scored.
    simulated
        True where nothing is trained.
    inference
        How latency and memory are measured.
    eval_every
        Steps between validation losses on the way; ``None``: none.
    tasks
        What language models are asked beside their loss.
    keep
        Whose final weights go to the store.
    plugins
        Code of people's own that the stages run.
    program
        The trainer of ``family: program``.
    """

    family: str
    model_options: Mapping[str, Any]
    data: Mapping[str, TaskData]
    eval_examples: int
    simulated: bool
    inference: Inference
    plugins: tuple[PluginCode, ...] = ()
    tasks: tuple[Task, ...] = ()
    program: Program | None = None
    eval_every: int | None = None
    keep: KeepOrder | None = None

    @property
    def why_no_weights(self) -> str | None:
        """Why there are no weights to keep, or ``None`` where there are."""
        if self.simulated:
            return "simulated trains nothing, so there are no weights to keep"
        if self.program is not None:
            return f"the weights of the program {self.program.manifest.name} are its own; let it save them itself"
        return None

    @property
    def manifest(self) -> DataManifest:
        """Of the pretraining data."""
        return self.data["pretrain"].manifest
