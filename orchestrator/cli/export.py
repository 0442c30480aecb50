"""``scalaw export``: a cell's model as a file."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, Plugins, StoreUri, emit_json, say, tell

NAME = "export"


def command(
    store: StoreUri,
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The cell's id, or the beginning of it.")],
    out: Annotated[str, typer.Option("-o", "--out", metavar="DIR", help="New folder for the model and its loader.")],
    plugins: Plugins = None,
    json_: Json = False,
) -> None:
    """Write the model of a cell, trained anew from the sweep in the store, with a loader example.

    Example: scalaw export runs/quickstart 3fa9 -o model
    """
    from orchestrator.execution.export import export

    found = export(store, cell, out, tell, plugins or ())
    if json_:
        emit_json(found)
        return
    same = (
        "as in its row" if found["val_loss"] == found["val_loss_of_row"] else f"{found['val_loss_of_row']} in its row"
    )
    say(
        f"{found['folder']}: model.safetensors ({found['model_bytes']:,} bytes), load.py, row.json; "
        f"validation loss {found['val_loss']:.6f}, {same}"
    )
