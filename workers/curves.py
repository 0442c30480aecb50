"""The curves of stages: after which steps they have a point, and what of a finished one goes to the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from orchestrator.planning.tree import Stage
from orchestrator.store.schema import CURVES_SCHEMA

if TYPE_CHECKING:  # sweeps of programs and simulated ones load no torch
    from workers.training.state import TrainState

#: Points of a stage at most, beside those that ``train.eval_every`` asks for.
MOST_POINTS = 200
#: Columns of a curve's points, float64.
COLUMNS = ("step", "train_loss", "val_loss", "learning_rate", "gradient_norm", "seconds")


def point_steps(start: int, stop: int) -> list[int]:
    """Return the steps of a stage after which a point is kept: all of them, or log-spaced from its start; the last too.

    They depend on the stage alone, so one that is taken up in its middle has the points that it would have had.
    """
    steps = stop - start
    if steps <= MOST_POINTS:
        return list(range(start + 1, stop + 1))
    spaced = np.geomspace(1, steps, MOST_POINTS).round().astype(int)
    return [start + step for step in sorted(set(spaced.tolist()))]


def trained_before(stage: Stage, parent: TrainState | None) -> str:
    """Return the last stage that took steps before one: nothing where it starts from initialisation.

    A state of an older scalaw doesn't say; mostly it is the parent.
    """
    if parent is None:
        return ""
    return parent.trained or (stage.parent or "")


@dataclass(frozen=True)
class StageCurve:
    """The curve of one stage.

    Parameters
    ----------
    parent
        The stage before it that took steps, if there is one.
    points
        float64 (points, columns).
    tokens_per_example
        Where examples are windows of tokens.
    """

    stage: Stage
    parent: str | None
    points: np.ndarray
    tokens_per_example: int | None

    def table(self) -> pa.Table:
        """Return it as a part of the store has it: a row a point, counts from the beginning of the stage's phase."""
        columns = dict(zip(COLUMNS, self.points.T, strict=True))
        steps = columns.pop("step").astype(np.int64)
        examples = steps * self.stage.recipe.batch_size
        rows = len(steps)
        known = {name: pa.array(values, pa.float64(), mask=~np.isfinite(values)) for name, values in columns.items()}
        tokens = None if self.tokens_per_example is None else examples * self.tokens_per_example
        return (
            pa.table(
                {
                    "stage_id": [self.stage.id] * rows,
                    "parent_id": pa.array([self.parent] * rows, pa.string()),
                    "phase": [self.stage.phase] * rows,
                    "step": steps,
                    "examples": examples,
                    "tokens": pa.nulls(rows, pa.int64()) if tokens is None else tokens,
                    "flops": steps * (self.stage.flops / max(1, self.stage.steps)),
                    **known,
                }
            )
            .select(CURVES_SCHEMA.names)
            .cast(CURVES_SCHEMA)
        )
