"""How much memory the states of a running sweep may take, and which of them go to checkpoints instead."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class StateMemory:
    """Keeps the states in the object store below a budget.

    Room is reserved before a stage is sent; where there is none its state goes to a checkpoint file.

    Parameters
    ----------
    budget_bytes
        What all states together may take.
    """

    budget_bytes: int
    peak_bytes: int = 0
    spilled: int = 0
    _reserved: dict[str, int] = field(default_factory=dict)
    _live: dict[str, int] = field(default_factory=dict)

    @property
    def live_bytes(self) -> int:
        """What states take now."""
        return sum(self._live.values())

    def reserve(self, stage_id: str, size: int) -> bool:
        """Reserve room for the state that a stage will leave; return False where it must go to a file."""
        if self.live_bytes + sum(self._reserved.values()) + size > self.budget_bytes:
            self.spilled += 1
            return False
        self._reserved[stage_id] = size
        return True

    def settle(self, stage_id: str, size: int) -> None:
        """Replace what was reserved by what the state really takes."""
        self._reserved.pop(stage_id, None)
        if size:
            self._live[stage_id] = size
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def release(self, stage_id: str) -> None:
        """Give the room of a state back, reserved or taken."""
        self._reserved.pop(stage_id, None)
        self._live.pop(stage_id, None)
