"""Which share of a gang's work a process has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rank:
    """One of the processes that train a cell together.

    Parameters
    ----------
    index
        0 hands over states, merges and scores.
    world_size
        How many there are; 1 needs no process group.
    """

    index: int = 0
    world_size: int = 1

    @property
    def leads(self) -> bool:
        """True on rank 0."""
        return self.index == 0

    def share(self, batch_size: int) -> slice:
        """Return which examples of a global batch this rank trains on; the world size divides the batch size."""
        each = batch_size // self.world_size
        return slice(self.index * each, (self.index + 1) * each)


#: A process that trains by itself.
ALONE = Rank()
