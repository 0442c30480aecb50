"""``scalaw init``: a commented sweep to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import Json, emit_json, say

NAME = "init"


def command(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder to write sweep.yaml into.")] = Path(),
    json_: Json = False,
) -> None:
    """Write a commented sweep to start from.

    Example: scalaw init my-sweep && scalaw plan my-sweep/sweep.yaml
    """
    from orchestrator.spec.starter import write_starter

    path = write_starter(directory)
    if json_:
        emit_json({"path": str(path)})
    else:
        say(f"wrote {path}; next: scalaw plan {path}")
