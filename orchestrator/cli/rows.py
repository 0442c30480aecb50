"""Flags that say which rows and columns of a source count; the verbs that fit share them."""

from __future__ import annotations

from typing import Annotated

import typer

Columns = Annotated[
    str | None,
    typer.Option(
        "--map", metavar="n=COL,…", help="Columns that are the axes, or arithmetic of them: n=params_m*1e6,flops=C."
    ),
]
Where = Annotated[
    str | None, typer.Option("--where", metavar="SQL", help="Condition on rows, e.g. \"State = 'finished'\".")
]
DropEmpty = Annotated[bool, typer.Option("--drop-empty", help="Leave out rows with an empty cell that is needed.")]
Envelope = Annotated[bool, typer.Option("--envelope", help="Take the best row of each point of the axes.")]
Group = Annotated[
    str | None, typer.Option("--group", metavar="COL", help="Rows of one value hang together: a run's checkpoints.")
]
Decimal = Annotated[str, typer.Option("--decimal", metavar="SIGN", help="Decimal sign of a CSV: . or ,")]
Target = Annotated[str | None, typer.Option("--target", metavar="T", help="loss, accuracy, or another column.")]
