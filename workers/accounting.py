"""What a finished model weighs, and what is left of its parent's quality (I10)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from orchestrator.planning.cell import Cell
from orchestrator.planning.context import RunContext
from orchestrator.planning.family import ModelShape
from workers.compressors.prune.units import shortfall
from workers.serving.model_file import Model, stored_bits, to_bytes


class Finished(Protocol):
    """A model's arrays, and what compressions made of it."""

    @property
    def model(self) -> Mapping[str, np.ndarray]:
        """Parameters and buffers by name."""

    @property
    def facts(self) -> Sequence[dict[str, Any]]:
        """Of each compression, in order."""


@dataclass(frozen=True)
class Packed:
    """One that is no state: what is written, and no more."""

    model: Mapping[str, np.ndarray]
    facts: Sequence[dict[str, Any]]


def model_of(context: RunContext, shape: ModelShape, state: Finished, *, data: str) -> Model:
    """Return a state's model as it is written to a file."""
    manifest = context.data[data].manifest
    about = {
        "family": shape.family,
        "dims": dict(shape.dims),
        "options": dict(context.model_options),
        "facts": list(state.facts),
        "data": {
            "task": manifest.task,
            "tokens_per_example": manifest.tokens_per_example,
            "input_shape": list(manifest.input_shape),
            "classes": manifest.classes,
            **({} if manifest.document_end is None else {"document_end": manifest.document_end}),
        },
    }
    return Model(about, dict(state.model))


def account(
    context: RunContext,
    cell: Cell,
    parameters: set[str],
    state: Finished,
    scores: Mapping[str, Any],
    *,
    reference: Mapping[str, float],
    in_nats: bool,
) -> dict[str, Any]:
    """Return bytes, bits, density, rank ratio, ε and fidelity of a cell's model.

    ``parameters`` are the names of its trained arrays, ``reference`` the scores and bytes of the model before it was
    compressed.
    ``bits_per_param`` counts what is written for the parameters, scales and masks included, over the parent's number of
    parameters (a student's own). ``fidelity`` is the share of accuracy kept, of a language model ``e^-Δloss``; it is
    null where the loss is a family's own (not ``in_nats``) and there is no accuracy.
    """
    model = model_of(context, cell.shape, state, data=cell.data)
    size = len(to_bytes(model))
    found = {
        "model_bytes": size,
        "bits_per_param": stored_bits(model, parameters) / cell.shape.params_total,
        "density": math.prod(fact.get("density", 1.0) for fact in state.facts),
        "rank_ratio": math.prod(fact.get("rank_ratio", 1.0) for fact in state.facts),
    }
    if reference:
        was = reference
        if in_nats and context.data[cell.data].manifest.tokens_per_example is not None:
            fidelity: float | None = math.exp(was["val_loss"] - scores["val_loss"])
        else:
            fidelity = scores["accuracy"] / was["accuracy"] if was.get("accuracy") and "accuracy" in scores else None
        found |= {"epsilon": size / was["model_bytes"], "fidelity": fidelity}
    return found


def unmet(row: Mapping[str, Any], facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a compression was asked for and did not do."""
    found = [sentence for fact in facts if "asked" in fact for sentence in shortfall(fact["asked"], fact["density"])]
    if row.get("epsilon", 0.0) >= 1:
        found.append(f"nothing became smaller: {row['epsilon']:.4g} times the bytes of what was compressed")
    return found
