"""A finished model ↔ the bytes of one file: safetensors, with JSON in its metadata (I10).

The JSON names the family, the dimensions and options from which the module is built, what compressions made of it and
how each array is written; so the file is all that it takes to run the model, and its length is what a row calls
``model_bytes``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from orchestrator.errors import BadInput
from workers.safetensors_metadata import metadata_of
from workers.serving.tensors import decoded, encoded

#: Name of the JSON in the metadata.
METADATA_KEY = "scalaw_model"
#: Rises with every change that an older scalaw would misread.
FORMAT = 1
#: Suffix by which the scales of a quantised weight stand beside it.
SCALE = "_scale"
#: What an array is written as: itself, or a mask, the values and the whole numbers that it leaves.
SUFFIXES = ("", "mask", "values", "codes")


@dataclass(frozen=True)
class Model:
    """What is written.

    Parameters
    ----------
    about
        JSON-able: ``family``, ``dims``, ``options``, ``data`` (what the module reads and answers) and ``facts``.
    arrays
        Parameters and buffers by name.
    """

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]


def to_bytes(model: Model) -> bytes:
    """Return a model as bytes; equal models give equal bytes."""
    parts, ways = _encoded(model)
    about = {"format": FORMAT, **model.about, "arrays": ways}
    return save(parts, {METADATA_KEY: json.dumps(about, sort_keys=True)})


def from_bytes(data: bytes) -> Model:
    """Return the model in a file, equal to the bit.

    Raises
    ------
    BadInput
        If it is damaged, or no such file.
    """
    try:
        parts = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BadInput(f"no model file of scalaw, or a damaged one: {error}") from error
    about = header_of(data)
    if about.pop("format") > FORMAT:
        raise BadInput("a model file of a newer scalaw: upgrade scalaw")
    ways = about.pop("arrays")
    arrays: dict[str, np.ndarray] = {}
    for name, how in sorted(ways.items(), key=lambda item: not item[0].endswith(SCALE)):  # scales first
        there = {suffix: _key(name, suffix) for suffix in SUFFIXES if _key(name, suffix) in parts}
        mine = {suffix: parts[key] for suffix, key in there.items()}
        arrays[name] = decoded(mine, how, arrays.get(name + SCALE))
    return Model(about, {name: arrays[name] for name in ways})


def header_of(data: bytes) -> dict[str, Any]:
    """Return what a file says about its model, its arrays unread; raises as `from_bytes`."""
    try:
        about: dict[str, Any] = json.loads(metadata_of(data)[METADATA_KEY])
    except (ValueError, KeyError) as error:
        raise BadInput(f"no model file of scalaw, or a damaged one: {error}") from error
    return about


def stored_bits(model: Model, parameters: set[str]) -> int:
    """Return the bits of what is written for some arrays, scales and masks included, names and JSON not."""
    parts, _ = _encoded(model)
    owners = {_key(name, suffix) for name in parameters for suffix in SUFFIXES}
    owners |= {name + SCALE for name in parameters}
    return 8 * sum(part.nbytes for key, part in parts.items() if key in owners)


def _encoded(model: Model) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    bits = {name: fact["bits"] for fact in model.about["facts"] for name in fact.get("quantized", ())}
    parts: dict[str, np.ndarray] = {}
    ways: dict[str, Any] = {}
    for name, array in model.arrays.items():
        written, ways[name] = encoded(array, model.arrays.get(name + SCALE) if name in bits else None, bits.get(name))
        parts |= {_key(name, suffix): part for suffix, part in written.items()}
    return parts, ways


def _key(name: str, suffix: str) -> str:
    return f"{name}#{suffix}" if suffix else name
