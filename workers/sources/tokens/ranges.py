"""Which windows of which files are trained on, and which are held back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.errors import BadOption
from workers.sources.tokens.shard_reader import ShardReader
from workers.sources.tokens.shard_set import ShardSet

#: Where no file is held back, validation and test are each this share of the windows, at the end, and at most so many.
HELD_SHARE, HELD_MOST = 100, 65_536


@dataclass(frozen=True)
class WindowRange:
    """Windows of one split: a range of those that the files of a split hold, by name ``of``."""

    of: str
    reader: ShardReader
    first: int
    count: int


Ranges: TypeAlias = dict[str, WindowRange]


def split_ranges(found: ShardSet, context: int) -> Ranges:
    """Return the windows of ``train``, ``val`` and ``test``.

    Raises
    ------
    BadOption
        If one of them has none.
    """
    readers = {name: ShardReader(shards) for name, shards in found.shards.items()}
    windows = {name: sum(shard.windows(context) for shard in shards) for name, shards in found.shards.items()}

    def all_of(name: str) -> WindowRange:
        return WindowRange(name, readers[name], 0, windows[name])

    def cut(name: str, first: int, count: int) -> WindowRange:
        return WindowRange(name, readers[name], first, count)

    if found.shards["val"]:
        if found.shards["test"]:
            ranges = {"train": all_of("train"), "val": all_of("val"), "test": all_of("test")}
        else:
            half = (windows["val"] + 1) // 2
            ranges = {
                "train": all_of("train"),
                "val": cut("val", 0, half),
                "test": cut("val", half, windows["val"] - half),
            }
    else:
        held = max(1, min(windows["train"] // HELD_SHARE, HELD_MOST))
        own_test = bool(found.shards["test"])
        kept = windows["train"] - held * (1 if own_test else 2)
        ranges = {
            "train": cut("train", 0, max(0, kept)),
            "val": cut("train", max(0, kept), held),
            "test": all_of("test") if own_test else cut("train", max(0, kept) + held, held),
        }
    for name, part in ranges.items():
        if part.count < 1:
            tokens = sum(shard.tokens for shard in found.shards[part.of])
            raise BadOption(
                "data",
                "paths",
                f"too few tokens: the {part.of} files hold {tokens:,}, which leaves {name} not one window of "
                f"{context:,}: add tokens or lower model.context",
            )
    return ranges
