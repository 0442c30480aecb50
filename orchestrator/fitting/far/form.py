"""Kaplan's form above a floor, and Chinchilla's, as functions of coordinates: what the far answer is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.far.posterior_mode import Model
from orchestrator.fitting.solver.projection import bounded_exp, nonnegative_relative

#: Where a search for coordinates starts: the middle of the priors on α, β and γ.
CENTRE: Final = np.array([np.log(0.28), np.log(0.28), np.log(0.45)])
#: Factors that the projection sets to zero start here.
SMALLEST: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Points:
    """Rows or wanted points: ln n and ln d, each of shape (rows,), less what they are centred on."""

    x: FloatArray
    z: FloatArray

    @classmethod
    def of(cls, columns: Mapping[str, FloatArray], centre: tuple[float, float]) -> Points:
        """Return the points of columns ``n`` and ``d``."""
        return cls(np.log(columns["n"]) - centre[0], np.log(columns["d"]) - centre[1])


def kaplan_with_floor(points: Points) -> Model:
    """Return L = E + (A·n^(−α/γ) + B·d^(−β/γ))^γ in coordinates (a, b, ln α, ln β, ln γ), given ln E.

    γ = 1 is Chinchilla's law, E = 0 with γ = β Kaplan's (Kaplan et al. 2020, equation 1.5). Logarithms throughout:
    ln L = ln(E + e^T), T = γ·ln(e^((a − α·x)/γ) + e^((b − β·z)/γ)).
    """
    x, z = points.x, points.z

    def model(coords: FloatArray, log_floor: FloatArray) -> tuple[FloatArray, FloatArray]:
        a, b, log_alpha, log_beta, log_gamma = (coords[:, k : k + 1] for k in range(5))
        alpha, beta, gamma = np.exp(log_alpha), np.exp(log_beta), np.exp(log_gamma)
        u, v = (a - alpha * x) / gamma, (b - beta * z) / gamma
        top = np.maximum(u, v)
        both = top + np.log1p(np.exp(-np.abs(u - v)))
        of_u = np.exp(u - both)
        power = gamma * both
        fitted = np.logaddexp(log_floor, power)
        share = np.exp(power - fitted)
        entropy = power - gamma * (of_u * u + (1.0 - of_u) * v)
        slopes = np.empty((len(coords), 5, x.size))
        slopes[:, 0] = share * of_u
        slopes[:, 1] = share * (1.0 - of_u)
        slopes[:, 2] = -slopes[:, 0] * alpha * x
        slopes[:, 3] = -slopes[:, 1] * beta * z
        slopes[:, 4] = share * entropy
        return fitted, slopes

    return model


def kaplan_starts(points: Points, log_loss: FloatArray, weights: FloatArray, log_floor: FloatArray) -> FloatArray:
    """Return a start for each problem: given the exponents, (L − E)^(1/γ) is linear in A and B.

    Parameters
    ----------
    weights
        Shape (B, rows); rows of weight 0 are left out.
    log_floor
        Shape (B, 1).
    """
    alpha, beta, gamma = np.exp(CENTRE)
    found = np.empty((len(weights), 5))
    found[:, 2:] = CENTRE
    features = np.stack([bounded_exp(-alpha / gamma * points.x), bounded_exp(-beta / gamma * points.z)])
    for k, (row_weights, floor) in enumerate(zip(weights, log_floor[:, 0], strict=True)):
        known = row_weights > 0
        above = np.log(np.maximum(np.exp(log_loss[known]) - np.exp(floor), 1e-3 * np.exp(log_loss[known])))
        factors = nonnegative_relative(features[None][:, :, known], above / gamma)[0]
        least = SMALLEST * np.exp(np.mean(above) / gamma)
        found[k, :2] = gamma * np.log(np.maximum(factors, least))
    return found


def chinchilla_form(points: Points) -> Model:
    """Return L = E + A/n^α + B/d^β in coordinates (ln E, ln A, ln B, ln α, ln β); it has no constants."""
    x, z = points.x, points.z

    def model(coords: FloatArray, _: FloatArray) -> tuple[FloatArray, FloatArray]:
        e, a, b, log_alpha, log_beta = (coords[:, k : k + 1] for k in range(5))
        alpha, beta = np.exp(log_alpha), np.exp(log_beta)
        terms = np.stack([np.broadcast_to(e, (len(coords), x.size)), a - alpha * x, b - beta * z], axis=1)
        fitted = np.logaddexp.reduce(terms, axis=1)
        shares = np.exp(terms - fitted[:, None])
        slopes = np.concatenate(
            [shares, -(shares[:, 1] * alpha * x)[:, None], -(shares[:, 2] * beta * z)[:, None]], axis=1
        )
        return fitted, slopes

    return model


def kaplan_form(points: Points) -> Model:
    """Return Kaplan's law, L = (A·n^(−α/β) + B/d)^β, in coordinates (a, b, ln α, ln β); it has no constants."""
    floored = kaplan_with_floor(points)
    none = np.full((1, 1), -700.0)

    def model(coords: FloatArray, _: FloatArray) -> tuple[FloatArray, FloatArray]:
        fitted, slopes = floored(coords[:, [0, 1, 2, 3, 3]], none)
        slopes[:, 3] += slopes[:, 4]
        return fitted, slopes[:, :4]

    return model


def own_form(points: Points) -> Model:
    """Return Kaplan's form above a floor of its own, in coordinates (ln E, a, b, ln α, ln β, ln γ)."""
    floored = kaplan_with_floor(points)

    def model(coords: FloatArray, _: FloatArray) -> tuple[FloatArray, FloatArray]:
        fitted, slopes = floored(coords[:, 1:], coords[:, :1])
        of_floor = np.exp(coords[:, :1] - fitted)
        return fitted, np.concatenate([of_floor[:, None], slopes], axis=1)

    return model
