"""``scalaw plugin``: code of one's own."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, emit_json, show, tell
from orchestrator.cli.wording import Verb

NAME = "plugin"
app = typer.Typer(no_args_is_help=True, help="Families, sources, … of your own.")


@app.callback()
def root() -> None:
    """Take what stands before the verb."""


@app.command("check", cls=Verb)
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A Python file or folder; it is run.")],
    sweep: Annotated[
        str | None, typer.Option("--sweep", metavar="SWEEP", help="Try it with this YAML's data and options.")
    ] = None,
    json_: Json = False,
) -> int:
    """Try what the plug-ins in a file promise: counts, FLOPs, exact forks, resume, determinism; exit 1 if one fails.

    These are the suites that scalaw's own pass; nothing is started and no store is touched.

    Example: scalaw plugin check my_model.py
    """
    from orchestrator.execution.plugin_check import check_plugin, plugin_checks

    if json_:
        found = check_plugin(file, sweep=sweep)
        emit_json(found)
        return 0 if found["ok"] else 1
    failed = 0
    for one in plugin_checks([file], sweep):
        broken = one.run()
        failed += bool(broken)
        show(f"{'broken' if broken else 'kept'}: {one.subject}: {one.suite}", *[f"  {sentence}" for sentence in broken])
    if failed:
        tell(f"scalaw: {failed} of the suites found broken promises")
    return 1 if failed else 0
