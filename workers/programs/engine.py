"""The engine of ``family: program``: leads processes of a user's own trainer along paths of the stage tree.

A path is one process, as far as can be foreseen: it leaves states where others fork off and goes on, so that a program
starts as often as cells do. What the driver asks next is mostly what the process at work is doing already.
"""

from __future__ import annotations

import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np

from orchestrator.planning.context import RunContext
from orchestrator.planning.tasks import Task
from orchestrator.planning.tree import Stage
from orchestrator.programs.exchange import finite
from orchestrator.programs.guardian import Guardian
from orchestrator.programs.launcher import CannotStart, Launcher
from orchestrator.programs.program import Program
from workers.checkpointer import Checkpointer, StateGone
from workers.curves import StageCurve
from workers.programs.failures import ProgramFailed
from workers.programs.follower import Follower
from workers.programs.ranks import gpu_name, rank_environment
from workers.programs.rates import rate_knots
from workers.programs.rows import measured, with_tasks
from workers.programs.run import Run
from workers.programs.state import ProgramState, from_bytes, to_bytes
from workers.programs.task import write_train_task
from workers.programs.told_curve import ToldCurve, taken_up
from workers.programs.weighing import before_compression, made, substitute, weighed
from workers.rank import ALONE, Rank
from workers.training.merge import OpenWindows

#: Models whose accuracy is remembered, so that their compressed variants needn't ask for it again.
REFERENCES_KEPT: Final = 32
#: Seconds between states where nobody keeps them: never.
INTERVAL_S: Final = 1e9


class ProgramEngine:
    """Trains and scores by processes of a program."""

    def __init__(self, context: RunContext, rank: Rank = ALONE, *, on_gpu: bool = False, threads: int = 1) -> None:
        assert context.program is not None
        self.context, self.rank, self.threads, self.on_gpu = context, rank, threads, on_gpu
        self.program: Program = context.program
        self.device_kind = gpu_name() if on_gpu else "cpu"
        self._scratch = Path(tempfile.mkdtemp(prefix="scalaw-program-"))
        self._guardian = Guardian(self._scratch)
        self._end = weakref.finalize(self, self._guardian.close)
        self._launcher = Launcher(self.program, self._scratch, self._guardian, threads)
        self._numbers = count(1)
        self._ahead: Sequence[Stage] = ()
        self._run: Run | None = None
        self._curves: dict[str, ToldCurve] = {}
        self._follower = Follower(self.program, rank, lambda: None)
        self._accuracies: OrderedDict[str, float] = OrderedDict()

    def listen(self, beat: Callable[[], None]) -> None:
        """Call something while a process is looked after."""
        self._follower.beat = beat

    def foresee(self, stages: Sequence[Stage]) -> None:
        """Take the stages that follow each other from now on into one process, as far as they can be."""
        self._ahead = stages

    def pack(self, state: ProgramState) -> bytes:
        """Return a state as one safetensors file."""
        return to_bytes(state)

    def unpack(self, data: bytes) -> ProgramState:
        """Return the state in a safetensors file."""
        return from_bytes(data)

    def train(
        self,
        stage: Stage,
        parent: ProgramState | None,
        checkpointer: Checkpointer | None = None,
        micro_batches: int = 1,
    ) -> ProgramState:
        """Return the state at the end of a stage.

        Raises
        ------
        ProgramFailed
            If the program ends by an error, refuses the task or hangs.
        BadAnswer
            If what it leaves can't be taken.
        ProgramDiverged
            If its training loss is no number any more.
        StateGone
            If the parent was scored at the end of its path, and nothing goes on from it.
        """
        if stage.kind in ("merge", "compress"):
            return self._made(stage, parent)
        interval_s = INTERVAL_S if checkpointer is None else checkpointer.interval_s / 2
        if not self.rank.leads and self.program.manifest.launch == "one":
            return ProgramState(stage.stop_step, (), done=True)
        try:
            if self._run is None or not self._run.leads_to(stage):
                self._start(self._path(stage), parent, interval_s)
            while (state := self._follower.followed(self._at_work, stage, checkpointer)) is None:
                self._start(*self._rest(self._at_work, stage), interval_s)
            self._at_work.listen()  # a state may be seen before the last line that was written ahead of it
        except BaseException:
            self._curves.clear()
            self._close()
            raise
        curve = self._curves.pop(stage.id, None)
        if checkpointer is not None and curve is not None and len(points := curve.points(state.wall_s)):
            tokens = self.context.manifest.tokens_per_example
            checkpointer.add_curve(StageCurve(stage, stage.parent, points, tokens))
        if stage.id == self._at_work.path[-1].id:
            self._close()
        return state

    def train_together(
        self,
        stages: Sequence[Stage],
        parents: Sequence[ProgramState | None],
        checkpointer: Checkpointer | None = None,
    ) -> list[ProgramState | ArithmeticError]:
        """Return the states of all, one after the other; planning refuses ``fuse`` for programs."""
        found: list[ProgramState | ArithmeticError] = []
        for stage, parent in zip(stages, parents, strict=True):
            try:
                found.append(self.train(stage, parent, checkpointer))
            except ArithmeticError as failure:
                found.append(failure)
        return found

    def measure(self, stage: Stage, parent: ProgramState | None) -> dict[str, Any]:
        """Return the columns of a row that the program's answer gives.

        Raises
        ------
        ArithmeticError
            If its loss is no number.
        """
        scored = parent
        if parent is None or parent.result is None:
            scored = self._scored(stage, parent)
        assert scored is not None
        row = measured(self.program, scored, threads=self.threads, world_size=stage.recipe.world_size)
        row["stage_id"] = (parent.trained if parent else "") or stage.parent
        if self.context.tasks:
            row = with_tasks(row, self._scored(stage, parent, self.context.tasks).result, self.context.tasks)
        name = self.program.manifest.weights
        if parent is None or name is None:
            return row
        asked = partial(self._accuracy, stage, before_compression(parent))
        return {**row, **weighed(self.context, stage, parent, row, name, asked)}

    def _made(self, stage: Stage, parent: ProgramState | None) -> ProgramState:
        """Return what we make of a program's weights."""
        name = self.program.manifest.weights
        if not self.rank.leads:
            return ProgramState(stage.stop_step, (), done=True)
        assert name is not None, "planning refuses merges and compressions of programs without weights"
        assert parent is not None, "a merge and a compression have a parent"
        return made(stage, parent, name, self.threads)

    def _scored(self, stage: Stage, parent: ProgramState | None, tasks: Sequence[Task] = ()) -> ProgramState:
        """Return a state with what the program says of it, or of its answers to tasks."""
        try:
            self._start([stage], parent, INTERVAL_S, tasks)
            while (state := self._follower.followed(self._at_work, stage, None)) is None:
                self._start(*self._rest(self._at_work, stage), INTERVAL_S)
        finally:
            self._close()
        return state

    def _accuracy(self, stage: Stage, before: ProgramState) -> float:
        """Return the accuracy of the model that was compressed, asked once for all of its variants."""
        assert stage.cell is not None
        assert stage.cell.parent is not None
        key = stage.cell.parent.id
        if key not in self._accuracies:
            answer = before.result or self._scored(stage, before).result
            self._accuracies[key] = finite((answer or {}).get("accuracy")) or 0.0
            while len(self._accuracies) > REFERENCES_KEPT:
                self._accuracies.popitem(last=False)
        return self._accuracies[key]

    # A process

    def _path(self, stage: Stage) -> list[Stage]:
        """Return a stage and those that will follow it in the same process, a scoring at the end included."""
        path = [stage]
        following = iter(self._ahead)
        for each in following:
            if each.id == stage.id:
                break
        for each in following:
            if each.kind in ("merge", "compress"):
                break
            if each.parent == path[-1].id and each.phase == stage.phase and path[-1].kind != "evaluate":
                path.append(each)
        return path

    @property
    def _at_work(self) -> Run:
        assert self._run is not None
        return self._run

    def _start(
        self, path: list[Stage], parent: ProgramState | None, interval_s: float, tasks: Sequence[Task] = ()
    ) -> None:
        """Start a process on a path, the last stage of which may be an evaluation, in the place of the one before."""
        self._close()
        # what is weighed or asked after it was scored must be there still
        kept = self.program.manifest.weights is not None or bool(self.context.tasks)
        # every cooldown ends in a cell; where it goes on from its weights, its scoring is not the next thing asked
        scores = path[-1].kind == "evaluate" or (kept and path[-1].kind == "cooldown")
        stages = [each for each in path if each.kind != "evaluate"] or path
        first, last = stages[0], stages[-1]
        if parent is not None and not parent.files and self.rank.leads:
            raise StateGone((first.parent or first.id,), "the state before this stage was scored, and not kept")
        folder = self._scratch / f"run-{next(self._numbers)}"
        start = parent or ProgramState(step=0, files=())
        recipe, name = last.recipe, self.program.manifest.weights
        weights = substitute(last, parent, name, self.threads)
        alone = weights is not None or bool(tasks)
        if alone:
            recipe = replace(recipe, world_size=1)  # one process scores
        save_steps = [each.stop_step for each in stages if each.steps and (kept or not (scores and each is last))]
        windows = OpenWindows(recipe, tuple(sorted({n for each in stages for n in each.windows})), start.sums)
        save_steps += [step for step in range(start.step + 1, last.stop_step) if windows.due(step)]
        task = write_train_task(
            folder,
            id_=f"{first.id[:24]}-{folder.name}",
            options=self.context.model_options["options"],
            shape=last.shape,
            data=self.context.manifest,
            recipe=recipe,
            seed=last.seed,
            on_gpu=self.on_gpu,
            start_step=start.step,
            start_state=folder / "start" if start.files else None,
            stop_step=start.step if alone else last.stop_step,
            rate_knots=rate_knots(last.recipe, last.total_steps, last.stop_step),
            stream_examples=last.stream_examples,
            save_steps=sorted(set(save_steps)),
            checkpoint_interval_s=min(interval_s, INTERVAL_S),
            eval_examples=self.context.eval_examples if scores else None,
            weights=None if weights is None else folder / "weights" / str(name),
            tasks=tasks,
        )
        if start.files:
            start.write(folder / "start")
        if weights is not None:
            ProgramState(0, ((str(name), np.frombuffer(weights, np.uint8)),)).write(folder / "weights")
        try:
            process = self._launcher.start(folder / "task.json", {} if alone else self._ranks())
        except CannotStart as error:
            raise ProgramFailed(f"{self.program.manifest.name} can't be started: {error}") from error
        self._run = Run(folder, process, task, self.program.manifest, stages, start, scores)
        if windows.sums:
            self._run.windows, self._run.summed = windows, start.step
        self._run.curves = taken_up(self._curves, stages, start)

    def _ranks(self) -> dict[str, str]:
        """Return what the process is told of the other ranks; each of them asks at the same time."""
        if self.rank.world_size == 1 or self.program.manifest.launch == "one":
            return {}
        from workers.training.group import agreed_port  # torch, which one process alone does without

        return rank_environment(self.rank.index, self.rank.world_size, agreed_port(self.rank, on_gpu=self.on_gpu))

    def _rest(self, run: Run, stage: Stage) -> tuple[list[Stage], ProgramState]:
        """Return what is left of the path of a process that has saved and left, and where it stands."""
        k = next(k for k, each in enumerate(run.path) if each.id == stage.id)
        scoring = [each for each in self._ahead if each.kind == "evaluate" and each.parent == run.path[-1].id]
        path = [*run.path[k:], *(scoring if run.scores and run.path[-1].kind != "evaluate" else [])]
        return path, run.state(run.whole_states()[-1], done=False)

    def _close(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None
