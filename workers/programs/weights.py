"""The weights of a program's states, where its manifest names the safetensors file that holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from orchestrator.planning.family import ModelShape
from orchestrator.programs.exchange import BadAnswer
from orchestrator.spec.registries import FAMILIES
from workers.programs.state import ProgramState
from workers.safetensors_metadata import kinds_of, metadata_of

#: Types that are averaged as they stand: those that numpy has.
PLAIN: Final = frozenset(["F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"])
Arrays = dict[str, np.ndarray]


def weights_file(state: ProgramState, name: str) -> bytes:
    """Return the bytes of the file that holds a state's weights; the averaged ones, where they were averaged.

    Raises
    ------
    BadAnswer
        If the state has no such file.
    """
    if state.averaged is not None:
        return state.averaged.tobytes()
    for path, data in state.files:
        if path == name:
            return data.tobytes()
    raise BadAnswer(f"the state {state.step} holds no {name}, which program.toml names as its weights")


def read_weights(data: bytes, name: str) -> Arrays:
    """Return the arrays of a weights file.

    Raises
    ------
    BadAnswer
        If it is no safetensors file, or holds a type that numpy has not.
    """
    try:
        kinds = kinds_of(data)
        for array, (kind, _) in kinds.items():
            if kind not in PLAIN:
                raise BadAnswer(f"{name}: {array[:80]} is {kind}; save plain weights as float32")
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadAnswer(f"{name} is no safetensors file: {str(error)[:200]}") from None
    if not any(np.issubdtype(array.dtype, np.floating) for array in arrays.values()):
        raise BadAnswer(f"{name} holds no floating-point array")
    return {array: arrays[array] for array in kinds}


def check_weights(data: bytes, name: str, shape: ModelShape) -> None:
    """Compare a weights file with what was described of its model.

    Raises
    ------
    BadAnswer
        If it is none, holds fewer numbers than the model has parameters, or lacks a weight that may be compressed.
    """
    arrays = read_weights(data, name)
    there = sum(array.size for array in arrays.values() if np.issubdtype(array.dtype, np.floating))
    if there < shape.params_total:
        raise BadAnswer(f"{name} holds {there:,} numbers, and the model has {shape.params_total:,} parameters")
    compressible(arrays, name, shape)


def compressible(arrays: Mapping[str, np.ndarray], name: str, shape: ModelShape) -> Arrays:
    """Return the weights that may be compressed as matrices (outputs, inputs), kernels flattened.

    Raises
    ------
    BadAnswer
        If one isn't there, has another shape than was described, or is no float32.
    """
    found: Arrays = {}
    for weight, sizes in FAMILIES.load(shape.family)().weights(shape):
        array = arrays.get(weight)
        if array is None:
            raise BadAnswer(f"{name} holds no {weight[:80]}, which was described as a weight that may be compressed")
        if array.shape != tuple(sizes):
            raise BadAnswer(
                f"{name}: {weight[:80]} has the shape {list(array.shape)} and was described as {list(sizes)}"
            )
        if array.dtype != np.float32:
            raise BadAnswer(f"{name}: {weight[:80]} is {array.dtype}; what may be compressed must be float32")
        found[weight] = array.reshape(sizes[0], math.prod(sizes[1:]))
    return found


def written(arrays: Mapping[str, np.ndarray], like: bytes) -> bytes:
    """Return a weights file of other values, with the metadata of another one."""
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata_of(like) or None)


def with_average(state: ProgramState, arrays: Mapping[str, np.ndarray], name: str) -> ProgramState:
    """Return a state whose weights are others'."""
    data = written(arrays, weights_file(state, name))
    return replace(state, sums={}, averaged=np.frombuffer(data, dtype=np.uint8), result=None)


def like_each_other(running: Mapping[str, Any], arrays: Mapping[str, np.ndarray], name: str, step: int) -> None:
    """Refuse a snapshot that has other arrays than those before it.

    Raises
    ------
    BadAnswer
        As said.
    """
    if running and {k: v.shape for k, v in running.items()} != {k: v.shape for k, v in arrays.items()}:
        raise BadAnswer(f"{name} of the state {step} has other names or shapes than the one before: no mean of them")
