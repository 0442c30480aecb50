"""What smaller copies of a model buy in latency, and what they cost in quality.

    python benchmarks/inference.py

First table: an MLP of 6 hidden layers of 512 units, trained on the digits, 64 images at a time: float32 against 8-bit
weights and inputs (`quantize` with `activations: int8`), each eager and compiled; torch's own dynamic quantisation,
which is deprecated, stands beside them. Second table: half the units pruned (`pattern: structured`) from models of both
families, with recovery. Ways take turns; a time is the median of all turns, each of which is a median of runs.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import warnings
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from sklearn.datasets import load_digits
from table import machine, print_table
from torch import nn

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from workers.compressing import restored
from workers.compressors.quantize.plan import QuantizeOptions
from workers.compressors.quantize.train import Quantizer
from workers.compressors.session import Parts
from workers.engine import TorchEngine
from workers.serving.backends import prepared
from workers.serving.int8_serving import with_whole_numbers
from workers.serving.timing import timed
from workers.training.state import TrainState

TURNS = 7
WIDTH, LAYERS, BATCH = 512, 6, 64
SWEEPS = {
    "transformer": """
name: inference
data: {source: python-stdlib, max_examples: 2048, eval_examples: 128}
model: {family: transformer}
grid: {params: [1.6M], compression: [{method: prune, pattern: structured, density: 0.5, recover: {steps: 40}}]}
train: {batch_size: 16, warmup_steps: 20}
inference: {measure: false}
""",
    "resnet": """
name: inference
data: {source: digits, max_examples: 1024, eval_examples: 256}
model: {family: resnet}
grid: {params: [2.8M], epochs: [2], compression: [
  {method: prune, pattern: structured, density: 0.5, recover: {steps: 40}}]}
train: {optimizer: sgd, batch_size: 32, warmup_steps: 10}
inference: {measure: false}
""",
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{machine()}; {options.threads} threads; median of {TURNS} turns\n")
    _integers()
    _half_the_units()


def _integers() -> None:
    module, x, y = _trained_mlp()
    batch = x[:BATCH].contiguous()
    ways: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], nn.Module]] = {}
    said = []
    rounded = _rounded(module)
    for name, model, backend in (
        ("float32, eager", module, "eager"),
        ("float32, compile", module, "compile"),
        ("int8, eager", rounded, "eager"),
        ("int8, compile", rounded, "compile"),
    ):
        if model is rounded:  # as a row would have it, and integers whatever they cost
            said += [f"{name}: {sentence}" for sentence in prepared(model, batch, backend).warnings]
            model, why = with_whole_numbers(model)
            said += [why] if why else []
        ways[name] = torch.compile(model, dynamic=False) if backend == "compile" else model, model
    theirs = _of_torch(module)
    ways["int8, torch's own"] = theirs, theirs
    seconds = _in_turns({name: (run, batch) for name, (run, _) in ways.items()})
    rows = []
    for name, (_, model) in ways.items():
        with torch.inference_mode():
            accuracy = float((model(x).argmax(1) == y).float().mean())
        rows.append(
            [
                name,
                f"{seconds[name] * 1e3:.2f}",
                f"{seconds['float32, eager'] / seconds[name]:.2f}",
                f"{seconds['float32, compile'] / seconds[name]:.2f}",
                f"{accuracy:.4f}",
            ]
        )
    print(f"MLP {LAYERS} x {WIDTH}, batch {BATCH}\n")
    print_table(["way", "latency p50 ms", "float32 eager ÷ it", "float32 compile ÷ it", "accuracy"], rows)
    print("".join(f"\n{sentence}" for sentence in said))


def _trained_mlp() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Return an MLP trained on three quarters of the digits, and the images and labels of the rest."""
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    y = torch.tensor(digits.target)
    held = torch.from_numpy(np.random.default_rng(0).permutation(len(x)) < len(x) // 4)
    sizes = [x.shape[1], *(WIDTH,) * LAYERS]
    hidden = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())]
    module = nn.Sequential(*hidden, nn.Linear(WIDTH, 10))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    for step in range(200):
        picked = torch.randint(0, int((~held).sum()), (BATCH,), generator=torch.Generator().manual_seed(step))
        loss = nn.functional.cross_entropy(module(x[~held][picked]), y[~held][picked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.eval(), x[held], y[held]


def _rounded(module: nn.Module) -> nn.Module:
    parts = Parts([name for name, _ in module.named_parameters() if name.endswith("weight")], [])
    wanted = QuantizeOptions(method="quantize", bits=8, activations="int8")
    session = Quantizer.session(copy.deepcopy(module), wanted, parts, 0, lambda: module)
    session.finish()
    return session.module.eval()


def _of_torch(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: nn.Module = torch.ao.quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)
    return found


def _half_the_units() -> None:
    rows = []
    for family, text in SWEEPS.items():
        whole, half, some, scores = _pair(text)
        for batch in (1, 32):
            x = some(batch)
            seconds = _in_turns({"whole": (whole, x), "half": (half, x)})
            rows.append(
                [
                    family,
                    f"{sum(p.numel() for p in whole.parameters()):,}",
                    f"{sum(p.numel() for p in half.parameters()):,}",
                    str(batch),
                    f"{seconds['whole'] * 1e3:.2f}",
                    f"{seconds['half'] * 1e3:.2f}",
                    f"{seconds['whole'] / seconds['half']:.2f}",
                    "1.6",
                    *(f"{before:.3f} → {after:.3f}" for before, after in scores),
                ]
            )
    print("\nHalf the units pruned, eager\n")
    print_table(
        ["family", "parameters", "left", "batch", "ms", "pruned ms", "ratio", "target", "loss", "accuracy"], rows
    )


def _pair(
    text: str,
) -> tuple[nn.Module, nn.Module, Callable[[int], torch.Tensor], list[tuple[float, float]]]:
    """Return a trained model, what is left of it, inputs of any batch size, and (before, after) loss and accuracy."""
    plan = make_plan(parse_sweep(text))
    engine = TorchEngine(plan.context)
    states: dict[str, TrainState] = {}
    modules, rows = [], []
    for stage in plan.tree:
        parent = states.get(stage.parent or "")
        if stage.kind == "evaluate":
            assert parent is not None
            modules.append(restored(engine.build_shape(stage.shape, stage.seed, stage.data), parent).eval())
            rows.append(engine.measure(stage, parent))
        else:
            states[stage.id] = engine.train(stage, parent)
    order = sorted(range(2), key=lambda k: -rows[k]["model_bytes"])
    scores = [tuple(rows[k][name] for k in order) for name in ("val_loss", "accuracy")]
    data = engine.data("pretrain")
    return modules[order[0]], modules[order[1]], lambda count: data.some(count)[0], scores  # type: ignore[return-value]


def _in_turns(ways: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]]) -> dict[str, float]:
    """Return the median seconds of each way."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, (run, x) in ways.items():
            seconds[name].append(float(np.median(timed(lambda run=run, x=x: run(x), x.device))))  # type: ignore[misc]
    return {name: statistics.median(times) for name, times in seconds.items()}


if __name__ == "__main__":
    main()
