"""How long a worker may go without a step before it is taken to stand still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.execution.pool.protocol import Vitals
from orchestrator.planning.tree import Stage

#: Shortest standstill that counts.
LEAST_S: Final = 60.0
#: Times the duration of a step that may pass without one.
STEPS: Final = 10.0
#: Times longer that a worker may take before its first step, or to write: it loads data, compiles, sends gigabytes.
PREPARING: Final = 10.0
#: Seconds without any answer after which a worker is no longer believed to be preparing something.
SILENT_S: Final = 30.0


@dataclass(frozen=True)
class StallRule:
    """Tells a worker that stands still from one that is slow.

    Parameters
    ----------
    least_s
        Shortest standstill that counts.
    """

    least_s: float = LEAST_S

    def step_s(self, chain: Sequence[Stage], stages_s: dict[str, float]) -> float:
        """Return the longest step of a chain by the estimates, which finished stages have corrected.

        A stage without steps, such as an evaluation, is one.
        """
        return max(stages_s[stage.id] / max(1, stage.steps) for stage in chain)

    def stands_still(self, vitals: Vitals, step_s: float) -> bool:
        """Return whether a gang that is at work has stopped to be."""
        limit_s = max(self.least_s, STEPS * step_s)
        pulse = vitals.pulse
        answers = vitals.silent_s < min(SILENT_S, self.least_s)
        if pulse is not None and answers:
            if pulse.waits_for_store:
                return False  # for no longer than the store's patience, after which it answers
            if pulse.writing or not pulse.stepping:
                limit_s *= PREPARING
        return vitals.unchanged_s > limit_s

    def told(self, gang: str, vitals: Vitals, step_s: float) -> str:
        """Return why a gang at work is to be ended, or nothing where it gets on."""
        if not self.stands_still(vitals, step_s):
            return ""
        return f"worker {gang} made no step for {vitals.unchanged_s:.0f} s and was ended"
