"""The ranks of a gang as processes of their own, without Ray: they meet, train stage trees and answer with rows.

Started as a script with the numbers of inherited connections. It forks a process for each once the imports are done,
which take longer than the training; no thread runs by then. On its connection a process is told a method and arguments.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torchvision  # noqa: F401 - an import of each process otherwise

from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Stage, StageTree
from workers.engine import TorchEngine
from workers.rank import ALONE, Rank
from workers.training.group import join, open_meeting
from workers.training.state import TrainState

HOST = "127.0.0.1"
#: What must not depend on how a cell came about; times may.
SCORES = (
    "train_loss", "val_loss", "test_loss", "bits_per_byte", "accuracy", "precision_macro", "recall_macro", "f1_macro",
    "model_bytes", "epsilon", "fidelity", "bits_per_param", "density", "rank_ratio",
)  # fmt: skip


class Member:
    """Does what a worker of the pool does, with the process group that it was told to join."""

    def __init__(self) -> None:
        self.rank = ALONE
        self.meeting: Any = None

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

    def rows(self, context: RunContext, tree: StageTree, luck: int, cut: bool) -> dict[str, Any]:
        """Run a tree and return, on rank 0, what each cell measured, by its id.

        Parameters
        ----------
        luck
            Seed of the order in which chains run and of which worker takes each: in a pool neither can be foretold.
        cut
            Whether every stage is interrupted at some step and taken up from its checkpoint by a new worker.
        """
        chance = random.Random(luck)
        engines = [TorchEngine(context, self.rank, on_gpu=False) for _ in range(2)]
        ends: dict[str | None, TrainState | None] = {None: None}
        found: dict[str, Any] = {}
        ready = list(tree.children[None])
        while ready:
            chain = tree.chain(ready.pop(chance.randrange(len(ready))))
            engine = chance.choice(engines)
            state = self._of_rank_0(ends.get(chain[0].parent))
            for stage in chain:
                if stage.cell is not None:
                    if self.rank.leads:
                        found[stage.cell.id] = _row(engine, stage, state)
                elif stage.steps > 1 and cut and stage.kind != "compress":
                    state = self._cut(engine, stage, state, chance.randrange(stage.start_step + 1, stage.stop_step))
                elif stage.kind != "merge" or self.rank.leads:
                    state = engine.train(stage, state)
            children = tree.children.get(chain[-1].id, [])
            if children and self.rank.leads:
                ends[chain[-1].id] = _as_over_ray(state)
            ready += children
        return found

    def _of_rank_0(self, value: Any) -> Any:
        """Return what rank 0 has, as every rank of a gang gets its parent's state and its checkpoint."""
        if self.rank.world_size == 1:
            return value
        box = [value if self.rank.leads else None]
        dist.broadcast_object_list(box, src=0)
        return value if self.rank.leads else box[0]

    def _cut(self, engine: TorchEngine, stage: Stage, parent: TrainState | None, step: int) -> TrainState:
        checkpoint = self._of_rank_0(engine.pack(engine.train(replace(stage, stop_step=step), parent)))
        other = TorchEngine(engine.context, self.rank, on_gpu=False)
        return other.train(stage, other.unpack(checkpoint))


def _row(engine: TorchEngine, stage: Stage, state: TrainState | None) -> dict[str, Any]:
    """Return a cell's scores and the digest of its model, in which the last bit of every weight counts."""
    outcome = engine.measure(stage, state)
    digest = hashlib.sha256()
    for name, array in sorted((state.model if state else {}).items()):
        digest.update(name.encode() + array.tobytes())
    return {"model": digest.hexdigest(), **{key: outcome[key] for key in SCORES if key in outcome}}


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
