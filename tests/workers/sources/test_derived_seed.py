from __future__ import annotations

import itertools

from workers.derived_seed import derived_seed


def test_seeds_differ_with_every_part_its_type_and_its_grouping() -> None:
    parts = [(1, "a"), ("1", "a"), (1.0, "a"), (True, "a"), (None, "a"), ("a", 1), ("1a",), (1, "a", 0), ((1, "a"),)]
    seeds = [derived_seed(*some) for some in parts]
    assert len(set(seeds)) == len(parts)
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_seeds_never_change() -> None:
    assert derived_seed(0, "dropout", "stage", 1) == 0x9522455EE59F71F3


def test_bits_of_neighbouring_steps_are_unrelated() -> None:
    seeds = [derived_seed(0, "dropout", step) for step in range(200)]
    flips = [(a ^ b).bit_count() for a, b in itertools.pairwise(seeds)]
    assert 30 < sum(flips) / len(flips) < 34
