"""What travels between driver and workers beside states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.planning.tree import Stage


@dataclass(frozen=True)
class Kept:
    """Stands for a state that lies in the store's checkpoints instead of in memory."""

    stage_id: str


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """What a worker is asked to do.

    Parameters
    ----------
    chain
        Stages, each the only child of the one before.
    attempt
        1 for the first try.
    look_for_kept
        Whether an earlier attempt may have kept a state of one of them.
    spill
        Whether the last state goes to the checkpoints, as memory is full.
    unkept_s
        Training time on the path so far that a loss of its state would cost.
    """

    chain: list[Stage]
    attempt: int = 1
    look_for_kept: bool = False
    spill: bool = False
    unkept_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What the driver learns of a chain of stages; the last state itself travels beside it.

    Parameters
    ----------
    seconds
        Wall time on the worker, the commit included; of chains that ran together its share.
    row
        The committed row where the chain ends in ``evaluate``.
    state_bytes
        Size of the last state, where it travels.
    kept
        Ids of stages with a checkpoint that the call wrote.
    spared_steps
        Optimiser steps of the chain that an earlier attempt had done and kept.
    error
        Traceback where a stage failed.
    retry
        False where the same chain would fail the same way again.
    """

    seconds: float = 0.0
    row: dict[str, Any] | None = None
    state_bytes: int = 0
    kept: tuple[str, ...] = ()
    spared_steps: int = 0
    error: str | None = None
    retry: bool = True
