"""A trained module that reads bytes, as tasks ask it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

#: Sequences that pass the device at once; fixed, as another number changes the last bits.
BATCH: Final = 32


class ByteModel:
    """See `workers.tasks.metric.Asked`.

    A beginning that is longer than the context is cut on the left; a continuation that is longer is read in parts, each
    after as much as fits before it; where there is no beginning, a new line stands for it. Shorter sequences are filled
    up on the right, which a causal model doesn't see.

    Parameters
    ----------
    module
        Maps int64 (B, T) to logits (B, T, 256), T at most ``context``.
    """

    def __init__(self, module: torch.nn.Module, context: int, device: torch.device) -> None:
        self.module, self.context, self.device = module.eval(), context, device

    @torch.inference_mode()
    def log_likelihoods(self, pairs: Sequence[tuple[bytes, bytes]]) -> list[float]:
        """Return the log-likelihood in nats of each continuation after its beginning."""
        windows: list[tuple[int, bytes, int]] = []
        for number, (before, text) in enumerate(pairs):
            begun = before or b"\n"  # the first byte needs something to follow
            for start in range(0, len(text), max(1, self.context // 2)):
                part = text[start : start + max(1, self.context // 2)]
                seen = (begun + text[:start])[-(self.context + 1 - len(part)) :]
                windows.append((number, seen + part, len(part)))
        totals = [0.0] * len(pairs)
        for first in range(0, len(windows), BATCH):
            some = windows[first : first + BATCH]
            logs = self._logits([window[:-1] for _, window, _ in some]).double().log_softmax(-1)
            for row, (number, window, asked) in enumerate(some):
                places = torch.arange(len(window) - 1 - asked, len(window) - 1, device=self.device)
                targets = torch.tensor(list(window[-asked:]), device=self.device)
                totals[number] += float(logs[row, places, targets].sum())
        return totals

    @torch.inference_mode()
    def greedy(self, beginnings: Sequence[bytes], lengths: Sequence[int]) -> list[bytes]:
        """Return the likeliest continuation of each beginning, byte by byte."""
        said = [bytearray(beginning) for beginning in beginnings]
        for step in range(max(lengths, default=0)):
            going = [k for k, length in enumerate(lengths) if step < length]
            for first in range(0, len(going), BATCH):
                some = going[first : first + BATCH]
                windows = [bytes(said[k][-self.context :]) for k in some]
                logits = self._logits(windows)
                for row, (k, window) in enumerate(zip(some, windows, strict=True)):
                    said[k].append(int(logits[row, len(window) - 1].argmax()))
        return [bytes(text[len(start) :]) for text, start in zip(said, beginnings, strict=True)]

    def _logits(self, windows: Sequence[bytes]) -> torch.Tensor:
        longest = max(len(window) for window in windows)
        rows = [list(window) + [0] * (longest - len(window)) for window in windows]
        found: torch.Tensor = self.module(torch.tensor(rows, dtype=torch.int64, device=self.device))
        return found
