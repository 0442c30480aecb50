"""Where the far answer's loss is least along n·d = const: closed for each floor, with draws of what is not known."""

from __future__ import annotations

from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.far.answer import FarAnswer
from orchestrator.fitting.far.exact_law import ExactLaw

#: Draws of all floors and laws together.
DRAWS: Final = 400
SEED: Final = 0


def drawn_splits(answer: FarAnswer) -> FloatArray:
    """Return draws (a, b, ln p, ln q) of e^(a − p·x) + e^(b − q·z), whose least is the loss's, shape (draws, 4).

    Each floor has draws in proportion to its weight, from the normal about its mode (its rows count as eight), and each
    law that the rows may follow exactly in proportion to how far it is believed.
    """
    random = np.random.default_rng(SEED)
    floors = answer.floors
    believed = sum(share for _, share in answer.exact)
    found = []
    for coords, matrix, weight in zip(floors.coords, floors.matrices, floors.weights, strict=True):
        count = round(DRAWS * float(weight) * max(0.0, 1.0 - believed))
        drawn = _normal(coords, np.linalg.pinv(matrix, hermitian=True), count, random)
        found.append(_of_kaplan(drawn))
    for law, share in answer.exact:
        count = round(DRAWS * share)
        drawn = _normal(law.coords, law.covariance, count, random)
        found.append(_of_exact(law, drawn))
    return np.concatenate(found)


def split(draws: FloatArray, log_product: FloatArray) -> FloatArray:
    """Return x = ln n (centred) of each draw's least loss where x + z is given, both of shape (draws,)."""
    a, b, log_p, log_q = draws.T
    p, q = np.exp(log_p), np.exp(log_q)
    found: FloatArray = (a - b + log_p - log_q + q * log_product) / (p + q)
    return found


def exponents(draws: FloatArray) -> FloatArray:
    """Return a of N ∝ C^a of each draw, shape (draws,); that of D is 1 − a."""
    p, q = np.exp(draws[:, 2]), np.exp(draws[:, 3])
    found: FloatArray = q / (p + q)
    return found


def _normal(mode: FloatArray, covariance: FloatArray, count: int, random: np.random.Generator) -> FloatArray:
    values, vectors = np.linalg.eigh(covariance)
    size = np.sqrt(np.maximum(values, 0.0))
    found: FloatArray = mode + random.standard_normal((count, mode.size)) @ (vectors * size).T
    return found


def _of_kaplan(drawn: FloatArray) -> FloatArray:
    gamma = np.exp(drawn[:, 4:5])
    return np.column_stack([drawn[:, :2] / gamma, drawn[:, 2:4] - drawn[:, 4:5]])


def _of_exact(law: ExactLaw, drawn: FloatArray) -> FloatArray:
    if law.form.name == "chinchilla":
        return drawn[:, 1:5]
    if law.form.name == "kaplan":
        return _of_kaplan(drawn[:, [0, 1, 2, 3, 3]])
    return _of_kaplan(drawn[:, 1:6])
