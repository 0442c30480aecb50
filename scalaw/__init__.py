"""scalaw: scaling-law sweeps on Ray, from one YAML to exponents with intervals.

The verbs of the command line as functions, and the types that they take, return and ask plug-ins for. What answers a
question (`predict`, `optimal`, `select`, `query`, `status`, `plot`, …) takes a store or a table first and the rest by
name, and returns the JSON document of the verb; `run_sweep`, `make_plan` and `fit` return objects.
Names load when they are first used, so that ``import scalaw`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from orchestrator import __version__

if TYPE_CHECKING:
    from orchestrator.analysis.answers import optimal, predict, query, status
    from orchestrator.analysis.fit_anything import fit
    from orchestrator.analysis.fit_source import SourceComparison, SourceFit, compare_groups, fit_source
    from orchestrator.analysis.garbage import gc
    from orchestrator.analysis.select import select
    from orchestrator.analysis.tables import read_table
    from orchestrator.errors import BadInput, BadOption, Interrupted, ScalawError, Unreachable
    from orchestrator.execution.plugin_check import check_plugin
    from orchestrator.execution.program_trial import check_program
    from orchestrator.execution.run import RunResult, run_sweep
    from orchestrator.fitting import FitReport, LawFit
    from orchestrator.fitting.comparison import Comparison
    from orchestrator.fitting.law import Law
    from orchestrator.fitting.result import Estimate
    from orchestrator.planning import Cell, DataManifest, Plan, Stage, StageTree, make_plan
    from orchestrator.planning.compressor import Compressor
    from orchestrator.planning.family import ModelShape
    from orchestrator.planning.recipe import Recipe
    from orchestrator.planning.schedules.schedule import Schedule
    from orchestrator.programs.program import Program, read_program
    from orchestrator.reporting.plot import plot
    from orchestrator.spec import Sweep, json_schema, load_sweep, parse_sweep
    from orchestrator.spec.options import Options
    from orchestrator.store import Store, open_store
    from orchestrator.submission.runs import jobs, logs, stop
    from orchestrator.submission.submit import Submission, submit
    from scalaw.cell_export import export
    from scalaw.diagnosis import doctor
    from workers.families.own.family import Family
    from workers.optimizers.own import Optimizer
    from workers.sources.batch_like import batch_like
    from workers.sources.source import Dataset, Source
    from workers.tasks.metric import Metric
    from workers.tokenizing.job import tokenize

#: Where each name stands, as the imports above say it.
_HOME = {
    "BadInput": "orchestrator.errors",
    "BadOption": "orchestrator.errors",
    "Cell": "orchestrator.planning",
    "Comparison": "orchestrator.fitting.comparison",
    "Compressor": "orchestrator.planning.compressor",
    "DataManifest": "orchestrator.planning",
    "Dataset": "workers.sources.source",
    "Estimate": "orchestrator.fitting.result",
    "Family": "workers.families.own.family",
    "FitReport": "orchestrator.fitting",
    "Interrupted": "orchestrator.errors",
    "Law": "orchestrator.fitting.law",
    "LawFit": "orchestrator.fitting",
    "Metric": "workers.tasks.metric",
    "ModelShape": "orchestrator.planning.family",
    "Optimizer": "workers.optimizers.own",
    "Options": "orchestrator.spec.options",
    "Plan": "orchestrator.planning",
    "Program": "orchestrator.programs.program",
    "Recipe": "orchestrator.planning.recipe",
    "RunResult": "orchestrator.execution.run",
    "ScalawError": "orchestrator.errors",
    "Schedule": "orchestrator.planning.schedules.schedule",
    "Source": "workers.sources.source",
    "SourceComparison": "orchestrator.analysis.fit_source",
    "SourceFit": "orchestrator.analysis.fit_source",
    "Stage": "orchestrator.planning",
    "StageTree": "orchestrator.planning",
    "Store": "orchestrator.store",
    "Submission": "orchestrator.submission.submit",
    "Sweep": "orchestrator.spec",
    "Unreachable": "orchestrator.errors",
    "batch_like": "workers.sources.batch_like",
    "check_plugin": "orchestrator.execution.plugin_check",
    "check_program": "orchestrator.execution.program_trial",
    "compare_groups": "orchestrator.analysis.fit_source",
    "doctor": "scalaw.diagnosis",
    "export": "scalaw.cell_export",
    "fit": "orchestrator.analysis.fit_anything",
    "fit_source": "orchestrator.analysis.fit_source",
    "gc": "orchestrator.analysis.garbage",
    "jobs": "orchestrator.submission.runs",
    "json_schema": "orchestrator.spec",
    "load_sweep": "orchestrator.spec",
    "logs": "orchestrator.submission.runs",
    "make_plan": "orchestrator.planning",
    "open_store": "orchestrator.store",
    "optimal": "orchestrator.analysis.answers",
    "parse_sweep": "orchestrator.spec",
    "plot": "orchestrator.reporting.plot",
    "predict": "orchestrator.analysis.answers",
    "query": "orchestrator.analysis.answers",
    "read_program": "orchestrator.programs.program",
    "read_table": "orchestrator.analysis.tables",
    "run_sweep": "orchestrator.execution.run",
    "select": "orchestrator.analysis.select",
    "status": "orchestrator.analysis.answers",
    "stop": "orchestrator.submission.runs",
    "submit": "orchestrator.submission.submit",
    "tokenize": "workers.tokenizing.job",
}

__all__ = [
    "BadInput",
    "BadOption",
    "Cell",
    "Comparison",
    "Compressor",
    "DataManifest",
    "Dataset",
    "Estimate",
    "Family",
    "FitReport",
    "Interrupted",
    "Law",
    "LawFit",
    "Metric",
    "ModelShape",
    "Optimizer",
    "Options",
    "Plan",
    "Program",
    "Recipe",
    "RunResult",
    "ScalawError",
    "Schedule",
    "Source",
    "SourceComparison",
    "SourceFit",
    "Stage",
    "StageTree",
    "Store",
    "Submission",
    "Sweep",
    "Unreachable",
    "__version__",
    "batch_like",
    "check_plugin",
    "check_program",
    "compare_groups",
    "doctor",
    "export",
    "fit",
    "fit_source",
    "gc",
    "jobs",
    "json_schema",
    "load_sweep",
    "logs",
    "make_plan",
    "open_store",
    "optimal",
    "parse_sweep",
    "plot",
    "predict",
    "query",
    "read_program",
    "read_table",
    "run_sweep",
    "select",
    "status",
    "stop",
    "submit",
    "tokenize",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted(__all__)
