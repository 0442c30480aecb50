"""The family that trains nothing: its rows obey a known law, so the whole road can be calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from orchestrator.errors import BadOption
from orchestrator.planning.family import ModelShape, UnitGroup
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.bounds import Exponent, Factor, Level, SecondsOrNone
from orchestrator.spec.options import Options


class SimulatedOptions(Options):
    """YAML keys beside ``family: simulated``: the law that rows obey and what a stage costs."""

    alpha: Exponent = Field(0.3, description="exponent of N")
    beta: Exponent = Field(0.25, description="exponent of D")
    gamma: Exponent = Field(0.1, description="exponent of E")
    delta: Exponent = Field(0.0, description="exponent of the fine-tuning examples d")
    zeta: Exponent = Field(0.0, description="exponent of the fine-tuning epochs e")
    eta: Exponent = Field(0.0, description="exponent of the share of bytes kept")
    C: Factor = Field(2000.0, description="factor before the power law")
    floor: Level = Field(1.5, description="loss that no size or data takes away")
    noise: Level = Field(0.01, description="standard deviation of the log-normal noise")
    stage_s: SecondsOrNone = Field(0.0, description="seconds that a stage sleeps")


class Simulated:
    """Any size is buildable and costs 2N FLOPs an example forward, 6N in training."""

    name = "simulated"
    head = ""
    Options = SimulatedOptions
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"learning_rate": 0.001, "weight_decay": 0.0, "gradient_clip": None} for name in ("adamw", "sgd")
    }
    simulated = True
    training = "workers.families.simulated.train:TrainedSimulated"

    @staticmethod
    def shape_for(params: int, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the shape of exactly ``params`` parameters.

        Raises
        ------
        BadInput
            If the data isn't the source ``simulated``.
        """
        if data.classes or data.input_shape:
            raise BadOption("model", "family", f"simulated trains nothing on {data.task!r}: use data source simulated")
        return ModelShape(
            family="simulated",
            dims=(("params", params),),
            params_total=params,
            params_non_embedding=params,
            forward_flops=2 * params,
            train_flops=6 * params,
        )

    @staticmethod
    def shape_on(shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the same shape.

        Raises
        ------
        BadInput
            If the data isn't the source ``simulated``.
        """
        return Simulated.shape_for(shape.params_total, options, data)

    @staticmethod
    def activation_bytes(shape: ModelShape, data: DataManifest, *, half: bool) -> int:
        """Return none: nothing is trained."""
        return 0

    @staticmethod
    def weights(shape: ModelShape) -> list[tuple[str, tuple[int, ...]]]:
        """Return none: there is nothing to compress, and every compression fits."""
        return []

    @staticmethod
    def unit_groups(shape: ModelShape) -> list[UnitGroup]:
        """Return none."""
        return []
