"""What smaller copies of the quickstart's models lose, with and without recovery.

    python benchmarks/compression.py

Byte transformers of widths 16, 32 and 64 on Python source, as in sweeps/quickstart.yaml with two epochs of 128 and
512 KiB; every variant is made from each of them, once as it is and once trained for 64 more steps. The table shows the
loss added in nats per byte without and with recovery; ε and fidelity are medians without it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from table import machine, print_table

from orchestrator.store import open_store

#: By the label that a row has for it.
VARIANTS = {
    "quantize 8": "method: quantize, bits: 8",
    "quantize 4": "method: quantize, bits: 4",
    "quantize 3": "method: quantize, bits: 3",
    "quantize 2": "method: quantize, bits: 2",
    "prune 0.8": "method: prune, density: 0.8",
    "prune 0.5": "method: prune, density: 0.5",
    "prune 0.2": "method: prune, density: 0.2",
    "prune 0.1": "method: prune, density: 0.1",
    "low_rank 0.5": "method: low_rank, rank_ratio: 0.5",
    "low_rank 0.25": "method: low_rank, rank_ratio: 0.25",
}
RECOVERED = ", recover: {steps: 64}"
RECOVERED_LABEL = " + 64 steps"
SWEEP = f"""\
name: compression-damage
data: {{source: python-stdlib, max_examples: 8192, eval_examples: 512}}
model: {{family: transformer, context: 64}}
grid:
  params: [6.3k, 25k, 99k]
  data_fraction: [0.25, 1.0]
  epochs: [2]
  compression: [{", ".join(f"{{{way}{more}}}" for way in VARIANTS.values() for more in ("", RECOVERED))}]
train: {{optimizer: adamw, batch_size: 16, warmup_steps: 30}}
inference: {{measure: false}}
fit: {{laws: [product, chinchilla, precision, sparsity], bootstrap: 500}}
"""


def main() -> None:
    """Run the sweep and print the table, the exponents of the damage, and what sharing saved."""
    with tempfile.TemporaryDirectory() as folder:
        sweep, store = Path(folder, "sweep.yaml"), Path(folder, "store")
        sweep.write_text(SWEEP)
        command = [sys.executable, "-m", "orchestrator.cli.main", "run", str(sweep), "--store", str(store), "--json"]
        done = subprocess.run([*command, "--no-dashboard"], stdout=subprocess.PIPE, text=True, check=True)
        report = json.loads(done.stdout)
        rows = open_store(str(store)).results()
    print(f"{machine()}\n")
    _damage(rows)
    print()
    for law, fitted in report["fits"].items():
        print(f"{law}: R²(log) {fitted['r2_log']:.3f}, held-out RMSE(log) {fitted['held_out_rmse_log'] or np.nan:.3f}")
    print(f"best: {report['best']}; {report['separability']['verdict']}")


def _damage(rows: pa.Table) -> None:
    """Print the loss added to each model by each variant."""
    found = {(row["params_non_embedding"], row["data_tokens"], row["compression"]): row for row in rows.to_pylist()}
    models = sorted({(n, d) for n, d, _ in found})
    lines = [["none", "1", *(f"{found[(*model, None)]['val_loss']:.3f}" for model in models), "1"]]
    for label in VARIANTS:
        cells, kept = [], []
        for model in models:
            plain, again = found[(*model, label)], found[(*model, label + RECOVERED_LABEL)]
            base = found[(*model, None)]["val_loss"]
            cells.append(f"{plain['val_loss'] - base:.3f} → {again['val_loss'] - base:.3f}")
            kept.append((plain["epsilon"], plain["fidelity"]))
        epsilon, fidelity = np.median(kept, axis=0)
        lines.append([label, f"{epsilon:.2f}", *cells, f"{fidelity:.3f}"])
    heads = [f"N {n / 1e3:.0f}k, {d // 1024} KiB" for n, d in models]
    print_table(["variant", "ε", *heads, "fidelity"], lines)


if __name__ == "__main__":
    main()
