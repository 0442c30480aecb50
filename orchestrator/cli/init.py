"""``scalaw init``: a commented sweep to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import Json, emit_json, say

NAME = "init"


def command(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder to write sweep.yaml into.")] = Path(),
    program: Annotated[
        Path | None, typer.Option("--program", metavar="SCRIPT", help="Your own trainer: written for it, beside it.")
    ] = None,
    json_: Json = False,
) -> None:
    """Write a commented sweep to start from; for a trainer of your own its manifest, too, and what to change in it.

    Example: scalaw init my-sweep && scalaw plan my-sweep/sweep.yaml
    """
    if program is not None:
        from orchestrator.cli.program_starter import CHANGES, write_program

        manifest, sweep = write_program(program)
        if json_:
            emit_json({"path": str(sweep), "program": str(manifest), "changes": list(CHANGES)})
            return
        say(f"wrote {manifest} and {sweep}; what to change in {program}:")
        for k, change in enumerate(CHANGES, 1):
            say(f"  {k}. {change}")
        say(f"then: scalaw program check {manifest} --sweep {sweep}")
        return
    from orchestrator.spec.starter import write_starter

    path = write_starter(directory)
    if json_:
        emit_json({"path": str(path)})
    else:
        say(f"wrote {path}; next: scalaw plan {path}")
