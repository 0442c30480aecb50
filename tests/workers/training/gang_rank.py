"""The ranks of a gang as processes of their own, without Ray: real workers that meet and run what they are told.

Started as a script with the numbers of inherited connections. It forks a process for each once the imports are done,
which take longer than the training; no thread runs by then. On its connection a process is told a method and arguments.
"""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torchvision  # noqa: F401 - an import of each process otherwise

from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Stage
from workers.messages import WorkOrder
from workers.rank import ALONE, Rank
from workers.training.group import join, open_meeting
from workers.training.state import TrainState
from workers.worker import Worker

HOST = "127.0.0.1"


class Member:
    """Two workers of one rank, as a pool may give the stages of a tree to any of its workers."""

    def __init__(self) -> None:
        self.rank = ALONE
        self.meeting: Any = None
        self.workers: list[Worker] = []
        self.models: dict[str, str] = {}

    def meet(self, world_size: int) -> int:
        """Open the place where a gang of this size meets; return its port."""
        self.meeting = open_meeting(HOST, world_size)
        return int(self.meeting.port)

    def join(self, rank: Rank, port: int) -> None:
        """Leave the gang of before and enter the one that meets at a port; a gang of one has no process group."""
        if dist.is_initialized():
            dist.destroy_process_group()
        self.rank = rank
        if rank.world_size > 1:
            join(rank, HOST, port, self.meeting if rank.leads else None, on_gpu=False)

    def begin(self, context: RunContext, store: str) -> None:
        """Start the workers of a sweep."""
        self.workers = [
            Worker(
                f"worker-{number}",
                context,
                store,
                store_id=None,
                threads=1,
                on_gpu=False,
                rank=self.rank,
                checkpoint_interval_s=float("inf"),
                store_patience_s=0.0,
            )
            for number in range(2)
        ]
        for worker in self.workers:
            worker.warm()
            _note_models(worker, self.models)

    def run(self, number: int, order: WorkOrder, parent: Any, keep_at: tuple[str, int] | None) -> tuple[Any, Any]:
        """Run a chain on one of the workers; return, on rank 0, its row with the model's digest, and its last state.

        Parameters
        ----------
        keep_at
            A stage and the steps after which its state goes to the checkpoints, as where an interval has passed.
        """
        worker = self.workers[number]
        keeper, after_step = worker.checkpointer, worker.checkpointer.after_step

        def kept(stage: Stage, step: int, state: Callable[[], Any]) -> None:
            if (stage.id, step) == keep_at and self.rank.leads:
                keeper.keep(stage, state())
            after_step(stage, step, state)

        keeper.after_step = kept  # type: ignore[method-assign]
        try:
            [result], state = worker.run([order], _as_over_ray(parent) if isinstance(parent, TrainState) else parent)
        finally:
            keeper.after_step = after_step  # type: ignore[method-assign]
        if result.failure is not None:
            raise RuntimeError(result.failure.error)
        row = result.row and {**result.row, "model": self.models[result.row["cell_id"]]}
        return row, state


def _note_models(worker: Worker, models: dict[str, str]) -> None:
    """Have the digest of each measured model noted by cell id: in it the last bit of every weight counts."""
    measure = worker.engine.measure

    def noted(stage: Stage, state: TrainState | None) -> dict[str, Any]:
        digest = hashlib.sha256()
        for name, array in sorted((state.model if state else {}).items()):
            digest.update(name.encode() + array.tobytes())
        assert stage.cell is not None
        models[stage.cell.id] = digest.hexdigest()
        return measure(stage, state)

    worker.engine.measure = noted  # type: ignore[method-assign]


def _as_over_ray(state: TrainState) -> TrainState:
    """Return a state whose arrays are read-only, as those in Ray's object store."""

    def locked(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        views = {name: array.view() for name, array in arrays.items()}
        for view in views.values():
            view.setflags(write=False)
        return views

    return replace(
        state,
        model=locked(state.model),
        optimizer=locked(state.optimizer),
        sums={length: locked(running) for length, running in state.sums.items()},
    )


def answer_all(asked: Connection) -> None:
    """Answer every call with (whether it went well, result or traceback), until the other side is gone."""
    member = Member()
    while True:
        try:
            method, arguments = asked.recv()
        except EOFError:
            return
        try:
            answer = True, getattr(member, method)(*arguments)
        except Exception:
            answer = False, traceback.format_exc()
        asked.send(answer)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for number in sys.argv[1:]:
        if os.fork() == 0:
            answer_all(Connection(int(number)))
            break
    else:
        for _ in sys.argv[1:]:
            os.wait()
