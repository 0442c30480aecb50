"""Sizes and ticks as a person writes them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.reporting.log_axis import MOST_TICKS, log_ticks, padded
from orchestrator.reporting.short_numbers import short_number, short_numbers

POSITIVE = st.floats(1e-6, 1e14)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6300, "6.3k"),
        (6336, "6.34k"),
        (999_999, "1M"),
        (999.4, "999"),
        (125e6, "125M"),
        (1e10, "10B"),
        (3e12, "3T"),
        (1e15, "1e+15"),
        (1, "1"),
        (0.25, "0.25"),
    ],
)
def test_sizes_read_as_people_write_them(value: float, text: str) -> None:
    assert short_number(value) == text


def test_sizes_that_differ_have_labels_that_differ() -> None:
    assert short_numbers([100_100, 100_200, 200_000]) == ["100.1k", "100.2k", "200k"]


@given(low=POSITIVE, ratio=st.floats(1.05, 1e12))
def test_ticks_are_few_and_inside_whatever_the_span(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert 1 <= len(ticks) <= MOST_TICKS
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert ticks == sorted(set(ticks))


@given(values=st.lists(POSITIVE, min_size=1, max_size=5))
def test_limits_leave_room_on_both_sides(values: list[float]) -> None:
    lo, hi = padded(np.array(values))
    assert lo < min(values) <= max(values) < hi
