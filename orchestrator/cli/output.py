"""stdout for the answer, stderr for everything else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.wording import warnings_with_flags, with_flags
from orchestrator.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
SweepFile = Annotated[str, typer.Argument(metavar="SWEEP", help="The sweep's YAML file.")]
StoreUri = Annotated[str, typer.Argument(metavar="STORE", help="Folder or s3://, gs://, az:// prefix of the store.")]
SweepName = Annotated[str | None, typer.Option("--sweep", metavar="NAME", help="Only this sweep's cells.")]
ClusterAddress = Annotated[
    str | None,
    typer.Option("--address", metavar="URL", help="The cluster's dashboard; default: RAY_API_SERVER_ADDRESS."),
]
RunTarget = Annotated[str, typer.Argument(metavar="JOB|STORE", help="A job's id, or the store that is written to.")]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe", metavar="NAME", help="Rows trained by this recipe, of several; a part of its name will do."
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. train.batch_size=16.")
]


Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin", metavar="FILE", help="Code of your own that may run: a Python file or folder; repeatable."
    ),
]
ProgramFile = Annotated[
    str | None,
    typer.Option("--program", metavar="FILE", help="Your own trainer's program.toml, which may then be run."),
]
Share = Annotated[bool, typer.Option("--share/--no-share", help="Train once what cells have in common.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Train failed cells again.")]
KeepWeights = Annotated[
    list[str] | None,
    typer.Option("--keep-weights", metavar="CELL", help="Keep this cell's final weights in the store; repeatable."),
]


def emit_json(document: Any) -> None:
    """Print a JSON document; its warnings name flags."""
    sys.stdout.write(json.dumps(warnings_with_flags(document), indent=2, allow_nan=False) + "\n")


class _Escaped:
    """What is to be printed, its control characters escaped and its styles kept."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        from rich.segment import Segment

        for part in console.render(self._renderable, options):
            yield part if part.control else Segment(printable(part.text), part.style)


def _console(width: int) -> Console:
    from rich.console import Console

    # What stands in a store or a YAML is printed as it is: a message with [/…] or :x: in it is no markup.
    return Console(width=None if sys.stdout.isatty() else width, markup=False, emoji=False)


def line_width() -> int:
    """Return the characters of a line: the terminal's, or as many as a person still reads in a file."""
    return _console(200).width


def show(*renderables: Any, width: int = 100) -> None:
    """Print tables and text for a person, as wide as the terminal, or so many columns where there is none.

    Text is printed as it is: square brackets are no commands, control characters are escaped.
    """
    from rich.text import Text

    console = _console(width)
    for renderable in renderables:
        console.print(_Escaped(Text(printable(renderable)) if isinstance(renderable, str) else renderable))


def say(text: str, *, line: bool = True) -> None:
    """Print text as the answer, control characters escaped."""
    typer.echo(printable(text), nl=line)


def tell(sentence: str, *, line: bool = True) -> None:
    """Print a sentence of progress on stderr, control characters escaped."""
    typer.echo(printable(sentence), nl=line, err=True)


def warn(sentences: list[str]) -> None:
    """Print warnings on stderr, one a line."""
    for sentence in sentences:
        tell(f"warning: {with_flags(sentence)}")
