"""Variable projection for L = E + A·x^−α + B·y^−β: given the exponents, E, A and B are a small nonnegative problem.

Golub & Pereyra (1973). The whole exponent grid is solved at once, by relative squares, and ranked by the objective
that is fitted; only the best points go on to Newton.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.solver.huber import huber

#: Exponents tried on each axis.
EXPONENTS: Final = np.geomspace(0.03, 3.0, 16)
#: Coefficients that the projection sets to zero start here, as a share of the loss.
SMALLEST_START: Final = 1e-2


def two_term_starts(log_x: FloatArray, log_y: FloatArray, log_loss: FloatArray, keep: int) -> FloatArray:
    """Return the best grid points as coordinates (log E, log A, log B, α, β).

    Parameters
    ----------
    log_x, log_y, log_loss
        Centred logarithms, shape (rows,).
    keep
        How many points to return.

    Returns
    -------
    array
        Shape (keep, 5), best first.
    """
    exponents, logs, misfit = two_term_grid(log_x, log_y, log_loss)
    best = np.argsort(misfit, kind="stable")[:keep]
    return np.column_stack([logs[best], exponents[best]])


def two_term_grid(
    log_x: FloatArray, log_y: FloatArray, log_loss: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the grid points (α, β), shape (G, 2), with (log E, log A, log B), (G, 3), and the misfit there, (G,)."""
    first, second = (bounded_exp(-EXPONENTS[:, None] * x) for x in (log_x, log_y))
    i, j = (a.ravel() for a in np.meshgrid(np.arange(len(EXPONENTS)), np.arange(len(EXPONENTS)), indexing="ij"))
    features = np.stack([np.broadcast_to(np.ones_like(log_x), (len(i), log_x.size)), first[i], second[j]], axis=1)
    logs, misfit = projected(features, log_loss)
    return np.column_stack([EXPONENTS[i], EXPONENTS[j]]), logs, misfit


def bounded_exp(exponent: FloatArray) -> FloatArray:
    """Return e to a power, which is cut so that squares of it stay finite."""
    result: FloatArray = np.exp(np.clip(exponent, -60.0, 60.0))
    return result


def projected(
    features: FloatArray, log_loss: FloatArray, share: float = SMALLEST_START
) -> tuple[FloatArray, FloatArray]:
    """Return log coefficients (G, K) of the features (G, K, rows) to start from, and the misfit (G,) they come from.

    Parameters
    ----------
    share
        Share of the loss at which a coefficient starts that the projection sets to zero.
    """
    coefficients = nonnegative_relative(features, log_loss)
    fitted = np.log(np.maximum(np.einsum("gk,gkr->gr", coefficients, features), 1e-300))
    least = share / np.maximum(features.mean(axis=2), 1e-300)
    return np.log(np.maximum(coefficients, least)), huber(fitted - log_loss).sum(axis=1)


def nonnegative_relative(features: FloatArray, log_loss: FloatArray) -> FloatArray:
    """Minimise Σ (Σ c_k φ_k / L − 1)² over c ≥ 0, for a batch of features.

    Parameters
    ----------
    features
        φ, shape (G, K, rows), with K small: every set of active coefficients is tried.
    log_loss
        Shape (rows,).

    Returns
    -------
    array
        c, shape (G, K).
    """
    relative = features * np.exp(-log_loss)
    size = np.sqrt(np.mean(relative * relative, axis=2)) + 1e-300
    relative = relative / size[:, :, None]
    gram = np.matmul(relative, np.swapaxes(relative, 1, 2))
    right = relative.sum(axis=2)
    batch, count = right.shape
    best, value = np.zeros((batch, count)), np.full(batch, np.inf)
    for active in product((False, True), repeat=count):
        if not any(active):
            continue
        chosen = np.flatnonzero(active)
        part = gram[:, chosen[:, None], chosen] + 1e-12 * log_loss.size * np.eye(len(chosen))
        solution = np.zeros((batch, count))
        solution[:, chosen] = np.linalg.solve(part, right[:, chosen, None])[:, :, 0]
        gain = -(solution * right).sum(axis=1)
        better = (solution >= 0).all(axis=1) & (gain < value)
        best[better], value[better] = solution[better], gain[better]
    coefficients: FloatArray = best / size
    return coefficients
