"""``scalaw init``: a commented sweep to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import Json, emit_json
from orchestrator.errors import BadInput

NAME = "init"


def command(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder to write sweep.yaml into.")] = Path(),
    json_: Json = False,
) -> None:
    """Write a commented sweep to start from.

    Example: scalaw init my-sweep && scalaw plan my-sweep/sweep.yaml
    """
    from orchestrator.spec import starter_sweep

    path = directory / "sweep.yaml"
    if path.exists():
        raise BadInput(f"{path} is there already; name another folder")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(starter_sweep())
    except OSError as failure:
        raise BadInput(f"{path} can't be written: {failure.strerror}") from failure
    if json_:
        emit_json({"path": str(path)})
    else:
        typer.echo(f"wrote {path}; next: scalaw plan {path}")
