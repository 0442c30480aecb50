"""Writes and finds the states that a lost worker, node or driver must not take along (I6)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.planning.tree import Stage
from orchestrator.store.checkpoints import Checkpoints, DamagedCheckpoint, Progress
from workers.curves import StageCurve


class StateGone(Exception):
    """A state that work should start from is not there; it is to be derived again.

    Parameters
    ----------
    stages
        The stages whose checkpoints or states were counted on.
    reason
        What was found instead.
    """

    def __init__(self, stages: tuple[str, ...], reason: str) -> None:
        super().__init__(reason)
        self.stages = stages


class Stopped(Exception):
    """A stop was asked for, and the state at the last step is kept."""


@dataclass
class Checkpointer:
    """Checkpoints of one worker's stages, and the one who may say whether a state can be gone on from.

    Guarantees: every checkpoint says whether its stage is done or begun, by its name and in its bytes, and where the
    two disagree it counts as damaged; what is found damaged is dropped, so that the next attempt does without.

    Parameters
    ----------
    checkpoints
        Where they lie.
    pack, unpack
        The engine's way of turning a state into bytes and back.
    interval_s
        Most training time that a lost worker may cost; infinite on ranks that keep nothing.
    leads
        Whether this rank keeps anything; the others only read.
    write_curves
        Writes the curves of finished stages; ``None``: nobody wants them.
    """

    checkpoints: Checkpoints
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]
    interval_s: float = math.inf
    leads: bool = True
    write_curves: Callable[[list[StageCurve]], None] | None = None
    stop_asked: bool = False
    beats: int = 0
    stepping: bool = False
    writing: bool = False
    _due_s: float = math.inf
    _made_s: float = 0.0
    _kept: dict[str, Progress] = field(default_factory=dict)
    _curves: list[StageCurve] = field(default_factory=list)

    def start(self, spent_s: float) -> None:
        """Begin a chain of stages on a path that has trained for so long since it was last kept."""
        self._made_s = time.monotonic() - spent_s
        self._due_s = self._made_s + self.interval_s
        self._kept = {}
        self._curves = []
        self.stop_asked = self.stepping = False

    @property
    def due(self) -> bool:
        """True when an interval has passed since the path was last kept."""
        return self.leads and time.monotonic() >= self._due_s

    @property
    def was_long(self) -> bool:
        """True when the path has trained for an interval since its last finished state that was kept."""
        return self.leads and time.monotonic() - self._made_s >= self.interval_s

    def kept(self, progress: Progress) -> tuple[str, ...]:
        """Return the ids of the stages that were kept since the start, in their middle or at their end."""
        return tuple(stage_id for stage_id, how in self._kept.items() if how is progress)

    def beat(self) -> None:
        """Note a sign of life that is no step: a scored batch, a timed call."""
        self.beats += 1

    def stepped(self) -> None:
        """Note steps of which no state is at hand."""
        self.beats += 1
        self.stepping = True

    def after_step(self, stage: Stage, step: int, state: Callable[[], Any]) -> None:
        """Note a step; keep the state where that is due, and end the stage where a stop was asked for.

        Parameters
        ----------
        step
            Steps of the stage's phase that are done.
        state
            Makes the state at that step, which is not done.

        Raises
        ------
        Stopped
            On the rank that keeps states; the others, which wait for it, are ended with their gang.
        """
        self.beats += 1
        self.stepping = True
        if step >= stage.stop_step or not (self.due or (self.stop_asked and self.leads)):
            return
        self.keep(stage, state())
        if self.stop_asked:
            raise Stopped(f"stopped after step {step}")

    def after_step_together(self, states: list[tuple[Stage, Callable[[], Any]]], step: int) -> None:
        """Note a step of several stages that train as one model; they are kept together or not at all.

        Raises
        ------
        Stopped
            As in :meth:`after_step`.
        """
        self.beats += 1
        self.stepping = True
        if step >= states[0][0].stop_step or not (self.due or self.stop_asked):
            return
        for stage, state in states:
            self.keep(stage, state())
        if self.stop_asked:
            raise Stopped(f"stopped after step {step}")

    def add_curve(self, curve: StageCurve) -> None:
        """Take the curve of a finished stage, to be written before anything that lies behind it."""
        if self.leads:
            self._curves.append(curve)

    def flush_curves(self) -> None:
        """Write the curves of the stages that are finished."""
        if self._curves and self.write_curves is not None:
            self.write_curves(self._curves)
        self._curves = []

    def keep(self, stage: Stage, state: Any) -> None:
        """Write the state of a stage, begun or done, in the place of what it kept before."""
        self.flush_curves()
        progress = Progress.DONE if state.done else Progress.BEGUN
        self.writing = True
        try:
            self.checkpoints.save(stage.id, progress, state.step, self.pack(state))
        finally:
            self.writing = False
        self._kept[stage.id] = progress
        self._due_s = time.monotonic() + self.interval_s
        if state.done:
            self._made_s = time.monotonic()

    def found(self, stage_id: str) -> Any | None:
        """Return the state that was last kept of a stage, which says whether it is done, or ``None``.

        Raises
        ------
        StateGone
            If it is damaged, or is not what its name says; it is dropped.
        """
        try:
            there = self.checkpoints.load(stage_id)
            if there is None:
                return None
            progress, data = there
            state = self.unpack(data)
        except DamagedCheckpoint as damage:
            self.checkpoints.drop(stage_id)
            raise StateGone((stage_id,), f"the checkpoint of stage {stage_id[:12]} is no state: {damage}") from damage
        if state.done is not (progress is Progress.DONE):
            self.checkpoints.drop(stage_id)
            raise StateGone((stage_id,), f"the checkpoint of stage {stage_id[:12]} is not {progress.value}, as it says")
        return state

    def finished(self, stage_id: str) -> Any:
        """Return the state of a stage that is known to lie here as done.

        Raises
        ------
        StateGone
            If it does not.
        """
        state = self.found(stage_id)
        if state is None or not state.done:
            raise StateGone((stage_id,), f"the state of stage {stage_id[:12]} is not among the checkpoints any more")
        return state
