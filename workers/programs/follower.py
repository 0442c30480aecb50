"""What a process of a program is at, until a stage is done: what it leaves, whether it lives, how it ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.planning.tree import Stage
from orchestrator.programs.exchange import BadAnswer
from orchestrator.programs.manifest import Sharing
from orchestrator.programs.process import REFUSALS, SAVED, told
from orchestrator.programs.program import Program
from workers.checkpointer import Checkpointer, Stopped
from workers.programs.failures import Hung, ProgramFailed, TaskRefused
from workers.programs.run import Run
from workers.programs.state import ProgramState
from workers.rank import Rank

#: Seconds between two looks at a process: short at first, as many are.
FIRST_LOOK_S: Final = 0.002
LONGEST_LOOK_S: Final = 0.05


@dataclass
class Follower:
    """Looks after the processes of one rank.

    Parameters
    ----------
    beat
        Is called at each look: a sign of life.
    """

    program: Program
    rank: Rank
    beat: Callable[[], None]

    def followed(self, run: Run, stage: Stage, checkpointer: Checkpointer | None) -> ProgramState | None:
        """Return the state at the end of a stage; ``None`` where the process has saved and left before it."""
        if not self.rank.leads:
            return self._accompanied(run, stage)
        look_s, asked_s = FIRST_LOOK_S, None
        last = stage.id == run.path[-1].id
        seen = run.task["start_step"]
        manifest = run.manifest
        while True:
            code = run.process.code()  # before what it left is looked at, which is then all there is
            alive = run.listen()
            self.beat()
            there = run.whole_states()
            if not last and stage.stop_step in there:
                state = _handed_over(run.state(stage.stop_step, done=True), stage)
                run.handed.add(stage.id)
                for step in there:
                    if step <= stage.stop_step:
                        run.forget(step)
                return state
            if checkpointer is not None:
                if alive:
                    checkpointer.stepped()
                seen = self._keep(run, stage, seen, there, checkpointer)
                if checkpointer.stop_asked and asked_s is None and code is None:
                    asked_s = time.monotonic()
                    run.process.signal(signal.SIGTERM)
            if code is not None:
                return self._ended(run, stage, code, checkpointer, stopped=asked_s is not None)
            now = time.monotonic()
            if asked_s is not None and now - asked_s > manifest.grace_s:
                run.process.kill()
            elif asked_s is None and now - run.heard_s > manifest.silence_s:
                run.process.kill()
                raise Hung(
                    f"{manifest.name} wrote no line of metrics for {manifest.silence_s:g} s (silence_s) after step "
                    f"{run.step} and was ended",
                    run.process.log.text(),
                )
            time.sleep(look_s)
            look_s = min(LONGEST_LOOK_S, 1.2 * look_s)

    def _accompanied(self, run: Run, stage: Stage) -> ProgramState:
        """Return at the end of a stage on a rank that leaves nothing; how it gets on shows rank 0."""
        end = ProgramState(stage.stop_step, (), done=True)
        if stage.id != run.path[-1].id:
            run.handed.add(stage.id)
            return end
        while (code := run.process.code()) is None:
            self.beat()
            time.sleep(LONGEST_LOOK_S)
        if code != 0:
            name = f"rank {self.rank.index} of {run.manifest.name}"
            raise ProgramFailed(f"{name} ended with {told(code)}", run.process.log.text())
        return end

    def _ended(
        self, run: Run, stage: Stage, code: int, checkpointer: Checkpointer | None, *, stopped: bool
    ) -> ProgramState | None:
        """Return what a process that has ended leaves, or raise what it ended by."""
        run.process.kill()  # what it started and did not end
        name, there = run.manifest.name, run.whole_states()
        if code == 0:
            end = run.end()
            if run.scores:
                return end
            if stage.stop_step not in there:
                raise BadAnswer(f"{name} ended with exit 0 and left no state {stage.stop_step}")
            return _handed_over(run.state(stage.stop_step, done=True), stage)
        inside = run.inside(stage, there)
        resumes = self.program.level is not Sharing.NONE
        if checkpointer is not None and inside and resumes and (stopped or code != SAVED):
            checkpointer.keep(stage, run.state(inside[-1], done=False))
        if stopped:
            raise Stopped(f"{name} was asked to stop and left with {told(code)}")
        if code == SAVED and resumes and self.rank.world_size == 1 and there and there[-1] > run.task["start_step"]:
            return None
        log = run.process.log.text()
        if code in REFUSALS:
            raise TaskRefused(f"{name} refuses the task with exit {code}", log)
        raise ProgramFailed(f"{name} ended with {told(code)} after step {run.step}", log)

    def _keep(self, run: Run, stage: Stage, seen: int, there: Sequence[int], checkpointer: Checkpointer) -> int:
        """Let the newest state inside a stage be kept where that is due; return its step."""
        inside = run.inside(stage, there)
        if not inside:
            return seen
        newest = inside[-1]
        if self.program.level is not Sharing.NONE and (newest > seen or checkpointer.due):
            checkpointer.after_step(stage, newest, lambda: run.state(newest, done=False))
        run.sum_up(newest)
        for step in inside[:-1]:
            run.forget(step)
        return newest


def _handed_over(state: ProgramState, stage: Stage) -> ProgramState:
    """Return the end of a stage without the windows of cells that a longer path alone leads to."""
    return replace(state, sums={length: sums for length, sums in state.sums.items() if length in stage.windows})
