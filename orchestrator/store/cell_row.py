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
    What a compression leaves is known once it is measured.
    """
    tokens = context.manifest.tokens_per_example
    scored_on = context.data[cell.data].manifest
    return {
        "cell_id": cell.id,
        "task": scored_on.task,
        "seed": cell.seed,
        "recipe_version": RECIPE_VERSION,
        "optimizer": cell.recipe.optimizer,
        "schedule": cell.recipe.schedule,
        "learning_rate": cell.recipe.learning_rate,
        "batch_size": cell.recipe.batch_size,
        "recipe": recipe_name(cell.recipe),
        "data_digest": scored_on.digest,
        "params_total": cell.shape.params_total,
        "params_non_embedding": cell.shape.params_non_embedding,
        "data_examples": cell.data_examples,
        "data_tokens": cell.data_examples * tokens if tokens else None,
        "data_fraction": cell.data_fraction,
        "epochs": cell.epochs,
        "finetune_examples": cell.tuning.examples if cell.tuning else None,
        "finetune_epochs": cell.tuning.epochs if cell.tuning else None,
        "compression": cell.compressed.label if cell.compressed else None,
        "compression_method": cell.compressed.method if cell.compressed else None,
        "compression_level": cell.compressed.level if cell.compressed else None,
        "epsilon": None if cell.compressed else 1.0,
        "fidelity": None if cell.compressed else 1.0,
        "bits_per_param": None if cell.compressed else 32.0,
        "density": None if cell.compressed else 1.0,
        "rank_ratio": None if cell.compressed else 1.0,
        "flops": cell.flops,
        "steps": cell.steps,
        "simulated": context.simulated,
    }


def last_line(error: str | None) -> str:
    """Return the last line of a failure's traceback, which says what went wrong."""
    lines = (error or "").strip().splitlines()
    return lines[-1] if lines else "no reason was recorded"


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
