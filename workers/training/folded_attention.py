"""Attention under ``torch.vmap``: the copies are folded into the batch, so the usual kernel runs once for all of them.

torch has no batching rule for its CPU attention kernel. Left alone, ``vmap`` calls it once a copy, with a warning; the
plain (math) kernel is batched, but slower, and it rounds unlike the one that a single model runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


class FoldedAttention(TorchFunctionMode):
    """Within this context ``scaled_dot_product_attention`` folds; with a mask or dropout it is left as it is."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace attention, call everything else."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and len(args) == 3 and kwargs.keys() <= {"is_causal", "scale"}:
            return _Folded.apply(*args, kwargs.get("is_causal", False), kwargs.get("scale"))
        return func(*args, **kwargs)


class _Folded(torch.autograd.Function):
    """Queries, keys and values (B, H, T, K) in, (B, H, T, K) out.

    Autograd records what ``vmap`` below calls. ``forward`` and ``backward`` serve inputs that no copy has for itself.
    """

    @staticmethod
    def forward(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, is_causal: bool, scale: float | None
    ) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal, scale=scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.options = inputs[3:]

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        leaves = [t.detach().requires_grad_() for t in ctx.saved_tensors]
        with torch.enable_grad():
            mixed = _Folded.forward(*leaves, *ctx.options)
        return *torch.autograd.grad(mixed, leaves, grad), None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Sequence[int | None],
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        is_causal: bool,
        scale: float | None,
    ) -> tuple[torch.Tensor, int]:
        copies = info.batch_size
        q, k, v = (
            (t.expand(copies, *t.shape) if dim is None else t.movedim(dim, 0)).flatten(0, 1)
            for t, dim in zip((q, k, v), in_dims[:3], strict=True)
        )
        return _Folded.forward(q, k, v, is_causal, scale).unflatten(0, (copies, -1)), 0
