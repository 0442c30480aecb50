"""``scalaw plan``: what a sweep will do and cost."""

from __future__ import annotations

from orchestrator.cli.output import Json, Overrides, Plugins, Share, SweepFile, emit_json, show, warn

NAME = "plan"


def command(
    sweep: SweepFile,
    share: Share = True,
    overrides: Overrides = None,
    plugins: Plugins = None,
    json_: Json = False,
) -> None:
    """Show cells, stages, FLOPs, hours and price; starts nothing.

    Example: scalaw plan sweeps/quickstart.yaml
    """
    from orchestrator.planning import make_plan
    from orchestrator.spec import load_sweep

    document = make_plan(load_sweep(sweep, overrides=overrides or (), plugins=plugins or ()), share=share).to_json()
    warn(document["warnings"])
    if json_:
        emit_json(document)
        return
    from orchestrator.reporting.plan_table import plan_table

    show(plan_table(document))
