"""The sweep that ``scalaw init`` writes."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import BadInput

_TEXT = """\
# A scaling-law sweep. `scalaw plan THIS_FILE` shows what it costs, `scalaw run THIS_FILE` with a store runs it.
# Every key but name and grid.params may be left out. Numbers may be written 25k, 125M, 10B, 1e9 or 1_000.
name: my-sweep
description: a byte-level language model on the Python standard library; some minutes on two cores
seed: 0

data:
  source: python-stdlib        # or text, digits, cifar10, imagefolder, fake, simulated
  max_examples: 4096           # examples that data_fraction 1.0 means; all of them if left out
  # eval_examples: 1024        # most validation and test examples that are scored

model:
  family: transformer          # or resnet (images), simulated (trains nothing)
  context: 64                  # tokens in one example

grid:                          # the cells are the product of these axes
  params: [6k, 25k, 100k]                  # N: non-embedding parameters; the nearest buildable model is taken
  data_fraction: [0.25, 0.5, 1.0]          # D: shares of the training examples
  epochs: [1, 2, 4]                        # E: passes over them
  # finetune: {data: {source: text, paths: [notes/]}, examples: [1k, 4k], epochs: [1, 2]}
  # compression:
  #   - {method: quantize, bits: 8}
  #   - {method: prune, density: 0.5, recover: {steps: 100}}
  #   - {method: low_rank, rank_ratio: 0.5}
  #   - {method: distill, student_params: 6k}
  seeds: 1

train:
  optimizer: adamw             # or sgd
  learning_rate: auto          # the family's stated rule
  batch_size: 16
  warmup_steps: 30
  schedule: wsd                # wsd, wsm and constant train once what cells have in common
  cooldown_fraction: 0.2       # share of the steps that cool down

resources:
  workers: auto                # as many as the cluster holds
  gpus_per_worker: 0
  cpus_per_worker: 1
  world_size: 1                # ranks that train one cell together
  price_per_gpu_hour: 0

fit:
  target: loss                 # or accuracy
  laws: [product, chinchilla, data_constrained]
  hold_out: largest            # judge the laws on the largest cells, which they haven't seen
"""


def starter_sweep() -> str:
    """Return a commented sweep as YAML text; it loads as it is."""
    return _TEXT


def write_starter(directory: Path) -> Path:
    """Write that sweep into a folder, which is made where it is missing; return the file.

    Raises
    ------
    BadInput
        If there is one already, or it can't be written.
    """
    path = directory / "sweep.yaml"
    if path.exists():
        raise BadInput(f"{path} is there already; name another folder")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(starter_sweep())
    except OSError as failure:
        raise BadInput(f"{path} can't be written: {failure.strerror}") from failure
    return path
