"""Cell → the columns of its row that are known before it is measured, and the row of a cell that failed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orchestrator.planning.cell import Cell
from orchestrator.planning.context import RunContext
from orchestrator.planning.recipe import RECIPE_VERSION, recipe_name


def cell_columns(cell: Cell, context: RunContext) -> dict[str, Any]:
    """Return identity, axes and the closed-form costs of a cell's row.

    ``flops`` and ``steps`` are those of the cell's whole path from initialisation, as if it had been trained alone.
    """
    tokens = context.manifest.tokens_per_example
    return {
        "cell_id": cell.id,
        "task": context.manifest.task,
        "seed": cell.seed,
        "recipe_version": RECIPE_VERSION,
        "optimizer": cell.recipe.optimizer,
        "schedule": cell.recipe.schedule,
        "learning_rate": cell.recipe.learning_rate,
        "batch_size": cell.recipe.batch_size,
        "recipe": recipe_name(cell.recipe),
        "data_digest": context.manifest.digest,
        "params_total": cell.shape.params_total,
        "params_non_embedding": cell.shape.params_non_embedding,
        "data_examples": cell.data_examples,
        "data_tokens": cell.data_examples * tokens if tokens else None,
        "data_fraction": cell.data_fraction,
        "epochs": cell.epochs,
        "epsilon": 1.0,
        "fidelity": 1.0,
        "bits_per_param": 32.0,
        "density": 1.0,
        "rank_ratio": 1.0,
        "flops": cell.total_steps * cell.recipe.batch_size * cell.shape.train_flops,
        "steps": cell.total_steps,
        "simulated": context.simulated,
    }


def failure_row(cell: Cell, context: RunContext, *, error: str, attempt: int, worker: str | None) -> dict[str, Any]:
    """Return the row of a cell that could not be measured, the traceback in ``error``."""
    now = datetime.now(UTC)
    return {
        **cell_columns(cell, context),
        "status": "failed",
        "error": error,
        "attempt": attempt,
        "worker": worker,
        "started_at": now,
        "finished_at": now,
    }
