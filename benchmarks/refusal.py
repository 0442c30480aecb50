"""How long refusing a hostile sweep file takes, in milliseconds over start-up.

Usage: python benchmarks/refusal.py [REPEATS]     (default 5; the median is printed)
"""

from __future__ import annotations

import random
import statistics
import string
import sys
import time

from orchestrator.errors import BadInput
from orchestrator.spec import parse_sweep

_GRID = "name: hostile\ngrid: "
_MEGABYTE = 1_000_000


def hostile_texts() -> dict[str, str]:
    """Return what each text is, and the text; every one must be refused."""
    rng = random.Random(0)
    laughs = ["name: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    laughs += [f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    axis = ", ".join(map(str, range(1, 102)))
    return {
        "unknown key": "name: a\ngrid: {params: 1k}\ngrdi: 1\n",
        "5,000 nested lists": _GRID + "[" * 5_000 + "]" * 5_000,
        "5,000 nested mappings": _GRID + '{"a": ' * 5_000 + "1" + "}" * 5_000,
        "5,000 nested dashes": "- " * 5_000 + "x",
        "half a million brackets": "[" * 500_000,
        "billion laughs": "\n".join(laughs),
        "1 MB of printable junk": "".join(rng.choices(string.printable[:95] + "\n", k=_MEGABYTE)),
        "1 MB of letters": "a" * _MEGABYTE,
        "1 MB of words in lines": "word\n" * (_MEGABYTE // 5),
        "1 MB of newlines": "\n" * _MEGABYTE,
        "1 MB of distinct keys": "".join(f"key{i}: 1\n" for i in range(_MEGABYTE // 12)),
        "1 MB of one list": _GRID + "{params: [" + "1, " * (_MEGABYTE // 3) + "1]}",
        "1 MB in one key": "k" * _MEGABYTE + ": 1",
        "1 MB of digits as a number": _GRID + "{params: " + "9" * _MEGABYTE + "}",
        "999 unknown keys": "".join(f"key{i}: 1\n" for i in range(999)),
        "1,990 wrong points": _GRID + "{params: [" + ", ".join(["x"] * 1_990) + "]}",
        "a grid of 1,030,301 cells": _GRID + f"{{params: [{axis}], epochs: [{axis}], seeds: 101}}",
    }


def refusal_s(text: str) -> float:
    """Return the seconds that refusing a text takes.

    Raises
    ------
    AssertionError
        If it is taken.
    """
    started = time.perf_counter()
    try:
        parse_sweep(text)
    except BadInput:
        return time.perf_counter() - started
    raise AssertionError("a hostile sweep was taken")


def main() -> None:
    """Print the table."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    texts = hostile_texts()
    refusal_s(texts["unknown key"])  # start-up: imports, plug-ins
    print("| input | ms |\n|---|---:|")
    for what, text in texts.items():
        print(f"| {what} | {1e3 * statistics.median(refusal_s(text) for _ in range(repeats)):.1f} |")


if __name__ == "__main__":
    main()
