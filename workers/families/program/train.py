"""People's own trainers where others are trained: the engine that runs them as processes."""

from __future__ import annotations

from workers.families.program.plan import ProgramFamily
from workers.programs.engine import ProgramEngine


class TrainedProgram(ProgramFamily):
    """The half of :class:`~workers.families.program.plan.ProgramFamily` that workers ask."""

    @staticmethod
    def engine() -> type[ProgramEngine]:
        """Return the engine class that runs programs."""
        return ProgramEngine
