"""Plants faults in the rooms that own failure, one at a time: the tests of each room must catch every one.

    python benchmarks/mutants.py [WORD …]

Works on a copy of the files that git knows. A fault is caught where its tests fail; one whose text is no longer in its
file is an error, so that the list keeps up with the code. With words, only faults whose name has one of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Seconds after which the tests of a fault are ended; a hang is caught by pytest's own time-out before.
LIMIT_S = 400
SCHEDULER = "orchestrator/execution/stage_scheduler.py"
STATUS = "orchestrator/execution/stage_status.py"
POLICY = "orchestrator/execution/failure_policy.py"
DRIVER = "orchestrator/execution/driver.py"
STALL = "orchestrator/execution/stall.py"
CHECKPOINTER = "workers/checkpointer.py"
WORKER = "workers/worker.py"
COMPRESSING = "workers/compressing.py"
CHECKPOINTS = "orchestrator/store/checkpoints.py"
LOCAL = "orchestrator/store/local_blobs.py"
PATIENCE = "orchestrator/store/patience.py"
LEASE = "orchestrator/store/heartbeat.py"
RESULTS = "orchestrator/store/results.py"
#: Which tests are run for a fault in a file: those of its room that take seconds.
TESTS = {
    SCHEDULER: ["tests/execution/test_stage_scheduler.py", "tests/execution/test_scheduler_machine.py"],
    STATUS: ["tests/execution/test_stage_scheduler.py", "tests/execution/test_scheduler_machine.py"],
    POLICY: ["tests/execution/test_failure_policy.py", "tests/execution/test_failures.py"],
    DRIVER: ["tests/execution/test_failures.py", "tests/execution/test_exact_resume.py"],
    STALL: ["tests/execution/test_failures.py"],
    CHECKPOINTER: [
        "tests/workers/test_checkpointer.py",
        "tests/workers/training/test_checkpoint.py",
        "tests/execution/test_exact_resume.py",
    ],
    WORKER: [
        "tests/workers/test_worker.py",
        "tests/execution/test_exact_resume.py",
        "tests/execution/test_failures.py",
    ],
    COMPRESSING: ["tests/execution/test_exact_resume.py"],
    CHECKPOINTS: ["tests/store/test_checkpoints.py"],
    LOCAL: ["tests/store"],
    PATIENCE: ["tests/store/test_patience.py"],
    LEASE: ["tests/store/test_heartbeat.py"],
    RESULTS: ["tests/store"],
}


@dataclass(frozen=True)
class Fault:
    """One wrong line.

    Parameters
    ----------
    name
        What is wrong with it.
    file, right, wrong
        Where it is planted.
    """

    name: str
    file: str
    right: str
    wrong: str


FAULTS = [
    Fault(
        "a state that no child needs any more stays in memory",
        SCHEDULER,
        "        self._let_go_unless_asked_for(first.parent)\n",
        "",
    ),
    Fault(
        "dormant cells keep no state alive",
        STATUS,
        "ASKING: Final = OPEN | {Status.DORMANT}",
        "ASKING: Final = OPEN",
    ),
    Fault(
        "a lost checkpoint is still counted on",
        SCHEDULER,
        "elif self._kept.pop(stage_id, None) is not None:",
        "elif self._kept.get(stage_id) is not None:",
    ),
    Fault(
        "what is lost is never derived again",
        SCHEDULER,
        "if self._status[parent.id] in OPEN:",
        "if self._status[parent.id] is not Status.FAILED:",
    ),
    Fault(
        "a begun stage is done from its parent's state again",
        SCHEDULER,
        "stage.parent is None or self._kept.get(stage.id) is Progress.BEGUN",
        "stage.parent is None",
    ),
    Fault(
        "a begun state is handed to children",
        SCHEDULER,
        'return stage_id in self._in_memory or self._kept.get(stage_id or "") is Progress.DONE',
        'return stage_id in self._in_memory or (stage_id or "") in self._kept',
    ),
    Fault(
        "what never began counts as an attempt",
        SCHEDULER,
        "self.attempts[chain[0].id] -= 1",
        "self.attempts[chain[0].id] -= 0",
    ),
    Fault(
        "a kept end is done once more",
        SCHEDULER,
        "first = k + (self._kept[stage.id] is Progress.DONE)",
        "first = k",
    ),
    Fault(
        "descendants of a failed stage are forgotten",
        SCHEDULER,
        "if self._status[child.id] in ASKING - {Status.IN_FLIGHT} and not self._goes_on_by_itself(child):",
        "if self._status[child.id] is Status.READY and not self._goes_on_by_itself(child):",
    ),
    Fault(
        "nodes take no states along",
        SCHEDULER,
        "if state.node in nodes]",
        "if state.node in ()]",
    ),
    Fault(
        "a worker is never told to look for a checkpoint",
        SCHEDULER,
        "stage.id in self._kept or stage.id in self._tried for stage in chain)",
        "False for stage in chain)",
    ),
    Fault(
        "retries go before their wait is over",
        DRIVER,
        "if verdict.wait_s:",
        "if False and verdict.wait_s:",
    ),
    Fault(
        "the death of a worker is charged to the cell",
        POLICY,
        "record.deaths_in_a_row += 1",
        "record.deaths_in_a_row += 3",
    ),
    Fault(
        "a lost node is charged to the stage",
        POLICY,
        "record.losses_in_a_row += 1",
        "record.deaths_in_a_row += 1\n        record.losses_in_a_row += 1",
    ),
    Fault(
        "deaths long ago count for ever",
        POLICY,
        "record.deaths_in_a_row = record.deaths_together_in_a_row = 0",
        "record.deaths_together_in_a_row = 0",
    ),
    Fault(
        "a diverged stage is trained again",
        POLICY,
        "if cause in (Cause.DIVERGED, Cause.REFUSED):",
        "if cause is Cause.REFUSED or (cause is Cause.DIVERGED and record.raised):",
    ),
    Fault(
        "the cluster is waited for without end",
        POLICY,
        "now_s - self._lost_since_s > self.cluster_patience_s",
        "now_s - self._lost_since_s > 1e9 * self.cluster_patience_s",
    ),
    Fault(
        "one memory error is the end",
        POLICY,
        "if record.micro_batches >= batch_size:",
        "if record.micro_batches >= 1:",
    ),
    Fault(
        "what comes further is poison",
        POLICY,
        "if record.reached is None or reached > record.reached:",
        "if record.reached is not None and reached < record.reached:",
    ),
    Fault(
        "one retry too many",
        POLICY,
        "if record.raised > self.max_retries",
        "if record.raised > self.max_retries + 1",
    ),
    Fault(
        "a full disk fails cells",
        POLICY,
        "if cause is Cause.STORE_UNREACHABLE:",
        "if cause is Cause.STORE_UNREACHABLE and record.raised:",
    ),
    Fault(
        "a state need not be what its name says",
        CHECKPOINTER,
        "if state.done is not (progress is Progress.DONE):",
        "if state.done is None:",
    ),
    Fault(
        "a done state is kept as begun",
        CHECKPOINTER,
        "progress = Progress.DONE if state.done else Progress.BEGUN",
        "progress = Progress.BEGUN",
    ),
    Fault(
        "nothing is kept in the middle",
        CHECKPOINTER,
        "return self.leads and time.monotonic() >= self._due_s",
        "return False and self.leads",
    ),
    Fault(
        "a stop keeps nothing",
        CHECKPOINTER,
        "(self.stop_asked and self.leads)):\n            return\n        self.keep(stage, state())",
        "(self.stop_asked and self.leads)):\n            return\n        self.stop_asked or self.keep(stage, state())",
    ),
    Fault(
        "a damaged checkpoint stays",
        CHECKPOINTER,
        "except DamagedCheckpoint as damage:\n            self.checkpoints.drop(stage_id)",
        "except DamagedCheckpoint as damage:\n            self.checkpoints.load(stage_id)",
    ),
    Fault(
        "a kept compression is compressed once more",
        WORKER,
        "return chain[k + 1 :], found, before + chain[k].steps",
        "return chain[k:], found, before + chain[k].steps",
    ),
    Fault(
        "a lost parent is trained from nothing",
        WORKER,
        "if parent is None and chain[0].parent is not None:",
        "if parent is None and chain[0].parent is None and False:",
    ),
    Fault(
        "a row is told of and not committed",
        WORKER,
        "        self.commit(row)\n        return row",
        "        return row",
    ),
    Fault(
        "a stop goes on with the next stage",
        WORKER,
        "if self.checkpointer.stop_asked and done is not None:",
        "if False and done is not None:",
    ),
    Fault(
        "a compression goes on from its half-trained weights",
        COMPRESSING,
        'before = parent if parent.done else replace(parent, model=_named("model", parent.origin))',
        "before = parent",
    ),
    Fault(
        "a standstill is never noticed",
        STALL,
        "return vitals.unchanged_s > limit_s",
        "return vitals.unchanged_s > 1e6 * limit_s",
    ),
    Fault(
        "what was queued behind a dead worker is charged",
        DRIVER,
        "if ticket == event.ticket:",
        "if ticket:",
    ),
    Fault(
        "a begun checkpoint is read before a done one",
        CHECKPOINTS,
        'return match["progress"] == Progress.DONE.value, int(match["step"])',
        'return match["progress"] != Progress.DONE.value, int(match["step"])',
    ),
    Fault(
        "older checkpoints pile up",
        CHECKPOINTS,
        "            if _rank(older) < _rank(key):\n                self.blobs.delete(older)",
        "            if _rank(older) > _rank(key):\n                self.blobs.delete(older)",
    ),
    Fault(
        "the second writer of a row wins",
        LOCAL,
        "            try:\n                os.link(temporary, path)",
        "            try:\n                os.replace(temporary, path)",
    ),
    Fault(
        "a store that was replaced is written to",
        LOCAL,
        "if there != expected:",
        "if not there:",
    ),
    Fault(
        "a store that does not answer is given up at once",
        PATIENCE,
        "while self.now_s() < end_s:",
        "while self.now_s() > end_s:",
    ),
    Fault(
        "two drivers lead one sweep",
        LEASE,
        "if not store.blobs.put_new(_key(sweep, last + 1), json.dumps(mine).encode()):",
        "if store.blobs.put_new(_key(sweep, last + 1), json.dumps(mine).encode()) is None:",
    ),
    Fault(
        "a failure row stands beside the cell's row",
        RESULTS,
        "ok = {cell for cell, key in listing.ok.items() if key in keys} | held",
        "ok = set(held)",
    ),
]


def copied(to: Path) -> None:
    """Copy the files that git knows, as they are now."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def is_caught(fault: Fault, tree: Path) -> bool:
    """Plant a fault, run the tests of its room and take it out again; return whether they fail."""
    path = tree / fault.file
    text = path.read_text()
    if text.count(fault.right) != 1:
        raise SystemExit(
            f"{fault.file} has {text.count(fault.right)} times what {fault.name!r} replaces: mend the list"
        )
    path.write_text(text.replace(fault.right, fault.wrong))
    tests = [test for test in TESTS[fault.file] if (tree / test).exists()]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not nightly", *tests],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(text)
    if done.returncode not in (0, 1):
        raise SystemExit(f"the tests of {fault.name!r} could not be run:\n{done.stdout.decode()[-2000:]}")
    return done.returncode == 1


def main(words: list[str]) -> int:
    """Try all faults; return how many got away."""
    chosen = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    got_away = 0
    with tempfile.TemporaryDirectory(prefix="scalaw-mutants-") as folder:
        tree = Path(folder)
        copied(tree)
        for number, fault in enumerate(chosen, 1):
            begun = time.monotonic()
            caught = is_caught(fault, tree)
            got_away += not caught
            word = "caught  " if caught else "GOT AWAY"
            print(f"{number:3} {word} {time.monotonic() - begun:5.0f} s  {fault.file}: {fault.name}", flush=True)
    print(f"{len(chosen) - got_away} of {len(chosen)} caught")
    return got_away


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
