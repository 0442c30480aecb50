"""``scalaw program``: what concerns a trainer of one's own."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, Overrides, emit_json, show, tell
from orchestrator.cli.wording import Verb

NAME = "program"
app = typer.Typer(no_args_is_help=True, help="Look after a trainer of your own.")


@app.callback()
def root() -> None:
    """Take what stands before the verb."""


@app.command("check", cls=Verb)
def check(
    program: Annotated[str, typer.Argument(metavar="PROGRAM", help="Its program.toml; its command is run.")],
    sweep: Annotated[
        str | None, typer.Option("--sweep", metavar="SWEEP", help="Sweep whose smallest size it is.")
    ] = None,
    overrides: Overrides = None,
    json_: Json = False,
) -> int:
    """Try what a program promises, in the smallest size of a sweep; exit 1 where it does not keep it.

    Example: scalaw program check examples/nanogpt/program.toml --sweep examples/nanogpt/sweep.yaml
    """
    from orchestrator.execution.program_trial import check_program
    from orchestrator.programs.program import read_program
    from orchestrator.spec import load_sweep

    parsed = None if sweep is None else load_sweep(sweep, overrides=overrides or ())
    own = read_program(program)
    verdict = check_program(own, sweep=parsed, tell=tell)
    document = {"program": own.manifest.name, "declared": own.manifest.sharing.value, **verdict.to_json()}
    if json_:
        emit_json(document)
    else:
        level = verdict.level.value if verdict.level else "nothing: it can't be swept"
        show(f"{own.manifest.name} promises {own.manifest.sharing.value} and keeps {level}")
    return 1 if verdict.broken else 0
