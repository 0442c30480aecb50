"""Short runs of a program by itself, without a sweep, for the check of what it promises."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from orchestrator.planning.family import ModelShape
from orchestrator.planning.manifest import DataManifest
from orchestrator.planning.recipe import Recipe
from orchestrator.programs.exchange import BadAnswer, finite, read_json
from orchestrator.programs.guardian import Guardian
from orchestrator.programs.launcher import CannotStart, Launcher
from orchestrator.programs.manifest import PROTOCOL
from orchestrator.programs.process import ProgramProcess, told
from orchestrator.programs.program import Program, SourcesChanged
from workers.ports import free_port
from workers.programs.ranks import rank_environment
from workers.programs.state import read_folder
from workers.programs.task import write_train_task

#: Longest that a short run may take: programs load data, and compile.
RUN_S: Final = 1_800.0
LOOK_S: Final = 0.005
Knots = Sequence[tuple[int, float]]


class TrialFailed(Exception):
    """A short run did not end as it should."""


@dataclass(frozen=True)
class Outcome:
    """What a short run left.

    Parameters
    ----------
    losses
        Training loss by the number of steps done.
    scores
        Numbers of its answer.
    """

    losses: Mapping[int, float]
    scores: Mapping[str, float]

    def after(self, step: int) -> dict[int, float]:
        """Return the losses of the steps after so many."""
        return {done: loss for done, loss in self.losses.items() if done > step}

    def until(self, step: int) -> dict[int, float]:
        """Return the losses of the first steps."""
        return {done: loss for done, loss in self.losses.items() if done <= step}


@dataclass
class Trials:
    """Runs of one model, one after the other, in a folder that is removed at the end.

    Parameters
    ----------
    threads, on_gpu
        What each of its ranks has.
    """

    program: Program
    options: Mapping[str, Any]
    shape: ModelShape
    data: DataManifest
    recipe: Recipe
    threads: int = 1
    on_gpu: bool = False
    seed: int = 0
    _count: int = 0
    _folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="scalaw-check-")))

    def __enter__(self) -> Trials:
        self._guardian = Guardian(self._folder)
        self._launcher = Launcher(self.program, self._folder, self._guardian, self.threads)
        return self

    def __exit__(self, *_: object) -> None:
        self._launcher.close()
        self._guardian.close()

    def run(
        self,
        start: int,
        stop: int,
        *,
        knots: Knots = ((0, 1.0),),
        stream: int | None = None,
        state: Path | None = None,
        saves: Sequence[int] = (),
        scored: int | None = None,
    ) -> tuple[Outcome, Path]:
        """Run steps to their end; return what came of it, and the folder of its states.

        Raises
        ------
        TrialFailed
            If it ends otherwise than well, or its answer is none to the task.
        """
        folder, processes = self._start(start, stop, knots, stream, state, saves, scored, every_s=1e9)
        try:
            codes = [process.wait(RUN_S) for process in processes]
            if any(codes):
                log = next(p.log.text() for p, code in zip(processes, codes, strict=True) if code)
                how = ", ".join(sorted({told(code) if code is not None else "no end" for code in codes if code != 0}))
                raise TrialFailed(f"steps {start} to {stop} ended with {how}: {(log.splitlines() or ['no word'])[-1]}")
        finally:
            _end(processes)
        scores = self._scores(folder, step=stop)
        missing = [step for step in saves if not (folder / "states" / str(step)).is_dir()]
        if missing:
            raise TrialFailed(f"it left no state {missing[0]}")
        return Outcome(losses_in(folder), scores), folder / "states"

    def score(self, state: Path, weights: bytes, scored: int) -> tuple[Outcome, Path]:
        """Let a state be scored with other weights; return the answer, and the file that it was given.

        Raises
        ------
        TrialFailed
            As `run`.
        """
        folder, processes = self._start(0, 0, ((0, 1.0),), None, state, (), scored, every_s=1e9, weights=weights)
        try:
            code = processes[0].wait(RUN_S)
            if code != 0:
                how = "no end" if code is None else told(code)
                said = processes[0].log.text().splitlines() or ["no word"]
                raise TrialFailed(f"do: score ended with {how}: {said[-1]}")
        finally:
            _end(processes)
        return Outcome({}, self._scores(folder)), folder / str(self.program.manifest.weights)

    def _scores(self, folder: Path, **more: int) -> dict[str, float]:
        """Return the numbers of an answer that is one to the task in a folder."""
        try:
            answer = read_json(folder / "result.json")
        except BadAnswer as bad:
            raise TrialFailed(str(bad)) from bad
        wanted = {"protocol": PROTOCOL, "id": f"check-{folder.name}", **more}
        for name, value in wanted.items():
            if answer.get(name) != value:
                raise TrialFailed(f"result.json: {name} is {json.dumps(answer.get(name))[:80]} and not {value}")
        if answer.get("params_total") != self.shape.params_total:
            raise TrialFailed(
                f"it counts {answer.get('params_total')} parameters and described {self.shape.params_total:,}"
            )
        return {name: value for name in answer if name != "id" and (value := finite(answer[name])) is not None}

    def interrupted(self, number: int, *, every_s: float) -> tuple[Outcome, int | None, Path]:
        """Run steps until the program is at work, send it a signal, and return what it left.

        Returns
        -------
        tuple
            Its losses, its exit code (``None`` where it did not end in time), and the folder of its states.
        """
        folder, processes = self._start(0, 10**6, ((0, 1.0),), None, None, (), None, every_s=every_s)
        states = folder / "states"
        late = time.monotonic() + RUN_S
        try:
            while time.monotonic() < late and processes[0].code() is None:
                if len(losses_in(folder)) >= 2 and (every_s > 1e6 or steps_in(states)):
                    break
                time.sleep(LOOK_S)
            processes[0].signal(number)
            code = processes[0].wait(self.program.manifest.grace_s)
        finally:
            _end(processes)
        return Outcome(losses_in(folder), {}), code, states

    def _start(
        self,
        start: int,
        stop: int,
        knots: Knots,
        stream: int | None,
        state: Path | None,
        saves: Sequence[int],
        scored: int | None,
        *,
        every_s: float,
        weights: bytes | None = None,
    ) -> tuple[Path, list[ProgramProcess]]:
        self._count += 1
        folder = self._folder / str(self._count)
        recipe, manifest = self.recipe, self.program.manifest
        if weights is not None:
            recipe = replace(recipe, world_size=1)  # one process scores
        write_train_task(
            folder,
            id_=f"check-{folder.name}",
            options=self.options,
            shape=self.shape,
            data=self.data,
            recipe=recipe,
            seed=self.seed,
            on_gpu=self.on_gpu,
            start_step=start,
            start_state=state,
            stop_step=stop,
            rate_knots=knots,
            stream_examples=stream or self.data.train_examples,
            save_steps=saves,
            checkpoint_interval_s=every_s,
            eval_examples=scored,
            weights=None if weights is None else folder / str(manifest.weights),
        )
        if weights is not None:
            file = folder / str(manifest.weights)
            file.write_bytes(weights)
            file.chmod(0o444)
        port = free_port()
        processes: list[ProgramProcess] = []
        several = recipe.world_size > 1 and manifest.launch == "ranks"
        try:
            for rank in range(recipe.world_size if several else 1):
                variables = rank_environment(rank, recipe.world_size, port) if several else {}
                variables |= {"CUDA_VISIBLE_DEVICES": str(rank)} if several and self.on_gpu else {}
                processes.append(self._launcher.start(folder / "task.json", variables))
        except (CannotStart, SourcesChanged) as error:
            _end(processes)
            raise TrialFailed(f"it can't be started: {error}") from error
        return folder, processes


def _end(processes: Sequence[ProgramProcess]) -> None:
    for process in processes:
        process.kill()


def losses_in(folder: Path) -> dict[int, float]:
    """Return the losses that a run has told of so far, by the steps done."""
    found: dict[int, float] = {}
    with suppress(FileNotFoundError):
        for line in (folder / "metrics.jsonl").read_text(errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a line that is still being written, or none of metrics
                metric = json.loads(line)
                found[int(metric["step"])] = float(metric["train_loss"])
    return found


def steps_in(states: Path) -> list[int]:
    """Return the steps after which a run has left whole states."""
    return sorted(int(each.name) for each in states.iterdir() if each.name.isdecimal())


def contents(state: Path) -> list[tuple[str, bytes]]:
    """Return path and bytes of a state's files."""
    return [(name, data.tobytes()) for name, data in read_folder(state)]


def copied(state: Path, to: Path) -> Path:
    """Return a copy of a state, as one that has travelled."""
    shutil.copytree(state, to)
    return to
