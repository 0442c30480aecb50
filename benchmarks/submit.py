"""What it costs to submit a sweep to a warm cluster instead of running it here.

    python benchmarks/submit.py [--sweep sweeps/quickstart.yaml]

A cluster of one node with a token is started on this machine by `docker/entrypoint.sh`. First the seconds from the
command `submit` to the first stage of a small sweep, median of five; then one sweep by `run` and by `submit`, each into
an empty store, from the command to its last row.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from table import machine, print_table

from orchestrator.store import open_store

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
REPEATS = 5
SMALL = (
    "name: small\ndata: {source: simulated, examples: 1M}\nmodel: {family: simulated}\n"
    "grid: {params: [1k, 3k], data_fraction: [0.1, 1.0]}\nfit: {bootstrap: 0, laws: [product]}\n"
)


def free_port() -> int:
    """Return a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stamps(store: Path) -> tuple[datetime, datetime]:
    """Return when the first stage that led to a row began, and when the last row was there."""
    rows = open_store(str(store)).results()
    started, finished = rows["started_at"].to_pylist(), rows["finished_at"].to_pylist()
    return min(started), max(finished)


def timed(command: list[str], env: dict[str, str], store: Path) -> tuple[float, float]:
    """Run a command into a store; return the seconds to the first stage and to the last row."""
    begun = datetime.now(UTC)
    subprocess.run(command, env=env, check=True, capture_output=True)
    first, last = stamps(store)
    return (first - begun).total_seconds(), (last - begun).total_seconds()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", default=str(ROOT / "sweeps" / "quickstart.yaml"))
    sweep = parser.parse_args().sweep
    with tempfile.TemporaryDirectory(prefix="b") as scratch:
        folder = Path(scratch)
        (folder / "token").write_text(secrets.token_hex(32))
        dashboard = free_port()
        env = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_PORT": str(free_port()),
            "RAY_DASHBOARD_PORT": str(dashboard),
            "RAY_METRICS_PORT": str(free_port()),
            "RAY_AGENT_PORT": str(free_port()),
        }
        url = f"http://127.0.0.1:{dashboard}"
        head = [str(ROOT / "docker" / "entrypoint.sh"), "head", f"--temp-dir={folder / 'ray'}"]
        cluster = subprocess.Popen(head, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while subprocess.run([ROOT / "docker" / "healthcheck.sh"], env=env, capture_output=True).returncode:
                time.sleep(0.5)
            (folder / "small.yaml").write_text(SMALL)
            firsts = []
            for k in range(REPEATS):
                store = folder / f"small-{k}"
                to = ["--address", url, "--store", str(store), "--working-dir", str(folder), "--exclude", "ray/*"]
                command = [str(BIN / "scalaw"), "submit", str(folder / "small.yaml"), *to, "--wait"]
                firsts.append(timed(command, env, store)[0])
            here, there = folder / "here", folder / "there"
            _, run_s = timed([str(BIN / "scalaw"), "run", sweep, "--store", str(here)], env, here)
            to = ["--address", url, "--store", str(there), "--wait"]
            first_s, submit_s = timed([str(BIN / "scalaw"), "submit", sweep, *to], env, there)
            rows = [open_store(str(store)).results() for store in (here, there)]
            losses = [dict(zip(r["cell_id"].to_pylist(), r["val_loss"].to_pylist(), strict=True)) for r in rows]
            apart = max(abs(losses[0][cell] - losses[1][cell]) for cell in losses[0])
        finally:
            cluster.terminate()
            cluster.wait(timeout=30)
    print(f"{machine()}\n")
    print_table(
        ["what", "seconds"],
        [
            [f"submit to first stage, small sweep, median of {REPEATS}", f"{statistics.median(firsts):.1f}"],
            ["the same, from each", json.dumps([round(one, 1) for one in firsts])],
            [f"{Path(sweep).stem}: submit to first stage", f"{first_s:.1f}"],
            [f"{Path(sweep).stem}: run, command to last row", f"{run_s:.1f}"],
            [f"{Path(sweep).stem}: submit, command to last row", f"{submit_s:.1f}"],
            ["submit less run", f"{submit_s - run_s:+.1f}"],
            ["max |Δ val_loss|", f"{apart:.1e}"],
        ],
    )


if __name__ == "__main__":
    main()
