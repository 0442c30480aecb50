"""Laws that are a sum of positive terms, evaluated in the log-sum-exp form.

log L = log Σ exp(u_k), where each log term u_k depends on a few coordinates. Its derivatives follow from those of the
terms: with shares p_k = exp(u_k − log L), ∇log L = Σ p_k ∇u_k and
∇²log L = Σ p_k (∇u_k ∇u_kᵀ + ∇²u_k) − ∇log L ∇log Lᵀ. A term may leave its ∇²u_k out: where it is linear in the
coordinates there is none, and elsewhere Newton's steps are then approximate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from orchestrator.fitting.axes import FloatArray


@dataclass(frozen=True, slots=True)
class Term:
    """One log term.

    Parameters
    ----------
    value
        u, shape (B, rows).
    slots
        The m coordinates it depends on.
    slopes
        d u / d those coordinates, shape (B or 1, m, rows).
    bends
        Second derivatives that aren't zero, shape (B, rows), by the positions (i ≤ j) of two of the coordinates.
    """

    value: FloatArray
    slots: tuple[int, ...]
    slopes: FloatArray
    bends: Mapping[tuple[int, int], FloatArray] = field(default_factory=dict)


def log_sum(terms: Sequence[Term]) -> tuple[FloatArray, list[FloatArray]]:
    """Return log L, shape (B, rows), and the share of each term in L, same shape."""
    top = terms[0].value
    for term in terms[1:]:
        top = np.maximum(top, term.value)
    parts = [np.exp(term.value - top) for term in terms]
    total = parts[0] + sum(parts[1:])
    return top + np.log(total), [part / total for part in parts]


def log_sum_slopes(terms: Sequence[Term], shares: Sequence[FloatArray], coordinates: int) -> FloatArray:
    """Return d log L / d coordinates, shape (B, P, rows)."""
    slopes = np.zeros((shares[0].shape[0], coordinates, shares[0].shape[1]))
    for term, share in zip(terms, shares, strict=True):
        for position, slot in enumerate(term.slots):
            slopes[:, slot] += share * term.slopes[:, position]
    return slopes
