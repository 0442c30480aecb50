"""Layers of rounded weights and inputs → layers that multiply integers, by torchao.

The weights are the whole numbers and scales of the model file; the inputs are rounded as `Int8Linear` rounds them.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from workers.compressors.quantize.int8_linear import Int8Linear
from workers.compressors.quantize.train import SCALE


def with_whole_numbers(module: nn.Module) -> tuple[nn.Module, str | None]:
    """Return a copy of a module whose `Int8Linear` layers compute in integers, and why not where they don't.

    A module without such layers is returned as it is.
    """
    names = [name for name, layer in module.named_modules() if isinstance(layer, Int8Linear)]
    if not names:
        return module, None
    try:
        from torchao.quantization import Int8Tensor, PerRow
        from torchao.quantization.quantize_.workflows import QuantizeTensorToInt8Kwargs
    except ImportError:
        return module, "torchao isn't installed (pip install torchao): floats stood for the whole numbers"
    served = copy.deepcopy(module)
    for name in names:
        layer = served.get_submodule(name)
        assert isinstance(layer, Int8Linear)
        scale = layer.get_buffer("weight" + SCALE)
        codes = (layer.weight.detach() / scale).round().to(torch.int8)
        whole = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        weight = Int8Tensor(
            codes, scale, [1, layer.in_features], torch.float32, act_quant_kwargs=QuantizeTensorToInt8Kwargs(PerRow())
        )
        whole.weight, whole.bias = nn.Parameter(weight, requires_grad=False), layer.bias
        parent, _, last = name.rpartition(".")
        setattr(served.get_submodule(parent), last, whole.eval())
    return served, None
