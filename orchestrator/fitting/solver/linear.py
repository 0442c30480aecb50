"""Weighted least squares of many weightings at once, in closed form."""

from __future__ import annotations

import numpy as np

from orchestrator.fitting.axes import FloatArray

#: Eigenvalues of the normal matrix below this share of the largest count as zero.
RANK_TOLERANCE = 1e-10


def least_squares(design: FloatArray, response: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Solve B weighted least-squares problems on one design.

    Parameters
    ----------
    design
        Shape (rows, P), columns of comparable size.
    response
        Shape (rows,) or (B, rows).
    weights
        Shape (B, rows), not negative.

    Returns
    -------
    solutions, ranks
        Shapes (B, P) and (B,). Where the rank is below P, the solution of least norm.
    """
    rows, count = design.shape
    squares = (design[:, :, None] * design[:, None, :]).reshape(rows, count * count)
    gram = (weights @ squares).reshape(-1, count, count)
    right = (weights * response) @ design
    values, vectors = np.linalg.eigh(gram)
    kept = values > RANK_TOLERANCE * np.maximum(values[:, -1:], 1e-300)
    inverse = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    along = np.matmul(np.swapaxes(vectors, 1, 2), right[:, :, None])[:, :, 0] * inverse
    solutions: FloatArray = np.matmul(vectors, along[:, :, None])[:, :, 0]
    return solutions, kept.sum(axis=1).astype(np.float64)
