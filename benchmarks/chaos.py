"""What sweeps survive: interruptions, nodes that go with their states, and kills of anything.

    python benchmarks/chaos.py [--interruptions] [--nodes] [--kills] [--seed 0]

Without a flag all three parts run, one after the other. Each drives the real command in processes of its own, runs it
again whenever it did not end with 0, and compares each row to the bit with an undisturbed run. **Interruptions**: ten
signals a sweep with compressed children, at random moments at which a worker is at work, by SIGINT and by SIGKILL,
under wsm and wsd, with every state in a checkpoint file and without; no step is timed. **Nodes**: a cluster of a head
and two nodes, whose one worker leaves states of 1 MB and of 400 MB in the memory of its node; that node is killed
three times, and another one joins. The seconds run from the kill to the moment in which a worker elsewhere is at a
stage. **Kills**: 2,000 simulated cells on a Ray of their own, of which SIGKILL strikes workers, raylet, GCS, agents or
driver.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from table import machine, print_table

sys.path.insert(0, str(Path(__file__).parents[1]))

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from tests.cluster.nodes import Nodes
from tests.execution.live import Ended, LiveRun, kind_of, live, measured, session
from workers.simulated_engine import SimulatedEngine

CHILDREN = """\
name: children
seed: 3
data: {source: python-stdlib, max_examples: 4096, eval_examples: 16}
model: {family: transformer, context: 32}
grid:
  params: [100k]
  data_fraction: [0.5, 1.0]
  epochs: [1, 2]
  compression:
    - {method: quantize, bits: 4}
    - {method: prune, density: 0.5, recover: {steps: 20}}
    - {method: chain, steps: [{method: low_rank, rank_ratio: 0.5}, {method: quantize, bits: 4}]}
train: {batch_size: 8, warmup_steps: 2}
resources: {workers: 2, checkpoint_interval_s: 0.3}
inference: {measure: false}
fit: {laws: [product], bootstrap: 0}
"""
CASES = {
    "wsm, spilled": ("train.schedule=wsm", "resources.state_memory_bytes=1"),
    "wsm": ("train.schedule=wsm",),
    "wsd, spilled": ("train.schedule=wsd", "resources.state_memory_bytes=1"),
}
LARGE = """\
name: large
seed: 3
data: {source: python-stdlib, max_examples: EXAMPLES, eval_examples: 8}
model: {family: transformer, context: 16}
grid: {params: [PARAMS], data_fraction: [0.25, 0.5, 0.75, 1.0], epochs: [1, 2]}
train: {batch_size: 8, warmup_steps: 2}
resources: {workers: 1}
inference: {measure: false}
fit: {laws: [product], bootstrap: 0}
"""
#: Parameters and examples of states of about a megabyte and of 400: four bytes a weight, eight for AdamW.
SIZES = {"1 MB": ("100k", "4096"), "400 MB": ("33M", "32")}
SIMULATED = """\
name: kills
data: {source: simulated, examples: 1M}
model: {family: simulated, noise: 0.01, stage_s: 0.05}
grid:
  params: [1k, 2k, 3k, 5k, 8k, 12k, 20k, 30k, 50k, 80k]
  data_fraction: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
  epochs: [1, 2, 3, 4, 5]
  seeds: 4
fit: {laws: [product], bootstrap: 0}
"""
KINDS = ("worker", "worker", "worker", "driver", "raylet", "gcs", "agent")
#: Longest time that one command may take; one that takes longer hangs.
HANGS_S = 400.0


def interruptions(chance: random.Random, times: int, folder: Path) -> None:
    """Interrupt a sweep with compressed children."""
    nodes = Nodes(folder / "cluster", "--num-cpus=2", "--object-store-memory=300000000")
    rows: list[list[object]] = []
    try:
        for case, overrides in CASES.items():
            truth = _undisturbed(CHILDREN, overrides, folder / f"truth-{len(rows)}", nodes)
            rows += [
                [case, number.name, *_interrupted(chance, times, case, overrides, number, folder, nodes, truth)]
                for number in (signal.SIGINT, signal.SIGKILL)
            ]
    finally:
        nodes.close()
    print_table(
        ["states and schedule", "signal", "interruptions", "exit codes", "rows", "failed", "equal to the bit"], rows
    )


def _interrupted(
    chance: random.Random,
    times: int,
    case: str,
    overrides: tuple[str, ...],
    number: signal.Signals,
    folder: Path,
    nodes: Nodes,
    truth: Mapping[str, object],
) -> list[object]:
    store, codes, struck = folder / f"{case.replace(', ', '-')}-{number.name}", Counter[int](), 0
    sweep = _written(folder, CHILDREN)
    while True:
        with live(sweep, store, *_joined(nodes), *_set(overrides), env=nodes.env) as run:
            if struck < times and _is_at_work(run, nodes):
                time.sleep(chance.uniform(0.05, 0.7))
                if run.process.poll() is None:
                    os.kill(run.pid, number)
                    struck += 1
            code = run.wait(HANGS_S).code
        codes[code] += 1
        if code == 0:
            break
    found = measured(store)
    failed = sum(row[0] == "failed" for row in found.values())
    return [struck, _counted(codes), len(found), failed, found == truth]


def nodes(chance: random.Random, times: int, folder: Path) -> None:
    """Remove the node that holds the states."""
    rows: list[list[object]] = []
    for size, (params, examples) in SIZES.items():
        text = LARGE.replace("PARAMS", params).replace("EXAMPLES", examples)
        rows.append([size, *_without_nodes(chance, times, text, folder / size.replace(" ", "-"))])
    print_table(
        ["states", "nodes lost", "rows", "failed", "equal to the bit", "s from the loss to a stage at work", "wall s"],
        rows,
    )


def _without_nodes(chance: random.Random, times: int, text: str, folder: Path) -> list[object]:
    options = ("--num-cpus=1", "--object-store-memory=4000000000")
    (folder / "cluster").mkdir(parents=True)
    cluster = Nodes(folder / "cluster", "--num-cpus=0", "--object-store-memory=4000000000")
    waits: list[float] = []
    try:
        cluster.add("node-0", *options)
        truth = _undisturbed(text, (), folder / "truth", cluster)
        cluster.add("node-1", *options)
        begun = time.monotonic()
        with live(_written(folder, text), folder / "store", *_joined(cluster), env=cluster.env) as run:
            for k in range(times):
                rows = len(measured(folder / "store")) if (folder / "store").exists() else 0
                run.until_rows(rows + 1, HANGS_S)
                run.until(lambda: _at_work(cluster), HANGS_S)
                holder = _at_work(cluster)[0]
                cluster.kill(holder, wait=False)
                lost = time.monotonic()
                run.until(lambda: _at_work(cluster), HANGS_S)
                waits.append(time.monotonic() - lost)
                cluster.add(f"node-{k + 2}", *options)
            ended = run.wait(HANGS_S)
        wall_s = time.monotonic() - begun
    finally:
        cluster.close()
    found = measured(folder / "store")
    failed = sum(row[0] == "failed" for row in found.values())
    assert ended.code == 0, ended.err
    return [times, len(found), failed, found == truth, " · ".join(f"{w:.1f}" for w in waits), f"{wall_s:.0f}"]


def kills(chance: random.Random, times: int, folder: Path) -> None:
    """Kill anything, while 2,000 simulated cells are measured."""
    plan = make_plan(parse_sweep(SIMULATED))
    engine = SimulatedEngine(plan.context)
    engine.stage_s = 0.0
    truth = {stage.cell.id: engine.measure(stage, None)["val_loss"] for stage in plan.tree if stage.cell is not None}
    sweep, store = _written(folder, SIMULATED), folder / "kills"
    struck, codes, begun = Counter[str](), Counter[int](), time.monotonic()
    while True:
        with live(sweep, store) as run:
            ended = _struck(run, chance, struck, times)
        codes[ended.code] += 1
        if ended.code == 0:
            break
        assert time.monotonic() - begun < 4 * HANGS_S, "it comes to no end"
    found = {cell: row[0] for cell, row in measured(store, ["val_loss"]).items()}
    what = ", ".join(f"{count} {kind}" for kind, count in sorted(struck.items()))
    print_table(
        ["cells", "SIGKILLs", "of which", "exit codes", "rows", "lost", "doubled", "equal", "wall s"],
        [
            [
                len(truth),
                struck.total(),
                what,
                _counted(codes),
                len(found),
                len(truth.keys() - found.keys()),
                0,  # `measured` refuses a store with two rows of a cell
                found == truth,
                f"{time.monotonic() - begun:.0f}",
            ]
        ],
    )


def _struck(run: LiveRun, chance: random.Random, struck: Counter[str], times: int) -> Ended:
    """Kill something of a run every few seconds, as long as it works."""
    late = time.monotonic() + HANGS_S
    while run.process.poll() is None and time.monotonic() < late:
        time.sleep(chance.uniform(1.0, 4.0))
        if struck.total() >= times or not run.pids("worker"):
            continue
        kind = chance.choice(KINDS)
        pids = [pid for pid in [run.driver] if pid] if kind == "driver" else run.pids(kind)
        if pids and run.process.poll() is None:
            os.kill(chance.choice(pids), signal.SIGKILL)
            struck[kind] += 1
    return run.wait(1.0)


def _undisturbed(text: str, overrides: tuple[str, ...], store: Path, nodes: Nodes) -> dict[str, tuple[object, ...]]:
    with live(_written(store.parent, text), store, *_joined(nodes), *_set(overrides), env=nodes.env) as run:
        ended = run.wait(HANGS_S)
    assert ended.code == 0, ended.err
    return measured(store)


def _written(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return path


def _joined(nodes: Nodes) -> list[str]:
    return ["--address", f"127.0.0.1:{nodes.gcs_port}"]


def _set(overrides: tuple[str, ...]) -> list[str]:
    return [word for pair in overrides for word in ("--set", pair)]


def _at_work(nodes: Nodes) -> list[str]:
    """Return the nodes on which a worker is at a stage, by the title that Ray gives its process."""
    return [
        name
        for name, process in nodes.processes.items()
        if any(b" N=" in _command(pid) for pid in session(process.pid) if kind_of(pid) == "worker")
    ]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _is_at_work(run: LiveRun, nodes: Nodes) -> bool:
    """Return once a worker is at a stage; False where the run came to its end before."""
    late = time.monotonic() + HANGS_S
    while run.process.poll() is None and time.monotonic() < late:
        if _at_work(nodes):
            return True
        time.sleep(0.02)
    return False


def _counted(codes: Counter[int]) -> str:
    return ", ".join(f"{count} × {code}" for code, count in sorted(codes.items()))


def main() -> None:
    """Run what was asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interruptions", nargs="?", type=int, const=10, metavar="TIMES")
    parser.add_argument("--nodes", nargs="?", type=int, const=3, metavar="TIMES")
    parser.add_argument("--kills", nargs="?", type=int, const=60, metavar="TIMES")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chosen = {"interruptions": asked.interruptions, "nodes": asked.nodes, "kills": asked.kills}
    if not any(chosen.values()):
        chosen = {"interruptions": 10, "nodes": 3, "kills": 60}
    print(machine())
    for name, part in (("interruptions", interruptions), ("nodes", nodes), ("kills", kills)):
        if times := chosen[name]:
            print(f"\n{name}\n")
            with tempfile.TemporaryDirectory(prefix="c") as folder:
                Path(folder, "cluster").mkdir()
                part(random.Random(asked.seed), times, Path(folder))


if __name__ == "__main__":
    main()
