"""A share that rises from chance to a ceiling: the law of accuracies and other bounded qualities."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import EXPONENTS, FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.linear import least_squares
from orchestrator.fitting.solver.newton import Problem
from orchestrator.fitting.solver.terms import Term

#: Starts: chance and ceiling, as shares of the lowest and of the highest quality.
CHANCES: Final = (0.02, 0.6, 0.9, 0.98)
CEILINGS: Final = (1.01, 1.08, 1.3, 2.0)
#: Odds of rows at an end of the range are clipped at this share of it.
CLIP: Final = 0.02


class Sigmoid(AdditiveLaw):
    """P = chance + span·σ(level + α·ln N + β·ln D + γ·ln E + …), σ the logistic function, on the axes that vary.

    The form by which downstream accuracy follows the logarithm of scale in Owen (2024), "How predictable is language
    model benchmark performance?", with a floor at chance and a ceiling at chance + span.
    """

    name = "sigmoid"
    required = ()
    optional = tuple(EXPONENTS)
    data_seen = False
    fits_quality = True
    fits_loss = False
    polished = 8
    bounds = {"chance": (-12.0, 3.0), "span": (-6.0, 3.0), "level": (-20.0, 20.0)}  # noqa: RUF012

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``chance span level`` and one exponent for each axis."""
        used = [axis for axis in EXPONENTS if axis in axes]
        return (
            Parameter("chance", "floor"),
            Parameter("span", "factor", tuple(used)),
            Parameter("level", "power", tuple(used)),
            *(Parameter(EXPONENTS[axis], "exponent", (axis,)) for axis in used),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the terms of the quality: chance, and the span times the logistic function."""
        used = [log_axes[axis] for axis in EXPONENTS if axis in log_axes]
        ones = np.ones((len(coords), used[0].size))
        at = coords[:, 2:3] + sum(coords[:, 3 + k : 4 + k] * x for k, x in enumerate(used))
        value = coords[:, 1:2] - np.logaddexp(0.0, -at)
        slope = 1.0 / (1.0 + np.exp(np.clip(at, -700.0, 700.0)))
        bend = -slope * (1.0 - slope)
        inputs = [ones[:1] * 1.0, *(x[None] for x in used)]
        slopes = [ones, *(slope * x for x in inputs)]
        bends = {
            (i + 1, j + 1): bend * inputs[i] * inputs[j] for i in range(len(inputs)) for j in range(i, len(inputs))
        }
        slots = (1, 2, *range(3, 3 + len(used)))
        return Term(coords[:, :1] * ones, (0,), ones[None, :1]), Term(value, slots, np.stack(slopes, axis=1), bends)

    def log_loss(self, coords: FloatArray, log_axes: LogAxes) -> FloatArray:
        """Return −ln P, shape (B, rows)."""
        return -super().log_loss(coords, log_axes)

    def slopes(self, coords: FloatArray, log_axes: LogAxes) -> FloatArray:
        """Return d −ln P / d coordinates, shape (B, P, rows)."""
        return -super().slopes(coords, log_axes)

    def problem(self, sample: Sample) -> Problem:
        """Return the problem in the quality, whose terms add up."""
        return super().problem(Sample(sample.log_axes, -sample.log_loss, sample.weights))

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        units = np.array([log_units[axis] for axis in EXPONENTS if axis in log_units])
        moved = coords.copy()
        moved[..., :2] -= log_loss_unit
        moved[..., 2] -= coords[..., 3:] @ units
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return log-linear fits of the odds for several chances and ceilings."""
        quality = np.exp(-sample.log_loss)
        used = [sample.log_axes[axis] for axis in EXPONENTS if axis in sample.log_axes]
        design = np.column_stack([np.ones_like(quality), *used])
        found = []
        for low in CHANCES:
            for high in CEILINGS:
                chance = low * float(quality.min())
                span = high * float(quality.max()) - chance
                share = np.clip((quality - chance) / span, CLIP, 1.0 - CLIP)
                odds = np.log(share / (1.0 - share))
                solved = least_squares(design, odds, np.ones((1, quality.size)))[0][0]
                found.append([np.log(chance), np.log(span), *solved])
        return np.array(found)
