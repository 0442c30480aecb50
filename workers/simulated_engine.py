"""The engine of ``family: simulated``: stages sleep, the loss is a known law with seeded noise."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.planning.cell import Cell
from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import COMPRESSORS
from orchestrator.store.checkpoints import DamagedCheckpoint
from workers.checkpointer import Checkpointer
from workers.families.simulated.law import simulated_loss
from workers.rank import ALONE, Rank


@dataclass(frozen=True)
class SimulatedState:
    """Where a simulated path stands."""

    step: int
    wall_s: float
    done: bool = True

    @property
    def nbytes(self) -> int:
        """Two numbers."""
        return 16


class SimulatedEngine:
    """Runs stages without torch; known exponents must come back through the whole road."""

    device_kind = "simulated"

    def __init__(self, context: RunContext, rank: Rank = ALONE, *, on_gpu: bool = False, threads: int = 1) -> None:
        self.options = context.model_options
        self.stage_s = float(context.model_options["stage_s"])

    def train(
        self,
        stage: Stage,
        parent: SimulatedState | None,
        checkpointer: Checkpointer | None = None,
        micro_batches: int = 1,
    ) -> SimulatedState:
        """Sleep, and count the step and the time."""
        time.sleep(self.stage_s)
        return SimulatedState(stage.stop_step, self.stage_s + (parent.wall_s if parent else 0.0))

    def train_together(
        self,
        stages: Sequence[Stage],
        parents: Sequence[SimulatedState | None],
        checkpointer: Checkpointer | None = None,
    ) -> list[SimulatedState]:
        """Return the states of all; sleeping together saves nothing."""
        return [self.train(stage, parent, checkpointer) for stage, parent in zip(stages, parents, strict=True)]

    def listen(self, beat: Callable[[], None]) -> None:
        """Nothing is scored in batches here."""

    def foresee(self, stages: Sequence[Stage]) -> None:
        """Nothing is prepared."""

    def pack(self, state: SimulatedState) -> bytes:
        """Return the numbers as JSON."""
        return json.dumps(asdict(state)).encode()

    def unpack(self, data: bytes) -> SimulatedState:
        """Return the numbers in a JSON document."""
        try:
            return SimulatedState(**json.loads(data))
        except (ValueError, TypeError) as failure:
            raise DamagedCheckpoint(f"no state of a simulated stage: {failure}") from failure

    def measure(self, stage: Stage, parent: SimulatedState | None) -> dict[str, Any]:
        """Return the law's loss for the stage's cell."""
        time.sleep(self.stage_s)
        cell = stage.cell
        assert cell is not None
        n = cell.shape.params_non_embedding
        share, of_parent = kept_share(cell), {}
        loss = self._loss(cell, n, share)
        if cell.compressed is not None and cell.parent is not None:
            parent_loss = self._loss(cell.parent, cell.parent.shape.params_non_embedding, 1.0)
            of_parent = {"fidelity": math.exp(parent_loss - loss), "bits_per_param": 32 * share, "epsilon": share}
        wall_s = self.stage_s + (parent.wall_s if parent else 0.0)
        return {
            "train_loss": loss,
            "val_loss": loss,
            "test_loss": loss,
            "wall_s": wall_s,
            "device_s": wall_s,
            "model_bytes": round(4 * cell.root.shape.params_total * share),
            **of_parent,
        }

    def _loss(self, cell: Cell, n: int, share: float) -> float:
        tuning = cell.tuning
        return simulated_loss(
            self.options,
            n,
            cell.data_examples,
            cell.epochs,
            seed=cell.seed,
            cell_id=cell.id,
            ft_d=tuning.examples if tuning else None,
            ft_e=tuning.epochs if tuning else None,
            eps=share,
        )


def kept_share(cell: Cell) -> float:
    """Return the share of bytes that a compression would leave, by what its compressors think."""
    share = 1.0
    for step in cell.compressed.steps if cell.compressed else ():
        share *= COMPRESSORS.load(step.method)().kept_share(step.options, step.before, step.shape)
    return share
