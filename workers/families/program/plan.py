"""The family whose models a program describes, counts and trains (``family: program``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator

from orchestrator.errors import BadOption, UnbuildableSize
from orchestrator.planning.family import ModelShape, UnitGroup
from orchestrator.planning.manifest import DataManifest
from orchestrator.programs.description import DescribedModel
from orchestrator.spec.options import Options
from orchestrator.spec.registries import OPTIMIZERS

#: A described size counts as the one asked for within this factor.
FACTOR = 2.0


class ProgramOptions(Options):
    """YAML keys beside ``family: program``."""

    options: dict[str, Any] = Field(
        default_factory=dict, description="Handed on to the program as JSON; scalaw reads none of it."
    )

    @field_validator("options")
    @classmethod
    def _as_json(cls, options: dict[str, Any]) -> dict[str, Any]:
        try:
            text = json.dumps(options, allow_nan=False)
        except ValueError as error:
            raise ValueError("must be finite numbers, text, true, false, null, lists and mappings") from error
        if len(text) > 100_000:
            raise ValueError("more than 100,000 characters; name a file beside the program instead")
        return options


class ProgramFamily:
    """Models as a program describes them; ``of`` gives it the description.

    What a sweep leaves at ``auto`` is for the program to choose, and handed on as null; the learning rate alone must be
    a number.
    """

    name = "program"
    head = ""
    Options = ProgramOptions
    simulated = False
    training = "workers.families.program.train:TrainedProgram"
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"weight_decay": None, "gradient_clip": None, "precision": None} for name in OPTIMIZERS.names()
    }

    def __init__(self) -> None:
        self._models: dict[int, DescribedModel] = {}

    def of(self, params: Sequence[int], models: Sequence[DescribedModel]) -> ProgramFamily:
        """Return the family of the sizes that were asked for and described."""
        family = ProgramFamily()
        family._models = dict(zip(params, models, strict=True))
        return family

    def shape_for(self, params: int, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the size that was described where this one was asked for.

        Raises
        ------
        UnbuildableSize
            If it has less than half or more than twice as many parameters.
        """
        model = self._models[params]
        found = model.params_non_embedding
        if not params / FACTOR <= found <= params * FACTOR:
            raise UnbuildableSize(
                f"{params:,} were asked for and the program describes a model of {found:,}, more than a "
                "factor of two off; let it build nearer, or ask for another size"
            )
        return ModelShape(
            family="program",
            dims=(("model", json.dumps(model.dims, sort_keys=True)), *_described_weights(model)),
            params_total=model.params_total,
            params_non_embedding=found,
            forward_flops=model.train_flops // 3,
            train_flops=model.train_flops,
        )

    @staticmethod
    def shape_on(shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Refuse: a program describes one data set.

        Raises
        ------
        BadOption
            Always.
        """
        raise BadOption("grid", "finetune", "a program has one data set, so it isn't fine-tuned on another")

    @staticmethod
    def activation_bytes(shape: ModelShape, data: DataManifest, *, half: bool) -> None:
        """Return nothing: what a program takes of memory it alone knows."""

    @staticmethod
    def weights(shape: ModelShape) -> list[tuple[str, tuple[int, ...]]]:
        """Return those that the program describes, in its order."""
        described: dict[str, list[int]] = json.loads(str(dict(shape.dims).get("weights", "{}")))
        return [(name, tuple(sizes)) for name, sizes in described.items()]

    @staticmethod
    def unit_groups(shape: ModelShape) -> list[UnitGroup]:
        """Return none."""
        return []


def _described_weights(model: DescribedModel) -> list[tuple[str, str]]:
    """Return what may be compressed as a dimension, so that cells of a program without any keep their ids."""
    return [("weights", json.dumps(model.weights))] if model.weights else []


def described_model(shape: ModelShape) -> dict[str, Any]:
    """Return a shape as the program described it."""
    return {
        "params_total": shape.params_total,
        "params_non_embedding": shape.params_non_embedding,
        "train_flops": shape.train_flops,
        "dims": json.loads(str(dict(shape.dims)["model"])),
    }


def described_data(manifest: DataManifest) -> dict[str, Any]:
    """Return data as the program described them."""
    return {
        "name": manifest.task,
        "digest": manifest.digest,
        "train_examples": manifest.train_examples,
        "val_examples": manifest.val_examples,
        "test_examples": manifest.test_examples,
        "tokens_per_example": manifest.tokens_per_example,
    }
