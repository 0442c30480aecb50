"""One process of a program on a path of stages, and what it leaves in its folder on the way."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from orchestrator.planning.tree import Stage
from orchestrator.programs.exchange import BadAnswer, NotANumber, finite, read_file, read_json
from orchestrator.programs.manifest import PROTOCOL, Manifest
from orchestrator.programs.process import ProgramProcess
from workers.programs.failures import ProgramDiverged
from workers.programs.state import MOST_BYTES, ProgramState, read_folder
from workers.programs.told_curve import ToldCurve
from workers.programs.weights import like_each_other, read_weights, weights_file
from workers.training.merge import OpenWindows

#: Longest line of metrics, and bytes a step that they may take: more is no metric but a log.
LINE_BYTES: Final = 4_096
STEP_BYTES: Final = 1_024
FREE_BYTES: Final = 1_000_000


@dataclass(eq=False)
class Run:
    """A process at work.

    Parameters
    ----------
    folder
        Holds the task, ``states/``, ``metrics.jsonl``, ``result.json`` and the state that it starts from.
    path
        The training stages that it goes through; each but the first begins where the one before it ends.
    start
        What it started from.
    scores
        Whether it scores the end of the path.
    windows
        Of ``wsm``: running sums of the weights that its states hold.
    """

    folder: Path
    process: ProgramProcess
    task: dict[str, Any]
    manifest: Manifest
    path: Sequence[Stage]
    start: ProgramState
    scores: bool
    windows: OpenWindows | None = None
    began_s: float = field(default_factory=time.time)
    #: Last step that it told of, and when it last told of any.
    step: int = 0
    heard_s: float = field(default_factory=time.monotonic)
    #: Stages whose ends were handed over, and are not here any more.
    handed: set[str] = field(default_factory=set)
    #: Step up to which snapshots are in the sums.
    summed: int = 0
    #: What it has told of each stage of the path, by id.
    curves: dict[str, ToldCurve] = field(default_factory=dict)
    _read: int = 0
    _rest: bytes = b""

    def listen(self) -> bool:
        """Read what is new in the metrics; return whether there is a sign of life.

        Raises
        ------
        ProgramDiverged
            If a training loss is no number.
        BadAnswer
            If a line is no metric.
        """
        path = self.folder / "metrics.jsonl"
        try:
            if path.stat().st_size == self._read:
                return False
        except FileNotFoundError:
            return False
        if path.is_symlink() or not path.is_file():
            raise BadAnswer("metrics.jsonl is no plain file")
        with path.open("rb") as file:
            file.seek(self._read)
            data = file.read(FREE_BYTES)
        self._read += len(data)
        steps = self.task["stop_step"] - self.task["start_step"]
        if self._read > FREE_BYTES + STEP_BYTES * steps:
            raise BadAnswer(
                f"metrics.jsonl has more than {FREE_BYTES + STEP_BYTES * steps:,} bytes for {steps:,} steps"
            )
        *lines, self._rest = (self._rest + data).split(b"\n")
        if max(map(len, [*lines, self._rest])) > LINE_BYTES:
            raise BadAnswer(f"metrics.jsonl has a line of more than {LINE_BYTES:,} bytes")
        for line in lines:
            if line.strip():
                self._take(line)
        if lines:
            self.heard_s = time.monotonic()
        return bool(lines)

    def _take(self, line: bytes) -> None:
        try:
            metric = json.loads(line)
            step, loss = metric["step"], metric["train_loss"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            shown = line[:80].decode(errors="replace")
            raise BadAnswer(f"a line of the metrics is not {{'step', 'train_loss'}}: {shown}") from error
        if isinstance(step, bool) or not isinstance(step, int):
            raise BadAnswer(f"the metrics tell of step {str(step)[:40]!r}, which is no whole number")
        self.step = step
        if finite(loss) is None:
            raise ProgramDiverged(f"the training loss is {str(loss)[:40]} after step {step}: the model has diverged")
        for curve in self.curves.values():
            curve.add(step, float(loss), metric, self._wall_s(time.time()))

    def whole_states(self) -> list[int]:
        """Return the steps after which it has left a whole state, in order; others' names are passed over."""
        folder = self.folder / "states"
        found = [int(each.name) for each in folder.iterdir() if each.name.isdecimal() and len(each.name) < 16]
        return sorted(step for step in found if self.task["start_step"] <= step <= self.task["stop_step"])

    def inside(self, stage: Stage, steps: Sequence[int]) -> list[int]:
        """Return which of some steps lie in the middle of a stage, and after the start of this process."""
        return [step for step in steps if self.task["start_step"] < step < stage.stop_step]

    def state(self, step: int, *, done: bool) -> ProgramState:
        """Return a whole state that it has left.

        Raises
        ------
        BadAnswer
            If it holds what no state may.
        """
        folder = self._left(step)
        inside = (each for each in self.curves.values() if each.stage.start_step < step < each.stage.stop_step)
        curve = None if done else next((each.saved(step) for each in inside), None)
        state = ProgramState(step, read_folder(folder), self._wall_s(folder.stat().st_ctime), done, curve=curve)
        self._check_weights(state)
        if self.windows is None:
            return state
        self.sum_up(step)
        return replace(state, sums={length: dict(arrays) for length, arrays in self.windows.sums.items() if arrays})

    def sum_up(self, step: int) -> None:
        """Add the snapshots up to a step to the sums of their windows, in the order of steps.

        Raises
        ------
        BadAnswer
            If one has no weights file, or another one's arrays.
        """
        name = self.manifest.weights
        if self.windows is None or name is None:
            return
        for snapshot in self.whole_states():
            if self.summed < snapshot <= step and self.windows.due(snapshot):
                try:
                    data = read_file(self._left(snapshot) / name, MOST_BYTES)
                except FileNotFoundError:
                    raise BadAnswer(f"the state {snapshot} holds no {name}") from None
                arrays = read_weights(data, name)
                for running in self.windows.sums.values():
                    like_each_other(running, arrays, name, snapshot)
                self.windows.add(snapshot, arrays)
        self.summed = max(self.summed, step)

    def _left(self, step: int) -> Path:
        folder = self.folder / "states" / str(step)
        if folder.is_symlink() or not folder.is_dir():
            raise BadAnswer(f"the state {step} is no folder")
        return folder

    def _check_weights(self, state: ProgramState) -> None:
        if self.manifest.weights is not None:
            weights_file(state, self.manifest.weights)

    def leads_to(self, stage: Stage) -> bool:
        """Return whether this process is at a stage, or comes to it."""
        return stage.id not in self.handed and any(each.id == stage.id for each in self.path)

    def forget(self, step: int) -> None:
        """Remove a state that is not needed here any more."""
        shutil.rmtree(self.folder / "states" / str(step), ignore_errors=True)

    def answer(self) -> dict[str, Any]:
        """Return what it answered, once it has ended well.

        Raises
        ------
        BadAnswer
            If that is no answer to this task, or counts another model than was described.
        ProgramDiverged
            If it holds a number that is none.
        """
        try:
            result = read_json(self.folder / "result.json")
        except NotANumber as bad:
            raise ProgramDiverged(str(bad)) from None
        wanted = {"protocol": PROTOCOL, "id": self.task["id"]}
        if self.task["do"] == "train":
            wanted["step"] = self.task["stop_step"]
        if self.task["do"] != "evaluate":
            wanted["params_total"] = self.task["model"]["params_total"]
        for name, value in wanted.items():
            if result.get(name) != value or isinstance(result.get(name), bool):
                shown = json.dumps(result.get(name))[:80]
                raise BadAnswer(f"result.json: {name} is {shown}, and the task and the description say {value}")
        return result

    def end(self) -> ProgramState:
        """Return the state at the end of the path, scored; its files only where something goes on from it."""
        step, answer = self.task["stop_step"], self.answer()
        if step in self.task["save_steps"]:
            return replace(self.state(step, done=True), wall_s=self._wall_s(time.time()), result=answer)
        return ProgramState(step, (), self._wall_s(time.time()), done=True, result=answer)

    def _wall_s(self, at_s: float) -> float:
        return self.start.wall_s + max(0.0, at_s - self.began_s)

    def close(self) -> None:
        """End the process and all that it started, and remove its folder."""
        self.process.kill()
        for path in (self.folder, *self.folder.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(self.folder, ignore_errors=True)
