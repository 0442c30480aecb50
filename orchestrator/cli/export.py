"""``scalaw export``: a cell's model as a file."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, Plugins, ProgramFile, StoreUri, emit_json, say, tell

NAME = "export"


def command(
    store: StoreUri,
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The cell's id, or the beginning of it.")],
    out: Annotated[str, typer.Option("-o", "--out", metavar="DIR", help="New folder for the model and its loader.")],
    plugins: Plugins = None,
    program: ProgramFile = None,
    json_: Json = False,
) -> None:
    """Write the model of a cell, as it was kept or trained anew from the sweep in the store, with a loader example.

    Example: scalaw export runs/quickstart 3fa9 -o model
    """
    from orchestrator.execution.export import export
    from orchestrator.programs.program import read_program

    found = export(store, cell, out, tell, plugins or (), None if program is None else read_program(program))
    if json_:
        emit_json(found)
        return
    same = (
        "as in its row" if found["val_loss"] == found["val_loss_of_row"] else f"{found['val_loss_of_row']} in its row"
    )
    came = "kept" if found["kept"] else "trained anew"
    size = f"({found['model_bytes']:,} bytes)"
    files = f"state {size}" if program else f"model.safetensors {size}, load.py"
    say(f"{found['folder']}: {came}, {files}, row.json; validation loss {found['val_loss']:.6f}, {same}")
