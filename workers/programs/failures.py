"""How a program's process can end other than well; what each costs says the failure policy."""

from __future__ import annotations


class ProgramFailed(Exception):
    """It ended by an error or a signal; tried again from its newest whole state.

    Parameters
    ----------
    sentence
        How it ended.
    log
        The end of what it said.
    """

    def __init__(self, sentence: str, log: str = "") -> None:
        super().__init__(f"{sentence}: {log.splitlines()[-1]}" if log else sentence)
        self.log = log


class TaskRefused(ProgramFailed):
    """It said that the task is bad; it would say so again."""


class Hung(ProgramFailed):
    """It gave no sign of life for too long and was ended."""


class ProgramDiverged(ArithmeticError):
    """Its loss is no number any more."""
