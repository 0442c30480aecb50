"""N and FLOPs of a family's candidates, counted on modules that have shapes and no values (I10)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.errors import BadInput
from orchestrator.planning.manifest import DataManifest
from workers.families.own.family import Family
from workers.families.own.modules import built, head_of, non_embedding, weights_of
from workers.training.nested import leaves

#: Candidates that are looked at; a family that offers more has to take larger steps.
MOST_CANDIDATES: Final = 100_000
#: Examples of the batch on which FLOPs are counted; BatchNorm refuses one alone.
EXAMPLES: Final = 2
META: Final = torch.device("meta")


class Candidates:
    """A family's sizes, counted where the search for one passes."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._coming: Iterator[Any] = iter(family.sizes())
        self.dims: list[dict[str, int | str]] = []
        self._counted: dict[int, int] = {}

    def nearest(self, params: int) -> int:
        """Return the place of the candidate whose N is nearest to what is asked."""
        for place in (0, 1, 2):
            self._there(place)
            if place < len(self.dims):
                self.count(place)
        step = 1
        while self._there(step) and self.count(step) < params:
            step *= 2
        last = min(step, len(self.dims) - 1)
        above = bisect_left(range(last), params, key=self.count)
        near = [place for place in (above - 1, above) if 0 <= place <= last]
        return min(near, key=lambda place: abs(self.count(place) - params))

    def count(self, place: int) -> int:
        """Return the N of a candidate.

        Raises
        ------
        BadInput
            If it has no more than a smaller one.
        """
        if place not in self._counted:
            self._counted[place] = non_embedding(self.family, meta_module(self.family, self.dims[place]))
            ordered = sorted(self._counted.items())
            for (before, fewer), (after, more) in pairwise(ordered):
                if more <= fewer:
                    raise BadInput(
                        f"sizes() doesn't grow: {self.dims[before]} has N = {fewer:,}, and {self.dims[after]}, which "
                        f"comes after it, {more:,}; give candidates in the order of their parameters, each once"
                    )
        return self._counted[place]

    def _there(self, place: int) -> bool:
        while len(self.dims) <= place:
            given = next(self._coming, None)
            if given is None:
                if not self.dims:
                    raise BadInput("sizes() gives no candidate: yield mappings such as {'width': 64}")
                return False
            self.dims.append(_checked(given))
            if len(self.dims) > MOST_CANDIDATES:
                raise BadInput(f"sizes() gives more than {MOST_CANDIDATES:,} candidates below what was asked")
        return True


def _checked(given: Any) -> dict[str, int | str]:
    wrong = not isinstance(given, Mapping) or not given
    if wrong or any(not isinstance(k, str) or type(v) not in (int, str) for k, v in given.items()):
        raise BadInput(f"sizes() gives {given!r}: a candidate is a mapping of names to whole numbers or texts")
    return dict(given)


def meta_module(family: Family, dims: Mapping[str, int | str]) -> nn.Module:
    """Return a candidate's module without values; one that computes with values while it is built is built whole."""
    try:
        with META:
            return built(family, dict(dims))
    except (NotImplementedError, RuntimeError):
        return built(family, dict(dims)).to(META)


def shape_facts(family: Family, dims: Mapping[str, int | str]) -> dict[str, Any]:
    """Return all that planning knows of a candidate: counts, FLOPs of one example, and what may be compressed."""
    module = meta_module(family, dims)
    head = head_of(family, module)
    try:
        flops = _flops(family, module, head, META)
    except (NotImplementedError, RuntimeError):  # reads values, which there are none of on the meta device
        torch.manual_seed(0)
        flops = _flops(family, built(family, dict(dims)), head, torch.device("cpu"))
    return {
        "dims": dict(dims),
        "params_total": sum(parameter.numel() for parameter in module.parameters()),
        "params_non_embedding": non_embedding(family, module),
        **flops,
        "weights": [[name, list(size)] for name, size in weights_of(family, module)],
        "head": head,
    }


def _flops(family: Family, module: nn.Module, head: str, device: torch.device) -> dict[str, int]:
    batch = batch_of(family.data, EXAMPLES, device)
    module.train()
    with sdpa_kernel(SDPBackend.MATH):  # torch counts nothing for its fused attention on CPU
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            loss_on(family, module, batch)
        with FlopCounterMode(display=False) as both:
            loss_on(family, module, batch).backward()
        last = 0
        if head:
            for name, parameter in module.named_parameters():
                parameter.requires_grad_(name.startswith(f"{head}."))
            with FlopCounterMode(display=False) as of_head:
                loss_on(family, module, batch).backward()
            last = of_head.get_total_flops() - forward.get_total_flops()
    return {
        "activation_bytes": _kept_bytes(family, module, batch) // EXAMPLES,
        "forward_flops": forward.get_total_flops() // EXAMPLES,
        "train_flops": both.get_total_flops() // EXAMPLES,
        "head_flops": last // EXAMPLES,
    }


def _kept_bytes(family: Family, module: nn.Module, batch: Any) -> int:
    """Return what the graph holds for the backward pass, beside weights and batch, and the largest of it once more.

    At its turning point the backward pass has a gradient as large as what it begins with, mostly the logits.
    """
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    known = {t.untyped_storage()._cdata for t in (*module.parameters(), *module.buffers(), *_tensors(batch))}
    kept: dict[int, torch.UntypedStorage] = {}

    def noticed(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # held, so that no other storage gets its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(noticed, lambda tensor: tensor):
        loss = loss_on(family, module, batch)
    sizes = [storage.nbytes() for place, storage in kept.items() if place not in known]
    del loss
    return sum(sizes) + max(sizes, default=0)


def _tensors(batch: Any) -> list[torch.Tensor]:
    return [leaf for leaf in leaves(batch) if isinstance(leaf, torch.Tensor)]


def loss_on(family: Family, module: nn.Module, batch: Any) -> torch.Tensor:
    """Return the family's loss of a batch, by default the cross-entropy of its logits.

    Raises
    ------
    BadInput
        If what comes out is no loss.
    """
    if family.gives("loss"):
        found = family.loss(module, batch)
        if not isinstance(found, torch.Tensor) or found.ndim:
            raise BadInput("loss() must return one number as a tensor: the mean over the examples of a batch")
        return found
    if not isinstance(batch, tuple) or len(batch) != 2:
        raise BadInput("its data are no pairs of inputs and targets: give the family loss(self, module, batch)")
    x, y = batch
    logits = module(x)
    if not isinstance(logits, torch.Tensor) or logits.shape[:-1] != y.shape:
        what = f"logits of shape {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise BadInput(
            f"the module answers inputs of shape {tuple(x.shape)} with {what}, which are no logits of targets of shape "
            f"{tuple(y.shape)}: give the family loss(self, module, batch), or let it return logits"
        )
    return F.cross_entropy(logits.flatten(0, -2), y.flatten())


def batch_of(data: DataManifest, examples: int, device: torch.device) -> Any:
    """Return a batch of the shape of a data set's; its values mean nothing, and class numbers are 0.

    Raises
    ------
    BadInput
        If the manifest doesn't say what a batch looks like.
    """
    if data.batch is not None:
        return _of_spec(data.batch, examples, device)
    if data.tokens_per_example:
        tokens = torch.zeros(examples, data.tokens_per_example, dtype=torch.int64, device=device)
        return tokens, tokens.clone()
    if data.input_shape and data.classes:
        return (
            torch.zeros(examples, *data.input_shape, device=device),
            torch.zeros(examples, dtype=torch.int64, device=device),
        )
    raise BadInput(
        f"the manifest of {data.task} doesn't say what an example is like: give it tokens_per_example, input_shape and "
        "classes, or batch=scalaw.batch_like(an example)"
    )


def _of_spec(spec: Any, examples: int, device: torch.device) -> Any:
    if isinstance(spec, Mapping) and set(spec) == {"dtype", "shape"}:
        kind = getattr(torch, spec["dtype"])
        return torch.zeros(examples, *spec["shape"], dtype=kind, device=device)
    if isinstance(spec, Mapping):
        return {key: _of_spec(part, examples, device) for key, part in spec.items()}
    return tuple(_of_spec(part, examples, device) for part in spec)
