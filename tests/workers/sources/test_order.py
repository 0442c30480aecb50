from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.sources.order import Order, permutation

seeds = st.integers(0, 2**31 - 1)


@given(seed=seeds, n=st.integers(1, 300), data=st.data())
def test_a_smaller_fraction_is_a_prefix_of_a_larger_one(seed: int, n: int, data: st.DataObject) -> None:
    small = data.draw(st.integers(1, n))
    large = data.draw(st.integers(small, n))
    order = Order(n, seed)
    np.testing.assert_array_equal(order.indices(small, 0, small), order.indices(large, 0, small))


@given(seed=seeds, n=st.integers(1, 100), data=st.data())
def test_each_epoch_passes_over_the_same_examples_once(seed: int, n: int, data: st.DataObject) -> None:
    stream = data.draw(st.integers(1, n))
    order = Order(n, seed)
    prefix = set(order.indices(stream, 0, stream).tolist())
    assert len(prefix) == stream
    for epoch in range(1, 4):
        assert set(order.indices(stream, epoch * stream, (epoch + 1) * stream).tolist()) == prefix


@settings(max_examples=40)
@given(seed=seeds, n=st.integers(1, 60), cuts=st.lists(st.integers(0, 240), min_size=2, max_size=8))
def test_batches_join_to_one_stream_whatever_their_size(seed: int, n: int, cuts: list[int]) -> None:
    order, cuts = Order(n, seed), sorted(cuts)
    whole = Order(n, seed).indices(n, cuts[0], cuts[-1])
    parts = [order.indices(n, start, stop) for start, stop in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.dtype == np.int64


def test_epochs_seeds_and_fractions_shuffle_differently() -> None:
    order = Order(100, 0)
    epochs = order.indices(100, 0, 300).reshape(3, 100)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert tuple(Order(100, 1).indices(100, 0, 100)) != tuple(epochs[0])
    second_of_half = order.indices(50, 50, 100)
    assert tuple(second_of_half) != tuple(i for i in epochs[1] if i in set(second_of_half))


def test_the_caller_cannot_change_the_order_by_writing_into_a_batch() -> None:
    order = Order(10, 0)
    first = order.indices(10, 0, 10).copy()
    order.indices(10, 0, 10)[:] = 0
    np.testing.assert_array_equal(order.indices(10, 0, 10), first)


def test_permutations_are_the_same_in_every_version() -> None:
    assert permutation(8, seed=0, purpose="order", epoch=0, examples=8).tolist() == [5, 6, 3, 0, 2, 1, 7, 4]


def test_impossible_positions_are_refused() -> None:
    order = Order(10, 0)
    for stream, start, stop in ((0, 0, 1), (11, 0, 1), (10, 3, 2), (10, -1, 2)):
        with pytest.raises(ValueError, match="no positions"):
            order.indices(stream, start, stop)
