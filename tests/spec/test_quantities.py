"""Numbers come back from the way that people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.quantities import parse_count, parse_number, parse_real

_SUFFIXES = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}


@pytest.mark.parametrize(
    ("written", "number"),
    [("25k", 25_000), ("125M", 125_000_000), ("10B", 10**10), ("1e9", 10**9), ("1_000", 1000), ("1.1k", 1100),
     ("0.29k", 290), (1e9, 10**9), (7, 7), (" 3 k ".strip(), 3000), ("+2T", 2 * 10**12), (".5k", 500)],
)  # fmt: skip
def test_count_is_exact(written: object, number: int) -> None:
    assert parse_count(written) == number
    assert type(parse_count(written)) is int


@pytest.mark.parametrize(
    "written",
    ["", "k", "1kk", "1 000", "1,000", "nan", "inf", "0x10", "1__0", "_1", "1e", "٣", "1e999", "9" * 5000,
                True, None, [], {}, float("nan"), float("inf")],
)  # fmt: skip
def test_what_is_no_number_is_refused_with_an_example_or_the_limit(written: object) -> None:
    with pytest.raises(ValueError, match=r"such as 25k|finite|too large"):
        parse_count(written)


@pytest.mark.parametrize(
    ("written", "why"), [("0.5", "whole"), (2.0000001, "whole"), ("10000000T", "large"), (1e30, "large")]
)
def test_count_must_be_whole_and_below_two_to_the_63(written: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_count(written)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_integers_round_trip(number: int) -> None:
    assert parse_count(number) == parse_count(str(number)) == parse_count(f"{number:_}") == number


@given(st.integers(0, 9_000_000), st.sampled_from(sorted(_SUFFIXES)))
def test_suffix_multiplies(number: int, suffix: str) -> None:
    assert parse_count(f"{number}{suffix}") == number * _SUFFIXES[suffix]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_reals_round_trip(number: float) -> None:
    assert parse_real(repr(number)) == number
    assert parse_number(number) == number
