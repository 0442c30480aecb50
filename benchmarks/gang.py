"""Gangs: seconds to start one, to send it a stage, to mend it, and what a second rank saves.

    python benchmarks/gang.py [--repeats 3]

The pool of the driver runs on a Ray of this machine with four CPU slots, so four ranks share what cores there are.
**Cold**: from no actor to all ranks met, data loaded; what torch imports at the first optimiser comes with the first
stage, which counts for nothing. **Warm**: a stage of one optimiser step of a
transformer with 2k parameters, from sending it until all ranks have answered. **Mended**: from SIGKILL of the last
rank, with a stage in flight, until the gang is warm again. Beside it stands Ray Train's ``TorchTrainer.fit``, whose
ranks only pass a barrier: with Train's API every stage would pay for it anew. The second table trains the trunk of one
transformer of width 128 at a global batch of 64 on one rank, on one rank with two threads, and on two ranks. Sides
take turns; each figure is a median.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import ray
from table import machine, print_table

from orchestrator.execution.pool.protocol import Pool, WorkerNeeds
from orchestrator.planning import Plan, make_plan
from orchestrator.planning.tree import Stage
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from workers.messages import StageResult, WorkOrder

SWEEP = """\
name: gang
seed: 0
data: {source: python-stdlib, max_examples: 2560, eval_examples: 256}
model: {family: transformer}
grid: {params: [2k]}
train: {batch_size: 8, warmup_steps: 4}
fit: {laws: [product], bootstrap: 0}
"""
#: Width 128 at two layers.
WIDE = "grid.params=400k", "train.batch_size=64"
#: Turns of the quick measurements; the slow ones take what --repeats says.
DISPATCHES = 21


def planned(world_size: int, *overrides: str) -> Plan:
    """Return the plan of one cell that so many ranks train together."""
    return make_plan(parse_sweep(SWEEP, overrides=[f"resources.world_size={world_size}", *overrides]), share=False)


def pool_of(plan: Plan, folder: str, *, threads: int = 1) -> Pool:
    """Return a pool that has not started."""
    open_store(folder, create=True).probe()
    needs = WorkerNeeds(cpus=threads, gpus=0.0, world_size=plan.sweep.resources.world_size)
    return Pool(plan.context, folder, {"train": needs}, namespace=f"gang-{time.monotonic_ns()}")


def warm(pool: Pool) -> str:
    """Start a pool's one gang, wait until its ranks have met, and return its name."""
    [gang] = pool.start("train", 1)
    ray.get(list(gang.ready))
    return gang.name


def trained(pool: Pool, name: str, chain: list[Stage], parent: Any = None) -> tuple[StageResult, Any]:
    """Return what rank 0 says of a chain once all ranks have answered, and the reference to its state."""
    results, [state] = pool.submit(name, [WorkOrder(chain=chain)], [parent])
    answers = [result for [result] in ray.get(list(results))]
    for answer in answers:
        if answer.error is not None:
            raise RuntimeError(answer.error)
    return answers[0], state


def timed(action: Callable[..., object], *arguments: object) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - begun


def gang_turn(world_size: int, folder: str) -> dict[str, list[float]]:
    """Return the seconds of a gang's life: cold, warm (one a stage) and mended."""
    plan = planned(world_size)
    trunk = next(iter(plan.tree))
    one_step = [replace(trunk, stop_step=1)]
    pool = pool_of(plan, folder)
    cold_s = timed(warm, pool)
    [name] = pool.gangs
    trained(pool, name, one_step)  # builds and wraps the model
    warm_s = [timed(trained, pool, name, one_step) for _ in range(DISPATCHES)]
    mended_s = timed(mend, pool, name, trunk)
    trained(pool, name, one_step)
    pool.stop()
    return {"cold": [cold_s], "warm": warm_s, "mended": [mended_s]}


def mend(pool: Pool, name: str, stage: Stage) -> None:
    """Kill the last rank of a gang in the middle of a stage, and replace the gang as the driver does."""
    last = pool.gangs[name].ranks[-1]
    pid = ray.get(last.__ray_call__.remote(lambda worker: os.getpid()))
    results, _ = pool.submit(name, [WorkOrder(chain=[stage])], [None])
    os.kill(pid, signal.SIGKILL)
    ray.wait(list(results), num_returns=1)
    ray.get(list(pool.replace(name).ready))


def train_turn(world_size: int, folder: str) -> dict[str, list[float]]:
    """Return the seconds in which Ray Train forms a gang that does nothing."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    trainer = TorchTrainer(
        _pass_a_barrier,
        scaling_config=ScalingConfig(num_workers=world_size, use_gpu=False),
        run_config=RunConfig(storage_path=folder),
    )
    return {"cold": [timed(trainer.fit)]}


def _pass_a_barrier() -> None:
    import torch.distributed

    torch.distributed.barrier()


def lives(repeats: int) -> list[list[object]]:
    """Return a row for each kind and size of gang, ours and Ray Train's: what it costs."""
    sides: dict[str, Callable[[int, str], dict[str, list[float]]]] = {"scalaw's pool": gang_turn}
    try:
        import_module("ray.train.torch")
        sides["Ray Train, TorchTrainer.fit"] = train_turn
    except ImportError as missing:
        print(f"Ray Train is left out, as it can't be imported here: {missing}\n")
    times: dict[tuple[str, int], dict[str, list[float]]] = {(side, k): {} for k in (2, 4) for side in sides}
    for _ in range(repeats):
        for (side, ranks), found in times.items():
            with tempfile.TemporaryDirectory() as folder:
                for what, seconds in sides[side](ranks, folder).items():
                    found.setdefault(what, []).extend(seconds)
    return [
        [
            side,
            ranks,
            f"{middle(found['cold']):.1f}",
            f"{1000 * middle(found['warm']):.0f}" if "warm" in found else "a new fit",
            f"{middle(found['mended']):.1f}" if "mended" in found else "not tried",
        ]
        for (side, ranks), found in times.items()
    ]


def middle(seconds: list[float]) -> float:
    """Return the median."""
    return statistics.median(seconds)


def scaling(repeats: int) -> tuple[Stage, list[list[object]]]:
    """Return a trunk, and for each way of training it the seconds and how far its loss is from the first one's."""
    sides = {"1 rank, 1 thread": (1, 1), "1 rank, 2 threads": (1, 2), "2 ranks, 1 thread each": (2, 1)}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    losses: dict[str, float] = {}
    trunk = next(iter(planned(1, *WIDE).tree))
    for _ in range(repeats):
        for side, (world_size, threads) in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                plan = planned(world_size, *WIDE)
                pool = pool_of(plan, folder, threads=threads)
                name = warm(pool)
                first, *rest = plan.tree
                trained(pool, name, [replace(first, stop_step=1)])  # builds and wraps the model
                result, state = trained(pool, name, [first])
                seconds[side].append(result.seconds)
                row = trained(pool, name, rest, state)[0].row
                losses[side] = row["val_loss"] if row else float("nan")
                pool.stop()
    base = next(iter(sides))
    base_s, base_loss = middle(seconds[base]), losses[base]
    return trunk, [
        [
            side,
            f"{middle(taken):.2f} ({min(taken):.2f}–{max(taken):.2f})",
            f"{base_s / middle(taken):.2f}",
            f"{losses[side]:.6f}",
            f"{losses[side] - base_loss:+.1e}",
        ]
        for side, taken in seconds.items()
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    costs = lives(repeats)
    trunk, gains = scaling(repeats)
    ray.shutdown()
    print(f"{machine()}; median of {repeats}, in turns; warm stages: of {repeats * DISPATCHES}\n")
    print_table(["gang", "ranks", "cold start, s", "warm stage of one step, ms", "from SIGKILL to warm, s"], costs)
    width = dict(trunk.shape.dims)["width"]
    print(f"\n{trunk.steps} steps of a transformer of width {width}, batch {trunk.recipe.batch_size}\n")
    print_table(["trunk on", "s (min–max)", "speed-up", "validation loss", "difference"], gains)


if __name__ == "__main__":
    main()
