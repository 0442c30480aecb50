"""A training state ↔ the bytes of one checkpoint: safetensors, with JSON in its metadata (I6).

The arrays are named ``model/NAME``, ``optimizer/NAME``, ``origin/NAME``, ``curve/NAME`` and ``sums/LENGTH/NAME``. The
JSON says what is no array, whether the stage was done, and carries a SHA-256 over all of it: names, types, shapes,
values. So a bit that flipped anywhere is noticed, unless it changes nothing that is read, and other tools can open the
file.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from orchestrator.store.checkpoints import DamagedCheckpoint
from workers.safetensors_metadata import metadata_of
from workers.training.state import TrainState

#: Rises with every change that an older scalaw would misread.
FORMAT = 4
#: The oldest that is read: it has no curve.
OLDEST = 3
#: Name of the JSON in the metadata.
METADATA_KEY = "scalaw_checkpoint"


def to_bytes(state: TrainState) -> bytes:
    """Return a state as bytes; equal states give equal bytes.

    Raises
    ------
    TypeError
        If an array has a type that safetensors does not know.
    """
    sums = {f"sums/{length}/{k}": v for length, running in state.sums.items() for k, v in running.items()}
    model = {f"model/{k}": v for k, v in state.model.items()}
    optimizer = {f"optimizer/{k}": v for k, v in state.optimizer.items()}
    # safetensors writes an array's memory as it lies; np.ascontiguousarray would make 0-d arrays 1-d
    origin = {f"origin/{k}": v for k, v in state.origin.items()}
    curve = {f"curve/{k}": v for k, v in state.curve.items()}
    named = model | optimizer | origin | curve | sums
    arrays = {k: np.asarray(v, v.dtype.newbyteorder("<"), order="C") for k, v in named.items()}
    facts: dict[str, Any] = {"format": FORMAT, "step": state.step, "wall_s": state.wall_s}
    facts |= {"windows": sorted(state.sums), "phase": state.phase}
    facts |= {"compressions": list(state.facts), "reference": state.reference}
    facts |= {"done": state.done, "micro_batches": state.micro_batches, "trained": state.trained}
    facts["sha256"] = _digest(facts, arrays)
    try:
        return save(arrays, {METADATA_KEY: json.dumps(facts, sort_keys=True)})
    except SafetensorError as error:
        raise TypeError(f"a state of step {state.step} can't be saved: {error}") from error


def from_bytes(data: bytes) -> TrainState:
    """Return the state in a checkpoint; its arrays share no memory with ``data``.

    Raises
    ------
    DamagedCheckpoint
        If the bytes are truncated or changed, are another program's, or were written by a newer scalaw.
    """
    try:
        arrays = load(data)
        metadata = metadata_of(data)
    except (SafetensorError, ValueError) as error:
        raise DamagedCheckpoint(f"a damaged checkpoint: {error}") from error
    except KeyError as error:
        raise DamagedCheckpoint(f"no checkpoint of scalaw: it holds an array of type {error}") from error
    facts = _facts(metadata)
    if facts.pop("sha256", None) != _digest(facts, arrays):
        raise DamagedCheckpoint("a damaged checkpoint: its checksum differs from what was written")
    found: dict[str, dict[str, np.ndarray]] = {"model": {}, "optimizer": {}, "origin": {}, "curve": {}}
    sums: dict[int, dict[str, np.ndarray]] = {length: {} for length in facts["windows"]}
    for key, value in arrays.items():
        kind, _, name = key.partition("/")
        if kind == "sums":
            length, _, name = name.partition("/")
            sums[int(length)][name] = value
        else:
            found[kind][name] = value
    return TrainState(
        step=facts["step"],
        model=found["model"],
        optimizer=found["optimizer"],
        sums=sums,
        wall_s=facts["wall_s"],
        phase=facts["phase"],
        facts=tuple(facts["compressions"]),
        reference=facts["reference"],
        done=facts["done"],
        origin=found["origin"],
        micro_batches=facts["micro_batches"],
        trained=facts.get("trained", ""),
        curve=found["curve"],
    )


def _facts(metadata: dict[str, str]) -> dict[str, Any]:
    """Return what the metadata says, once it is known to be ours and of a format that we read."""
    if METADATA_KEY not in metadata:
        raise DamagedCheckpoint("no checkpoint of scalaw: another program wrote this safetensors file")
    try:
        facts: dict[str, Any] = json.loads(metadata[METADATA_KEY])
        newer, older = facts["format"] > FORMAT, facts["format"] < OLDEST
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedCheckpoint("a damaged checkpoint: its metadata can't be read") from error
    if newer:
        raise DamagedCheckpoint(
            f"a checkpoint of a newer scalaw (format {facts['format']}, this one reads up to {FORMAT}): upgrade scalaw"
        )
    if older:
        raise DamagedCheckpoint(
            f"a checkpoint of an older scalaw (format {facts['format']}), which doesn't say whether its stage was done"
        )
    return facts


def _digest(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for key, value in sorted(arrays.items()):
        digest.update(json.dumps([key, value.dtype.name, value.shape]).encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
