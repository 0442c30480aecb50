"""``scalaw export`` as a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.execution.export import export as export_cell
from orchestrator.programs.program import read_program
from orchestrator.submission.submit import silent


def export(
    store: str,
    cell: str,
    out: str | os.PathLike[str],
    *,
    plugins: Sequence[str | os.PathLike[str]] = (),
    program: str | os.PathLike[str] | None = None,
    tell: Callable[[str], None] = silent,
) -> dict[str, Any]:
    """Write the model of a cell, as it was kept or trained anew from the sweep in the store, with a loader example.

    Parameters
    ----------
    cell
        Its id, or a beginning of it that no other cell has.
    out
        A folder that does not exist or is empty.
    plugins
        Files and folders of the code that it was trained with, as `load_sweep` takes them.
    program
        The ``program.toml`` of a cell of ``family: program``; to give it is the consent to run it.
    tell
        Takes a sentence of progress.

    Returns
    -------
    dict
        ``cell_id``, ``folder``, ``model_bytes``, whether it was ``kept``, and the validation loss now and in the row.

    Raises
    ------
    BadInput
        If there is no such cell, it failed, it is simulated, or the folder holds something or can't be written.
    """
    own = None if program is None else read_program(program)
    return export_cell(store, cell, os.fspath(out), tell, plugins, own)
