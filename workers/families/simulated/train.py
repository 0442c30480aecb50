"""Made-up models where others are trained: the engine that sleeps and asks the law."""

from __future__ import annotations

from workers.families.simulated.plan import Simulated
from workers.simulated_engine import SimulatedEngine


class TrainedSimulated(Simulated):
    """The half of :class:`~workers.families.simulated.plan.Simulated` that workers ask."""

    @staticmethod
    def engine() -> type[SimulatedEngine]:
        """Return the engine class that makes up this family's rows."""
        return SimulatedEngine
