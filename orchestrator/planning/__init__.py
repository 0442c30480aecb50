"""Cells, stage tree, FLOPs, hours and price: what a sweep will do, without Ray and without torch."""

from orchestrator.planning.cell import Cell
from orchestrator.planning.context import RunContext
from orchestrator.planning.manifest import DataManifest
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.tree import Stage, StageTree

__all__ = ["Cell", "DataManifest", "Plan", "RunContext", "Stage", "StageTree", "make_plan"]
