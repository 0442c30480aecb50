"""The exponent that belongs to each axis of the product laws."""

from __future__ import annotations

from typing import Final

#: Axis to the name of its exponent, in the order P = C·N^α·D^β·E^γ·d^δ·e^ζ·ε^η.
EXPONENTS: Final = {"n": "alpha", "d": "beta", "e": "gamma", "ft_d": "delta", "ft_e": "zeta", "eps": "eta"}
