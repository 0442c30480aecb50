"""The order that takes no memory promises what the one in memory does."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.sources.keyed_order import KeyedOrder, KeyedPermutation

seeds = st.integers(0, 2**31 - 1)


@settings(deadline=None)
@given(n=st.integers(1, 5_000), key=st.integers(0, 2**64 - 1))
def test_each_number_stands_at_one_position(n: int, key: int) -> None:
    found = KeyedPermutation(n, key)(np.arange(n))
    assert found.dtype == np.int64
    assert sorted(found.tolist()) == list(range(n))


@settings(deadline=None)
@given(seed=seeds, n=st.integers(1, 300), data=st.data())
def test_a_smaller_fraction_is_a_prefix_of_a_larger_one(seed: int, n: int, data: st.DataObject) -> None:
    small = data.draw(st.integers(1, n))
    large = data.draw(st.integers(small, n))
    order = KeyedOrder(n, seed)
    np.testing.assert_array_equal(order.indices(small, 0, small), order.indices(large, 0, small))


@settings(deadline=None)
@given(seed=seeds, n=st.integers(1, 100), data=st.data())
def test_each_epoch_passes_over_the_same_examples_once(seed: int, n: int, data: st.DataObject) -> None:
    stream = data.draw(st.integers(1, n))
    order = KeyedOrder(n, seed)
    prefix = set(order.indices(stream, 0, stream).tolist())
    assert len(prefix) == stream
    for epoch in range(1, 4):
        assert set(order.indices(stream, epoch * stream, (epoch + 1) * stream).tolist()) == prefix


@settings(max_examples=40, deadline=None)
@given(seed=seeds, n=st.integers(1, 60), cuts=st.lists(st.integers(0, 240), min_size=2, max_size=8))
def test_batches_join_to_one_stream_whatever_their_size(seed: int, n: int, cuts: list[int]) -> None:
    order, cuts = KeyedOrder(n, seed), sorted(cuts)
    whole = KeyedOrder(n, seed).indices(n, cuts[0], cuts[-1])
    parts = [order.indices(n, start, stop) for start, stop in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_epochs_seeds_and_fractions_shuffle_differently() -> None:
    epochs = KeyedOrder(100, 0).indices(100, 0, 300).reshape(3, 100)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert tuple(KeyedOrder(100, 1).indices(100, 0, 100)) != tuple(epochs[0])


@pytest.mark.parametrize("n", [4, 5])
def test_every_permutation_of_a_few_things_is_equally_frequent(n: int) -> None:
    keys, kinds = 6_000, math.factorial(n)
    counted = Counter(tuple(KeyedPermutation(n, key)(np.arange(n)).tolist()) for key in range(keys))
    expected = keys / kinds
    chi_square = sum((counted[kind] - expected) ** 2 / expected for kind in itertools.permutations(range(n)))
    assert abs(chi_square - (kinds - 1)) < 4 * math.sqrt(2 * (kinds - 1))


def test_neighbours_in_the_order_are_far_apart_in_a_large_set() -> None:
    n = 10**9
    found = KeyedOrder(n, 0).indices(n, 0, 20_000)
    assert np.corrcoef(found[:-1], found[1:])[0, 1] == pytest.approx(0, abs=0.03)
    assert np.histogram(found, 20, (0, n))[0] == pytest.approx(1_000, abs=150)


def test_a_trillion_tokens_are_ordered_in_a_few_megabytes() -> None:
    windows = 10**12 // 1_024
    tracemalloc.start()
    order = KeyedOrder(windows, 0)
    late = order.indices(windows // 3, 10**8, 10**8 + 64)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2**20
    assert len(set(late.tolist())) == 64
    assert late.max() < windows


def test_orders_are_the_same_in_every_version() -> None:
    assert KeyedPermutation(8, 0)(np.arange(8)).tolist() == [5, 7, 3, 0, 6, 2, 1, 4]
    four = KeyedOrder(10**9, 3).indices(10**8, 10**8 - 2, 10**8 + 2)
    assert four.tolist() == [616433150, 873062787, 428848493, 258430826]
