"""What we make of a program's weights: the mean of a window, a compressed model, and what either takes in bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Stage
from workers.accounting import Packed, account, model_of, unmet
from workers.checkpointer import StateGone
from workers.programs.state import ProgramState
from workers.programs.weights import check_weights, read_weights, weights_file, with_average
from workers.serving.model_file import SCALE, to_bytes
from workers.threads import ThreadCount
from workers.training.merge import merged


def made(stage: Stage, parent: ProgramState, name: str, threads: int) -> ProgramState:
    """Return the state at the end of a ``merge`` or ``compress`` stage.

    Parameters
    ----------
    name
        Of the file that holds the weights.

    Raises
    ------
    StateGone
        If nothing of the parent was kept.
    BadAnswer
        If its weights are not those that were described.
    """
    if not parent.files:
        raise StateGone((stage.parent or stage.id,), "the state before this stage was scored, and not kept")
    parent = replace(parent, trained=parent.trained or stage.parent or "")
    if stage.kind == "merge":
        like = read_weights(weights_file(parent, name), name)
        snapshots = len(stage.recipe.snapshot_steps(stage.stop_step))
        return with_average(parent, merged(parent.sums[stage.stop_step], like, snapshots), name)
    assert stage.compress is not None
    from workers.programs.compressing import compress  # torch, which programs alone do without

    with ThreadCount()(threads):
        return compress(parent, stage.compress, name)


def substitute(stage: Stage, state: ProgramState | None, name: str | None, threads: int) -> bytes | None:
    """Return the weights file that takes the place of a state's own, if any does."""
    if name is None or state is None or not (state.facts or state.averaged is not None):
        return None
    if not state.facts:
        return weights_file(state, name)
    from workers.programs.compressing import dense  # torch, which programs alone do without

    with ThreadCount()(threads):
        return dense(state, stage.shape, name)


def with_final_weights(stage: Stage, state: ProgramState, name: str | None, threads: int) -> ProgramState:
    """Return a state whose weights file is what was scored: averaged, compressed, or the program's own."""
    data = substitute(stage, state, name, threads)
    if data is None:
        return state
    final = np.frombuffer(data, dtype=np.uint8)
    return replace(state, files=tuple((path, final if path == name else file) for path, file in state.files))


def before_compression(state: ProgramState) -> ProgramState:
    """Return the state that compressions began with."""
    return replace(state, model={}, facts=(), result=state.before, before=None)


def weighed(
    context: RunContext,
    stage: Stage,
    state: ProgramState,
    row: dict[str, Any],
    name: str,
    accuracy: Callable[[], float],
) -> dict[str, Any]:
    """Return what a model takes, packed as those of our own families are, and what a compression has kept.

    Parameters
    ----------
    accuracy
        Asks for that of the model before it was compressed; called where this one has one.

    Raises
    ------
    BadAnswer
        If the file doesn't hold what was described.
    """
    cell = stage.cell
    assert cell is not None, "what is measured is a cell"
    file = weights_file(state, name)
    check_weights(file, name, cell.shape)  # the check before the sweep saw the smallest size alone
    plain = ours = Packed(read_weights(file, name), ())
    reference: dict[str, float] = {}
    if state.facts:
        from workers.programs.compressing import packed  # torch, which programs alone do without

        ours = Packed(packed(state, cell.shape, name), state.facts)
        reference["model_bytes"] = len(to_bytes(model_of(context, cell.shape, plain, data=cell.data)))
        if row.get("accuracy") is not None:
            reference["accuracy"] = accuracy()
    trained = {array for array, value in ours.model.items() if np.issubdtype(value.dtype, np.floating)}
    trained -= {array for array in trained if array.endswith(SCALE)}
    found = account(context, cell, trained, ours, row, reference=reference, in_nats=False)
    return {**found, "warnings": "; ".join(unmet(found, state.facts)) or None}
