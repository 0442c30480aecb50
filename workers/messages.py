"""What travels between driver and workers beside states: orders, results, and why something failed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from orchestrator.planning.tree import Stage


class Cause(Enum):
    """Why a piece of work did not come about; who pays for it says `orchestrator.execution.failure_policy`."""

    RAISED = "the stage raised"
    REFUSED = "a program refuses the task, or its answer can't be taken"
    DIVERGED = "the loss is no number any more"
    OUT_OF_MEMORY = "the device has no memory left"
    WORKER_DIED = "its worker died"
    STALLED = "its worker stood still"
    NODE_LOST = "its node was lost, or an idle worker died"
    STATE_LOST = "the state that it starts from is gone"
    STORE_UNREACHABLE = "the store does not answer, or takes nothing"
    STORE_REPLACED = "the store is gone, or another one stands in its place"


@dataclass(frozen=True)
class Failure:
    """What went wrong, in words that a row can keep.

    Parameters
    ----------
    cause
        What kind of thing it is.
    error
        Type and message of the deepest exception, the last frames that led to it, and the node.
    stages
        Of a lost state: the stages whose states or checkpoints turned out not to be there.
    """

    cause: Cause
    error: str
    stages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kept:
    """Stands for the state of a finished stage that lies in the store's checkpoints instead of in memory."""

    stage_id: str


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """What a worker is asked to do.

    Parameters
    ----------
    chain
        Stages, each the only child of the one before that still needs its state.
    attempt
        1 for the first try.
    look_for_kept
        Whether an earlier attempt may have kept a state of one of them.
    spill
        Whether the last state goes to the checkpoints, as memory is full.
    copy
        Whether a copy of the last state is kept beside the one in memory, if it took long to make.
    unkept_s
        Training time on the path so far that a loss of its state would cost.
    micro_batches
        Parts in which a batch passes the device, which an earlier attempt found too small for the whole.
    ahead
        Stages that will probably follow the chain, one after the other, which an engine may begin with meanwhile.
    """

    chain: list[Stage]
    attempt: int = 1
    look_for_kept: bool = False
    spill: bool = False
    copy: bool = False
    unkept_s: float = 0.0
    micro_batches: int = 1
    ahead: tuple[Stage, ...] = ()


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
    begun, done
        Ids of stages of which the call wrote a checkpoint in their middle, or at their end.
    spared_steps
        Optimiser steps of the chain that an earlier attempt had done and kept.
    failure
        Why it failed, if it did.
    stopped
        True where the call ended at a step because a stop was asked for.
    """

    seconds: float = 0.0
    row: dict[str, Any] | None = None
    state_bytes: int = 0
    begun: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    spared_steps: int = 0
    failure: Failure | None = None
    stopped: bool = False


@dataclass(frozen=True)
class Pulse:
    """A sign of life of a worker, to be compared with the one before.

    Parameters
    ----------
    beats
        Steps and scored batches since the worker started.
    stepping
        True once the stage at work has made a step: before that it may load data or compile.
    writing
        True while it writes a checkpoint, which may take longer than many steps.
    waits_for_store
        True while it tries a write again that the store did not take.
    """

    beats: int = 0
    stepping: bool = False
    writing: bool = False
    waits_for_store: bool = False
