"""What is found out about a module: its output layer, which parameters are N, what may be compressed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from workers.families.own.family import Family

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def head_of(family: Family, module: nn.Module) -> str:
    """Return the name of the output layer, or nothing where there is none that can be told."""
    if family.head:
        return family.head
    wide = [
        name
        for name, layer in module.named_modules()
        if name and isinstance(layer, nn.Linear) and layer.out_features == family.data.classes
    ]
    return wide[-1] if wide else ""


def non_embedding(family: Family, module: nn.Module) -> int:
    """Return N: the parameters that are not embeddings."""
    left_out = family.embeddings
    if left_out is None:
        layers = [name for name, layer in module.named_modules() if isinstance(layer, nn.Embedding | nn.EmbeddingBag)]
        if family.data.tokens_per_example and (head := head_of(family, module)):
            layers.append(head)
        left_out = tuple(f"{name}." if name else "" for name in layers)
    return sum(
        parameter.numel()
        for name, parameter in module.named_parameters()
        if not any(name.startswith(beginning) for beginning in left_out)
    )


def weights_of(family: Family, module: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    """Return name and shape of every weight that may be compressed, in the module's order."""
    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear | _Convolution)]
    if family.gives("blocks"):
        inside = {id(part) for block in family.blocks(module) for part in block.modules()}
        head = head_of(family, module)
        chosen = {name for name, layer in layers if id(layer) in inside or name == head}
    else:
        first = next((name for name, layer in layers if isinstance(layer, _CONVOLUTIONS)), None)
        chosen = {name for name, _ in layers if name != first}
    wanted = {f"{name}.weight" if name else "weight" for name in chosen}
    return [(name, tuple(p.shape)) for name, p in module.named_parameters() if name in wanted]


_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


def groups_of(family: Family, module: nn.Module) -> Sequence[tuple[float, bool, list[nn.Parameter]]]:
    """Return the family's parameter groups, or the usual two: what decays, and what doesn't."""
    if family.gives("parameter_groups"):
        return list(family.parameter_groups(module))
    embedded = {
        id(parameter)
        for layer in module.modules()
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag)
        for parameter in layer.parameters(recurse=False)
    }
    decays: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for parameter in module.parameters():
        (decays if parameter.ndim > 1 and id(parameter) not in embedded else rest).append(parameter)
    return [(1.0, True, decays), (1.0, False, rest)]


def built(family: Family, dims: dict[str, int | str]) -> nn.Module:
    """Return the module of a candidate.

    Raises
    ------
    TypeError
        If ``build`` returns something else.
    """
    module = family.build(dict(dims))
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"build({dict(dims)}) returned {type(module).__name__}, not a torch.nn.Module")
    return module
