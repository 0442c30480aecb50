"""The engine seam: what runs the stages of one sweep in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Stage
from workers.checkpointer import Checkpointer
from workers.rank import ALONE, Rank


class Engine(Protocol):
    """Runs the stages of one sweep in one process, data and imports kept warm.

    Guarantees: a stage's state depends on the stage, its parent's state, the rank's world size and the context alone,
    not on what the engine ran before; a parent's state is never written to.

    Parameters
    ----------
    context
        What the sweep's stages share.
    rank
        This process among those that train each cell together.
    on_gpu
        Whether the process has a GPU to itself, or a share of one.
    threads
        Threads that its results belong to; whoever calls sets those of this process.
    """

    device_kind: str

    def __init__(self, context: RunContext, rank: Rank = ALONE, *, on_gpu: bool = False, threads: int = 1) -> None: ...

    def train(self, stage: Stage, parent: Any, checkpointer: Checkpointer | None = None, micro_batches: int = 1) -> Any:
        """Return the state at the end of a training stage.

        Parameters
        ----------
        parent
            State of the parent, which is done, or one that an earlier attempt has kept in the middle of this stage;
            ``None`` starts from initialisation.
        checkpointer
            Is told of every step, and keeps what should not be lost on the way.
        micro_batches
            Parts in which each batch passes the device; the gradient is that of the whole batch.

        Raises
        ------
        Stopped
            If a stop was asked for; the state is kept.
        """

    def train_together(
        self, stages: Sequence[Stage], parents: Sequence[Any], checkpointer: Checkpointer | None = None
    ) -> list[Any]:
        """Return the states after stages that differ in the seed alone, trained as one model where that pays.

        Parents are all done, or all were left at the same step in the middle of these stages.

        In the place of the state of a model that diverged stands the ``ArithmeticError``; the others are unharmed.
        """

    def listen(self, beat: Callable[[], None]) -> None:
        """Call something now and then while a model is scored: a sign of life where no step is made."""

    def foresee(self, stages: Sequence[Stage]) -> None:
        """Take note of the stages that will probably be asked for next, in this order; it may get ready for them."""

    def pack(self, state: Any) -> bytes:
        """Return a state as bytes that any later version reads, or refuses."""

    def unpack(self, data: bytes) -> Any:
        """Return the state behind bytes, equal to the bit.

        Raises
        ------
        DamagedCheckpoint
            If they are damaged.
        """

    def measure(self, stage: Stage, parent: Any) -> dict[str, Any]:
        """Return the outcome and cost columns of the row that an ``evaluate`` stage measures; on rank 0."""


@runtime_checkable
class HasWeights(Protocol):
    """An engine whose models can be written to a file."""

    def model_file(self, stage: Stage, parent: Any) -> bytes:
        """Return the model that an ``evaluate`` stage measures, as the file that ``scalaw export`` writes."""
