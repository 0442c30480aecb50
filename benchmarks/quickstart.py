"""The quickstart from an empty store: wall time, core-seconds, exponents and held-out error.

python benchmarks/quickstart.py [SEED ...]     (default: 0 1)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time

from table import machine, print_table


def once(seed: str) -> list[object]:
    """Run the sweep with a seed and return its line of the table."""
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "orchestrator.cli.main", "run", "sweeps/quickstart.yaml", "--store", store]
        begun = time.perf_counter()
        done = subprocess.run(
            [*command, "--set", f"seed={seed}", "--no-dashboard", "--json"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        wall_s = time.perf_counter() - begun
    document = json.loads(done.stdout)
    law = document["fits"]["product"]
    exponents = [
        f"{p['value']:.3f} [{p['lo']:.3f}, {p['hi']:.3f}]"
        for p in (law["params"][k] for k in ("alpha", "beta", "gamma"))
    ]
    figures = [f"{law['r2_log']:.3f}", f"{law['held_out_rmse_log']:.4f}", document["best"]]
    return [seed, document["rows"], f"{wall_s:.0f}", f"{document['worker_s']:.0f}", *exponents, *figures]


def main() -> None:
    """Print the table."""
    rows = [once(seed) for seed in sys.argv[1:] or ("0", "1")]
    print(f"{machine()}\n")
    print_table(
        ["seed", "rows", "wall s", "core-seconds", "α", "β", "γ", "R²(log)", "held-out RMSE(log)", "best law"], rows
    )


if __name__ == "__main__":
    main()
