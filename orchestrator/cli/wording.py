"""Sentences from below, in the words of the command line.

Below ``cli`` a sentence names a parameter as Python does, in backticks: ```hold_out``. Who calls from Python reads just
that; who typed a verb reads the flag that fills the parameter, ``--hold-out``, by the table that parses the verb.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from typer.core import TyperCommand

from orchestrator.errors import ScalawError

MARKED = re.compile(r"`([a-z_]+)`")
#: Flags of the verb that is running, by parameter.
_flags: ContextVar[Mapping[str, str]] = ContextVar("flags")


class Refused(ScalawError):
    """A refusal in the words of the command line, with the exit code that it had."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class Verb(TyperCommand):
    """A verb that speaks of its flags where those below it speak of parameters."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb.

        Raises
        ------
        Refused
            As it was refused below.
        """
        known: dict[str, str] = {}
        for other in [*ctx.parent.command.commands.values(), self]:  # its own last, as a name means most to its verb
            known |= flags_of(other)
        token = _flags.set(known)
        try:
            return super().invoke(ctx)
        except ScalawError as refusal:
            raise Refused(with_flags(str(refusal)), refusal.exit_code) from refusal
        finally:
            _flags.reset(token)


def flags_of(verb: Any) -> dict[str, str]:
    """Return what a person types for each parameter of a verb: the long flag, or an argument's place."""
    typed = {}
    for parameter in verb.params:
        if parameter.param_type_name == "option":
            typed[parameter.name] = max(parameter.opts, key=len)
        elif parameter.metavar:
            typed[parameter.name] = parameter.metavar
    return typed


def with_flags(sentence: str) -> str:
    """Return a sentence with the parameters that it marks named by their flags; what is none stays as it is."""
    known = _flags.get({})
    return MARKED.sub(lambda marked: known.get(marked[1], marked[0]), sentence)


def warnings_with_flags(document: Any) -> Any:
    """Return a JSON-able document whose ``warnings``, at any depth, name flags."""
    if isinstance(document, list):
        return [warnings_with_flags(entry) for entry in document]
    if not isinstance(document, dict):
        return document
    return {
        key: [with_flags(sentence) for sentence in value] if key == "warnings" else warnings_with_flags(value)
        for key, value in document.items()
    }
