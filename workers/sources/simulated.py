"""The data of ``family: simulated``: a number of examples and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from orchestrator.errors import BadOption
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.bounds import Examples
from orchestrator.spec.options import Options
from workers.sources.source import Dataset


class SimulatedDataOptions(Options):
    """YAML keys beside ``source: simulated``."""

    examples: Examples = Field(1_000_000, description="examples that data_fraction 1.0 means")


class SimulatedData:
    """Examples that are counted and never read."""

    name = "simulated"
    Options = SimulatedDataOptions

    @staticmethod
    def manifest(options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Return sizes and identity: no tokens, no input, nothing held back."""
        examples = SimulatedDataOptions.model_validate(options).examples
        return DataManifest(
            task="simulated",
            digest=hashlib.sha256(f"simulated {examples}".encode()).hexdigest(),
            train_examples=examples,
            val_examples=0,
            test_examples=0,
            tokens_per_example=None,
            input_shape=(),
            classes=0,
        )

    @staticmethod
    def load(options: Mapping[str, Any], *, context: int) -> Dataset:
        """Refuse: there is nothing to load.

        Raises
        ------
        BadInput
            Always.
        """
        raise BadOption("data", "source", "simulated holds no data to train on: use it with model.family simulated")
