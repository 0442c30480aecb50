"""The training state of a large model: seconds to keep it and to take it up again, to the bit, and the same end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from findings import Findings, step

from orchestrator.store import open_store
from orchestrator.store.checkpoints import Progress
from sweeps import text_plan, trunk_of
from workers.engine import TorchEngine
from workers.training.state import TrainState

Found = TypeVar("Found")


def apart(one: TrainState, other: TrainState) -> list[str]:
    """Return the names of arrays that differ in any bit."""
    pairs = [(one.model, other.model), (one.optimizer, other.optimizer)]
    missing = [name for a, b in pairs for name in a.keys() ^ b.keys()]
    return missing + [n for a, b in pairs for n in a.keys() & b.keys() if a[n].tobytes() != b[n].tobytes()]


def run(findings: Findings, words: list[str], traces: Path) -> None:
    """Keep, load, go on, and compare with a run that was not disturbed."""

    def timed(name: str, action: Callable[[], Found]) -> Found:
        begun = time.perf_counter()
        answer = action()
        findings.fact(f"seconds to {name}", f"{time.perf_counter() - begun:.2f}")
        return answer

    size = "50k" if findings.dry else "350M"
    plan = text_plan(size, dry=findings.dry, batch=4, overrides=["train.deterministic=true"])
    engine, trunk = TorchEngine(plan.context, on_gpu=not findings.dry), trunk_of(plan)
    half, whole = replace(trunk, stop_step=2), replace(trunk, start_step=2, stop_step=4)
    state = timed("build the model, do two steps and copy the state to the host", lambda: engine.train(half, None))
    findings.fact("state, MB", f"{state.nbytes / 1e6:,.0f}")
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = open_store(folder, create=True).checkpoints
        data = timed("pack it", lambda: engine.pack(state))
        timed("write it to the disk", lambda: checkpoints.save(trunk.id, Progress.DONE, 2, data))
        there = timed("read it from the disk", lambda: checkpoints.load(trunk.id))
    assert there is not None
    again = timed("unpack it", lambda: engine.unpack(there[1]))
    differing = apart(state, again)
    findings.check("what was kept is what was written, to the bit", not differing, f"{len(differing)} arrays differ")
    resumed = timed("load it into the model and do two steps more", lambda: engine.train(whole, again))
    on = engine.train(whole, state)
    differing = apart(on, resumed)
    findings.check(
        "from the checkpoint and from memory: the same end", not differing, f"{len(differing)} arrays differ"
    )
    straight = engine.train(replace(trunk, stop_step=4), None)
    differing = apart(straight, resumed)
    findings.check("undisturbed: the same end", not differing, f"{len(differing)} arrays differ")
    findings.check("numbers", bool(np.isfinite(next(iter(straight.model.values()))).all()), "finite")


if __name__ == "__main__":
    step(run, __doc__)
