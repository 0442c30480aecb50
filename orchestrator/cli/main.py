"""``scalaw``: the verbs, and the exit code that each refusal answers with."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from typing import Annotated, Any

import typer

from orchestrator import __version__
from orchestrator.cli import (
    doctor,
    export,
    fit,
    gc,
    init,
    list_jobs,
    logs,
    optimal,
    plan,
    plot,
    plugin,
    predict,
    program,
    query,
    run,
    schema,
    select,
    status,
    stop,
    store,
    submit,
    tokenize,
)
from orchestrator.cli.machine_faults import machine_fault
from orchestrator.cli.output import tell
from orchestrator.cli.stdout import discard_stdout, guarded_stdout
from orchestrator.cli.wording import Verb
from orchestrator.errors import Interrupted, ScalawError, Unreachable
from orchestrator.execution import guard

#: The base of usage errors, by way of the public subclass: typer may carry its own copy of click.
UsageFault: Any = typer.BadParameter.__mro__[2]

_interrupted = threading.Event()

HELP = "Scaling-law sweeps: one YAML in; exponents, intervals and the next run out."
app = typer.Typer(
    name="scalaw",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"scalaw {__version__}")
        raise typer.Exit


@app.callback(help=HELP)
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the flags that stand before a verb."""


for verb in (
    init,
    tokenize,
    plan,
    run,
    submit,
    list_jobs,
    status,
    logs,
    stop,
    fit,
    query,
    predict,
    optimal,
    select,
    plot,
    export,
    gc,
    schema,
    doctor,
):
    app.command(verb.NAME, cls=Verb)(verb.command)
app.add_typer(program.app, name=program.NAME)
app.add_typer(store.app, name=store.NAME)
app.add_typer(plugin.app, name=plugin.NAME)


def main(arguments: list[str] | None = None) -> None:
    """Run one verb and exit: 0 done, 1 some cells failed, 2 bad input, 3 unreachable, 130 interrupted."""
    atexit.register(_leave)  # before Ray registers what ends its processes, so that it runs after that
    if arguments is None:
        guard.begin()
    code = 1  # of whatever is raised that is no refusal
    try:
        code = _run(arguments)
    finally:
        guard.tell(end=code)
    if code == Interrupted.exit_code and arguments is None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is tidying up
        _interrupted.set()
    sys.exit(code)


def _leave() -> None:
    """Leave without the rest of the interpreter's end, which can crash where Ctrl-C has cut through Ray's threads."""
    if _interrupted.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(Interrupted.exit_code)


def _run(arguments: list[str] | None) -> int:
    try:
        with guarded_stdout():
            code: Any = app(arguments, prog_name="scalaw", standalone_mode=False)
        if code == Interrupted.exit_code:  # typer's answer to KeyboardInterrupt
            raise Interrupted("interrupted; run the same command again to go on")
    except ScalawError as refusal:
        tell(f"scalaw: {refusal}")
        return refusal.exit_code
    except UsageFault as refusal:
        said = refusal.format_message()
        if refusal.ctx is None or "\n" in said:  # no verb: the help
            refusal.show()
        else:
            tell(f"scalaw: {said.rstrip('.')}; see {refusal.ctx.command_path} -h")
        return int(refusal.exit_code)
    except KeyboardInterrupt:
        typer.echo("scalaw: interrupted; run the same command again to go on", err=True)
        return Interrupted.exit_code
    except BrokenPipeError:
        discard_stdout()
        return 0
    except OSError as failure:
        fault = machine_fault(failure)
        if fault is None:
            raise
        tell(f"scalaw: {fault}")
        return Unreachable.exit_code
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
