"""Stage → seconds, and a tree's stages → a schedule: what a sweep will take before it takes it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from orchestrator.planning.priority import ReadyQueue
from orchestrator.planning.tree import Stage, StageTree


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast one worker is thought to be, before anything is measured.

    Parameters
    ----------
    flops_per_s
        Achieved FLOPs per second while a step computes.
    step_s
        Fixed cost of one optimiser step (launches, the optimiser, the loop).
    stage_s
        Fixed cost of one stage.
    measure_s
        Fixed cost of timing a cell's model; 0 where none is timed.
    """

    flops_per_s: float
    step_s: float
    stage_s: float
    measure_s: float = 0.0


#: Seconds that timing a model takes beside the calls themselves, by backend: compilers are what costs.
MEASURE_S = {"eager": 0.15, "compile": 5.0, "export": 25.0}
#: Examples that a model is timed on: a dozen calls at batch 1 and at batch 32.
TIMED_EXAMPLES = 430

#: Stages above which the makespan is taken from its lower bound, which so many stages come very near to.
SIMULATED_STAGES = 5_000

#: One x86 core in fp32, measured on the quickstart's models (docs/cost.md); sweeps correct it as they run.
CPU_CORE = Rate(flops_per_s=20e9, step_s=10e-3, stage_s=20e-3)
#: One data-centre GPU in bf16 at the sizes such sweeps have; an assumption, not a measurement.
GPU = Rate(flops_per_s=60e12, step_s=3e-3, stage_s=5e-3)


def simulated_rate(stage_s: float) -> Rate:
    """Return the rate of ``family: simulated``, whose stages sleep and compute nothing."""
    return Rate(flops_per_s=float("inf"), step_s=0.0, stage_s=stage_s + 1e-3)


def estimate_s(stage: Stage, rate: Rate) -> float:
    """Return the seconds that one worker will need for a stage."""
    flops = stage.flops + stage.flops_evaluation
    seconds = rate.stage_s + stage.steps * rate.step_s
    if stage.kind == "evaluate" and rate.measure_s:
        flops += TIMED_EXAMPLES * stage.shape.forward_flops
        seconds += rate.measure_s
    return seconds + flops / rate.flops_per_s


def schedule_s(tree: StageTree, seconds: dict[str, float], remaining_s: dict[str, float], workers: int) -> float:
    """Return the makespan of list scheduling in the order of :class:`ReadyQueue`.

    It lies between its lower bound (the work shared evenly, or the longest path) and twice that (Graham 1966).

    Parameters
    ----------
    seconds, remaining_s
        Duration of each stage, and of the longest path from its start, by id.
    workers
        Workers that take one stage at a time.
    """
    if len(tree) > SIMULATED_STAGES:
        return lower_bound_s(sum(seconds.values()), max(remaining_s.values()), workers)
    queue = ReadyQueue(remaining_s)
    for stage in tree.children[None]:
        queue.push(stage)
    left_s = sum(seconds.values())
    running: list[tuple[float, str]] = []
    now = 0.0
    while queue or running:
        while len(running) < workers and (ready := queue.pop(left_s, workers)) is not None:
            heapq.heappush(running, (now + seconds[ready.id], ready.id))
        now, finished = heapq.heappop(running)
        left_s -= seconds[finished]
        for child in tree.children.get(finished, ()):
            queue.push(child)
    return now


def lower_bound_s(work_s: float, critical_path_s: float, workers: int) -> float:
    """Return the makespan that no schedule can beat: the work shared evenly, or the longest path."""
    return max(work_s / workers, critical_path_s)
