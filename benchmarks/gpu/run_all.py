"""Run the steps one after the other within their limits; write gpu.json, gpu.md and gpu.log whatever fails.

python benchmarks/gpu/run_all.py --out FOLDER [--dry] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from report import written
from steps import STEPS, WHOLE_S, Step

HERE = Path(__file__).resolve().parent
#: Seconds that are kept for the report.
REPORT_S = 5.0
#: Seconds between the polite signal to a step and the other one.
GRACE_S = 3.0


@dataclass
class Process:
    """A step at work."""

    step: Step
    popen: subprocess.Popen[bytes]
    findings: Path
    begun_s: float
    end_s: float


class Runner:
    """Starts, ends and hears the steps.

    Parameters
    ----------
    out
        Gets gpu.json, gpu.md, gpu.log and traces: few files and no folders, as little comes back from such a machine.
    dry
        Whether all sizes are tiny and everything runs on the CPU.
    begun_s
        When the clock of the whole began, in seconds since 1970.
    patience
        By how much all limits are stretched, on a machine that others keep busy.
    """

    def __init__(self, out: Path, *, dry: bool, begun_s: float, patience: float = 1.0) -> None:
        self.out, self.dry, self.begun_s, self.patience = out, dry, begun_s, patience
        self.scratch = Path(tempfile.mkdtemp(prefix="scalaw-gpu-"))
        self.log: IO[bytes] = (out / "gpu.log").open("wb")
        self.done: list[dict[str, Any]] = []

    def left_s(self) -> float:
        """Return the seconds until the report is due."""
        return self.begun_s + self.patience * WHOLE_S - REPORT_S - time.time()

    def run(self, steps: tuple[Step, ...]) -> None:
        """Run steps; write the report after each."""
        beside: list[Process] = []
        for step in steps:
            if step.alone:
                while beside:
                    self._end(beside.pop(), at_once=True)
            if self.left_s() < 3:
                self._note(step, "no time was left", 0.0, {})
                continue
            process = self._start(step)
            if step.beside:
                beside.append(process)
            else:
                self._end(process, at_once=False)
        for process in beside:
            self._end(process, at_once=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _start(self, step: Step) -> Process:
        findings = self.scratch / f"{step.name.replace(' ', '-')}.json"
        if step.words[0] == "pytest":
            words = ["-m", "pytest", "-q", "-m", "gpu", "tests/workers", "-p", "no:cacheprovider", "--timeout", "60"]
        else:
            words = [str(HERE / step.words[0]), *step.words[1:], "--findings", str(findings)]
            words += ["--traces", str(self.out), *(["--dry"] if self.dry else [])]
        environment = dict(os.environ)
        # Compiled kernels of one step are there for the next ones.
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(self.scratch / "inductor")
        environment["TRITON_CACHE_DIR"] = str(self.scratch / "triton")
        if self.dry:
            environment["CUDA_VISIBLE_DEVICES"] = ""
            environment["OMP_NUM_THREADS"] = (
                "1"  # two threads that wait for each other on busy cores take 100 times as long
            )
        limit_s = min(self.patience * step.limit_s, self.left_s())
        self._say(f"== {step.name}: up to {limit_s:.0f} s")
        begun = time.time()
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        return Process(step, process, findings, begun, begun + limit_s)

    def _end(self, process: Process, *, at_once: bool) -> None:
        """Wait for a step, or end it where its time is over or the machine is wanted for another."""
        try:
            process.popen.wait(0.0 if at_once else max(0.0, process.end_s - time.time()))
            how = "ended by itself" if process.popen.returncode == 0 else f"exit code {process.popen.returncode}"
        except subprocess.TimeoutExpired:
            how = "ended for the next steps" if at_once else "its time was over"
        _kill(process.popen)
        found = json.loads(process.findings.read_text("utf-8")) if process.findings.exists() else {}
        self._note(process.step, how, time.time() - process.begun_s, found)

    def _note(self, step: Step, how: str, seconds: float, found: dict[str, Any]) -> None:
        self.done.append({"step": step.name, "end": how, "seconds": round(seconds, 1), **found})
        self._say(f"== {step.name}: {how}, {seconds:.1f} s")
        self.report()

    def report(self) -> None:
        """Write what is known by now."""
        whole = {"dry": self.dry, "wall_s": round(time.time() - self.begun_s, 1), "steps": self.done}
        (self.out / "gpu.json").write_text(json.dumps(whole, indent=1), "utf-8")
        (self.out / "gpu.md").write_text(written(whole), "utf-8")

    def _say(self, said: str) -> None:
        print(said, flush=True)
        self.log.write(f"{said}\n".encode())
        self.log.flush()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a step and what it has started: all are in its session's process groups, Ray's too once their driver went."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    for pid in _of_session(process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def _of_session(session: int) -> list[int]:
    """Return the processes of a session; Ray puts its own into groups of their own, but not into sessions."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                found.append(int(entry.name))
    return found


def main() -> None:
    """Run all steps, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--begun", type=float, default=time.time(), help="seconds since 1970")
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--patience", type=float, default=1.0, help="stretches all limits, where others compute too")
    parser.add_argument("--only", nargs="+", help="names of steps")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    runner = Runner(options.out, dry=options.dry, begun_s=options.begun, patience=options.patience)
    try:
        runner.run(tuple(step for step in STEPS if not options.only or step.name in options.only))
    finally:
        runner.report()
    print((options.out / "gpu.md").read_text("utf-8"))


if __name__ == "__main__":
    main()
