"""The errors a person can cause, each carrying the exit code that the command line answers with.

Everything else that is raised is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ScalawError(Exception):
    """A refusal in one clear sentence; subclasses fix the exit code."""

    exit_code = 1


class BadInput(ScalawError):
    """The YAML, a table, a flag or a store path is wrong; nothing was started or written (exit 2)."""

    exit_code = 2


class BadOption(BadInput):
    """An option of a data source or a model family is wrong; whoever has the YAML says where it stands.

    Parameters
    ----------
    section, key
        Where it usually stands: ``data.root``.
    sentence
        What is wrong, and the likely fix.
    """

    def __init__(self, section: str, key: str, sentence: str) -> None:
        super().__init__(section, key, sentence)
        self.key, self.sentence = key, sentence

    def __str__(self) -> str:
        section, key, sentence = self.args
        return f"{section}.{key}: {sentence}"


class UnbuildableSize(BadInput):
    """No model near a size can be built; whoever asked for the size says where it was written."""


class Unreachable(ScalawError):
    """The cluster or the store can't be reached or written (exit 3)."""

    exit_code = 3


class StoreReplaced(Unreachable):
    """The store that a run began with is gone, or another one stands in its place; nothing is made anew (exit 3)."""


class ClusterLost(Unreachable):
    """Ray has gone away under a run; what is finished and what was kept is not lost (exit 3)."""


class Interrupted(ScalawError):
    """A person stopped the command; what is finished is kept (exit 130)."""

    exit_code = 130


@contextmanager
def refused_at(place: str, kind: type[BadInput] = BadInput) -> Iterator[None]:
    """Put the place before what is refused inside, which doesn't know it."""
    try:
        yield
    except kind as refusal:
        raise BadInput(f"{place}: {refusal}") from refusal
