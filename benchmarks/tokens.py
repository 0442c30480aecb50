"""What token shards cost: against the same tokens in memory, and when there are more of them than memory holds.

``python -m benchmarks.tokens [--gb 20] [--folder /tmp/…]`` prints the tables of BENCHMARKS.md. The
shards of the first are read from the page cache, as a worker reads a set that fits there, by both ways: mapped, as the
whole is small, and at their places, as if it were not. The large file is sparse, so its pages are made of nothing and
what is measured is opening, ordering and reading.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import machine, print_table

CONTEXT, BATCH, VOCABULARY, ROUNDS = 1_024, 64, 512, 5
TOKENS, SHARDS, STEPS = 2**26, 8, 400
#: Steps of a small model, where data weighs most.
TRAINED = 30


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=int, default=20, help="size of the sparse file")
    parser.add_argument("--folder", help="where files are written; the default is removed again")
    parser.add_argument("--one", metavar="FILE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        _large(Path(given.one))
        return
    folder = Path(given.folder or tempfile.mkdtemp(prefix="scalaw-tokens-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        print(f"{machine()}\n")
        _throughput(folder / "shards")
        _sparse(folder / "sparse", given.gb)
    finally:
        if given.folder is None:
            shutil.rmtree(folder)


def _throughput(folder: Path) -> None:
    """Batches, and steps of a small transformer, from shards and from an array, in turns."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for k in range(SHARDS):
        rng.integers(0, VOCABULARY, TOKENS // SHARDS).astype("<u2").tofile(folder / f"train_{k}.bin")
    rows = []
    for what, batch, context, steps, run in (
        ("batches of 64 x 1,024 tokens", BATCH, CONTEXT, STEPS, _read),
        ("steps of a transformer, N = 25k, 8 x 256, vocabulary 512", 8, 256, TRAINED, _steps),
    ):
        array, mapped, placed = _compared(folder, batch, context, steps, run)
        rows.append(
            (what, _median(array), _median(mapped), _ratio(mapped, array), _median(placed), _ratio(placed, array))
        )
    print_table(
        (
            "what",
            "array in memory, tokens/s",
            f"{SHARDS} shards mapped",
            "of the array",
            "read at places",
            "of the array",
        ),
        rows,
    )
    print()


def _compared(folder: Path, batch: int, context: int, steps: int, run: Any) -> list[list[float]]:
    """Return tokens/s of each round, from an array, mapped shards and shards that are read at places, in turns."""
    from workers.sources.keyed_order import KeyedOrder
    from workers.sources.tokens import shard_reader
    from workers.sources.tokens.source import Tokens

    splits: list[Any] = [_Array(folder, context)]
    for most in (2**30, 0):
        shard_reader.MAPPED_BYTES = most
        splits.append(Tokens.load({"paths": [str(folder)], "vocabulary": VOCABULARY}, context=context).train)
    order = KeyedOrder(min(map(len, splits)), 0)
    taken: list[list[float]] = [[] for _ in splits]
    for round_ in range(-1, ROUNDS):  # the round before the first warms up
        indices = order.indices(order.train_examples, (round_ + 1) * steps * batch, (round_ + 2) * steps * batch)
        for split, rates in zip(splits, taken, strict=True):
            begun = time.perf_counter()
            tokens = run(split, indices.reshape(steps, batch))
            if round_ >= 0:
                rates.append(tokens / (time.perf_counter() - begun))
    return taken


def _median(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f}"


def _ratio(rates: list[float], array: list[float]) -> str:
    """Return the median of the ratios of neighbouring rounds."""
    return f"{statistics.median(r / a for r, a in zip(rates, array, strict=True)):.3f}"


class _Array:
    """The windows of all shards as one array in memory, read as a resident text is."""

    def __init__(self, folder: Path, context: int) -> None:
        from numpy.lib.stride_tricks import as_strided

        self.text = np.concatenate([np.fromfile(path, "<u2") for path in sorted(folder.glob("train_*.bin"))])
        self.windows = as_strided(
            self.text, ((len(self.text) - 1) // context, context + 1), (2 * context, 2), writeable=False
        )

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, indices: Any) -> Any:
        window = self.windows[indices]
        return window[:, :-1].astype(np.int64, order="C"), window[:, 1:].astype(np.int64, order="C")


def _read(split: Any, indices: Any) -> int:
    return sum(split.batch(some)[0].size for some in indices)


def _steps(split: Any, indices: Any) -> int:
    import torch

    from workers.families.transformer.module import ByteTransformer
    from workers.training.loop import cross_entropy

    torch.manual_seed(0)
    model = ByteTransformer(vocabulary=VOCABULARY, context=256, width=32, depth=2, heads=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    tokens = 0
    for some in indices:
        x, y = map(torch.from_numpy, split.batch(some))
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(model(x), y).backward()
        optimizer.step()
        tokens += x.numel()
    return tokens


def _sparse(folder: Path, gigabytes: int) -> None:
    """Open and sample a file that takes no disk, in a process of its own."""
    folder.mkdir(exist_ok=True)
    with (folder / "train.bin").open("wb") as file:
        file.truncate(gigabytes * 10**9 // 2 * 2)
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.tokens", "--one", str(folder)], check=True, capture_output=True, text=True
    )
    print(found.stdout, end="")


def _large(folder: Path) -> None:
    from workers.sources.tokens.source import Tokens

    before = _peak_mb()
    begun = time.perf_counter()
    data = Tokens.load({"paths": [str(folder)], "vocabulary": VOCABULARY}, context=CONTEXT)
    assert data.ordered is not None
    order = data.ordered(data.manifest.train_examples, 0)
    data.train.batch(order.indices(data.manifest.train_examples, 0, BATCH))
    opened_s = time.perf_counter() - begun
    begun = time.perf_counter()
    windows = 0
    while windows < 2**17:
        some = order.indices(data.manifest.train_examples, windows, windows + BATCH)
        data.train.batch(some)
        windows += BATCH
    rate = windows * CONTEXT / (time.perf_counter() - begun)
    size = (folder / "train.bin").stat().st_size / 1e9
    print_table(
        ("file", "windows of 1,024", "opened, ordered, first batch", "sampled at random", "resident before / peak"),
        [
            (
                f"{size:.0f} GB, sparse",
                f"{data.manifest.train_examples:,}",
                f"{opened_s:.2f} s",
                f"{windows:,} windows, {rate:,.0f} tokens/s",
                f"{before:.0f} / {_peak_mb():.0f} MB",
            )
        ],
    )


def _peak_mb() -> float:
    """Return the most memory that this process had resident; ``getrusage`` would count its parent's until ``exec``."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
