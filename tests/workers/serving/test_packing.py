"""Numbers and masks packed into bytes come back as they were, and take no more room than they must."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.serving.packing import mask_bytes, mask_of, packed, unpacked
from workers.serving.tensors import decoded, encoded


@given(
    st.integers(2, 8).flatmap(lambda b: st.tuples(st.just(b), st.lists(st.integers(-(2 ** (b - 1)), 2 ** (b - 1) - 1))))
)
def test_numbers_come_back(case):
    bits, numbers = case
    data = packed(np.array(numbers, np.int64), bits)
    assert len(data) == -(-bits * len(numbers) // 8)
    assert unpacked(data, bits, len(numbers)).tolist() == numbers


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="don't fit into 3 bits"):
        packed(np.array([4]), 3)


@given(st.lists(st.booleans()))
def test_masks_come_back(mask):
    data = mask_bytes(np.array(mask, np.bool_))
    assert len(data) == -(-len(mask) // 8)
    assert mask_of(data, len(mask)).tolist() == mask


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.sampled_from([None, 2, 3, 4, 8]),
    st.sampled_from([(6, 5), (4, 3, 2)]),
)
def test_an_array_comes_back_to_the_bit_whatever_is_in_it(seed, density, bits, shape):
    rng = np.random.default_rng(seed)
    array, scale = rng.standard_normal(shape).astype(np.float32), None
    if bits:
        most = 2 ** (bits - 1) - 1
        scale = rng.uniform(0.1, 2, (shape[0], *(1,) * (len(shape) - 1))).astype(np.float32)
        array = (rng.integers(-most, most, shape, endpoint=True) * scale).astype(np.float32)
    array = array * (rng.random(shape) < density)
    parts, how = encoded(array, scale, bits)
    assert np.array_equal(decoded(parts, how, scale), array)
    assert sum(part.nbytes for part in parts.values()) <= array.nbytes
