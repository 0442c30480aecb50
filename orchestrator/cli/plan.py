"""``scalaw plan``: what a sweep will do and cost."""

from __future__ import annotations

from orchestrator.cli.output import Json, Overrides, Plugins, ProgramFile, Share, SweepFile, emit_json, show, warn

NAME = "plan"


def command(
    sweep: SweepFile,
    share: Share = True,
    overrides: Overrides = None,
    plugins: Plugins = None,
    program: ProgramFile = None,
    json_: Json = False,
) -> None:
    """Show cells, stages, FLOPs, hours and price; starts nothing.

    Example: scalaw plan sweeps/quickstart.yaml
    """
    from orchestrator.planning import make_plan
    from orchestrator.programs.program import read_program
    from orchestrator.spec import load_sweep

    parsed = load_sweep(sweep, overrides=overrides or (), plugins=plugins or ())
    own = None if program is None else read_program(program)
    document = make_plan(parsed, share=share, program=own, remembered=True).to_json()
    warn(document["warnings"])
    if json_:
        emit_json(document)
        return
    from orchestrator.reporting.plan_table import plan_table

    show(plan_table(document))
