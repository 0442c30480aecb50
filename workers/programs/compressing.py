"""A program's weights made smaller by our compressors, and written back as dense ones, which the program scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from orchestrator.planning.compressed import CompressStep
from orchestrator.planning.family import ModelShape
from orchestrator.spec.registries import COMPRESSORS
from workers.compressing import restored
from workers.compressors.session import Parts, TrainedCompressor
from workers.programs.state import ProgramState
from workers.programs.weights import Arrays, compressible, read_weights, weights_file, written
from workers.training.state import arrays_of


def compress(state: ProgramState, step: CompressStep, name: str) -> ProgramState:
    """Return a state with a compression more.

    Parameters
    ----------
    name
        Of the weights file.

    Raises
    ------
    BadAnswer
        If the weights are not those that were described.
    """
    matrices = compressible(read_weights(weights_file(state, name), name), name, step.before)
    module = _module(matrices, state)
    compressor: TrainedCompressor = COMPRESSORS.load_training(step.method)()
    parts = Parts([f"{_layer(weight)}.weight" for weight in matrices], [])
    session = compressor.session(module, step.options, parts, 0, lambda: _layers(matrices))
    facts = {"method": step.method, **session.finish()}
    before = state.before if state.facts else state.result
    return replace(state, model=arrays_of(session.module), facts=(*state.facts, facts), result=None, before=before)


def dense(state: ProgramState, shape: ModelShape, name: str) -> bytes:
    """Return the weights file of a compressed state: what the compressed weights come to, as dense ones."""
    original = weights_file(state, name)
    arrays = read_weights(original, name)
    matrices = compressible(arrays, name, shape)
    module = _module(matrices, state)
    for weight in matrices:
        layer = module.get_submodule(_layer(weight))
        product = _product(layer).detach().numpy()
        arrays[weight] = product.reshape(arrays[weight].shape)
    return written(arrays, original)


def packed(state: ProgramState, shape: ModelShape, name: str) -> Arrays:
    """Return all arrays of a compressed state as they are packed: those of the compressed layers, and the rest."""
    arrays = read_weights(weights_file(state, name), name)
    matrices = compressible(arrays, name, shape)
    return {**{weight: array for weight, array in arrays.items() if weight not in matrices}, **state.model}


def _module(matrices: Mapping[str, np.ndarray], state: ProgramState) -> nn.Module:
    """Return the layers of a state, with the structure and values that compressions have given them."""
    module = _layers(matrices)
    return restored(module, state) if state.facts else module


def _layers(matrices: Mapping[str, np.ndarray]) -> nn.Module:
    """Return a module that holds nothing but Linear layers at the places that the weights' names tell of."""
    root = nn.Module()
    for weight, matrix in matrices.items():
        outputs, inputs = matrix.shape
        layer = nn.Linear(inputs, outputs, bias=False, device="meta")
        layer.weight = nn.Parameter(torch.from_numpy(np.array(matrix)))
        *above, last = _layer(weight).split(".")
        owner: Any = root
        for part in above:
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner._modules[part]
        owner.add_module(last, layer)
    return root


def _layer(weight: str) -> str:
    return weight.removesuffix(".weight")


def _product(layer: nn.Module) -> torch.Tensor:
    """Return the matrix that a layer, or a chain of layers in its place, multiplies with."""
    if isinstance(layer, nn.Sequential):
        first, *others = [_product(each) for each in layer]
        for other in others:
            first = other @ first
        return first
    return layer.get_parameter("weight")
