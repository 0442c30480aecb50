"""The most memory that a forward pass holds in tensors, its weights included."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves


class _Watch(TorchDispatchMode):
    """Counts the bytes of the storages that are alive after each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def add(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage, once, until it is freed; of a wrapper those of the tensors inside."""
        if is_traceable_wrapper_subclass(tensor):
            names, _ = tensor.__tensor_flatten__()
            for name in names:
                self.add(getattr(tensor, name))
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return found


def peak_bytes(module: torch.nn.Module, x: torch.Tensor) -> int:
    """Return the peak of one forward pass of a module on some inputs.

    On a GPU it is what the allocator gave out, without what the process holds beside the module: the data, models of
    other sizes. On the CPU it is what tensors held between operations, without the scratch memory inside one.
    """
    own = (*module.parameters(), *module.buffers(), x)
    if x.device.type == "cuda":
        held = _Watch()
        for tensor in own:
            held.add(tensor)
        before = torch.cuda.memory_allocated(x.device)
        torch.cuda.reset_peak_memory_stats(x.device)
        with torch.inference_mode():
            module(x)
        return int(torch.cuda.max_memory_allocated(x.device)) - before + held.live
    with torch.no_grad(), _Watch() as watch:
        for tensor in own:
            watch.add(tensor)
        module(x)
    return int(watch.peak)
