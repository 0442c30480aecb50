"""Every family on the GPU against the CPU: logits, loss and gradients of one step, twenty steps, and all compressors.

fp32 with TF32 off must agree within 1e-4; bf16 has a bound of its own. Distances are ‖a - b‖ / ‖b‖ in float64.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from findings import Findings, step

from orchestrator.planning import Plan, make_plan
from orchestrator.spec import parse_sweep
from sweeps import image_plan, text_plan, trunk_of
from workers.engine import TorchEngine
from workers.training.loop import cross_entropy

#: Largest distance of one step's logits, loss and gradients from those of the CPU in fp32, by precision.
BOUNDS = {"fp32": 1e-4, "bf16": 3e-2}
#: Largest difference in validation loss after training, in nats: rounding is amplified at each step.
LOSS_BOUNDS = {"fp32": 1e-3, "bf16": 3e-2}
#: Rates at which twenty steps amplify rounding little.
RATES = {"transformer": 1e-3, "resnet": 1e-2}
STEPS = 20
CHILDREN = """\
name: gpu-children
seed: 3
data: {{source: python-stdlib, max_examples: 256, eval_examples: 32}}
model: {{family: transformer, context: 32}}
grid:
  params: [12k]
  finetune: {{data: c-headers, examples: [64], epochs: [1]}}
  compression:
    - {{method: quantize, bits: 8, recover: {{steps: 2}}}}
    - {{method: quantize, bits: 8, activations: int8}}
    - {{method: prune, density: 0.5, recover: {{steps: 2}}}}
    - {{method: low_rank, rank_ratio: 0.5}}
    - {{method: distill, student_params: 6k}}
train: {{batch_size: 16, schedule: wsm, warmup_steps: 2, precision: fp32}}
resources: {{gpus_per_worker: {gpus}}}
"""


def distance(here: Any, there: Any) -> float:
    """Return ‖here - there‖ / ‖there‖; what is no number is infinitely far."""
    a, b = (np.asarray(torch.as_tensor(each).detach().double().cpu()) for each in (here, there))
    found = float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30))
    return found if np.isfinite(found) else float("inf")


def one_step(engine: TorchEngine, plan: Plan, precision: str) -> dict[str, Any]:
    """Return logits, loss and gradients of the first batch from the initial weights."""
    trunk = trunk_of(plan)
    module = engine.build(trunk).train()
    x, y = engine.data("pretrain").some(trunk.recipe.batch_size)
    with torch.autocast(engine.device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = module(x)
        loss = cross_entropy(logits, y)
    loss.backward()
    gradients = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
    return {"logits": logits, "loss": loss, "gradients": gradients}


def family(findings: Findings, name: str, precision: str) -> None:
    """Compare one family under one precision."""
    make = {"transformer": text_plan, "resnet": image_plan}[name]
    size = {"transformer": ("100k", "20k"), "resnet": ("100k", "2k")}[name][findings.dry]
    slow = f"train.learning_rate={RATES[name]}"
    plan = make(size, dry=findings.dry, batch=8, overrides=[f"train.precision={precision}", slow])
    exact = make(size, dry=findings.dry, batch=8, overrides=["train.precision=fp32", slow])
    gpu, cpu = TorchEngine(plan.context, on_gpu=not findings.dry), TorchEngine(exact.context)
    found, expected = one_step(gpu, plan, precision), one_step(cpu, exact, "fp32")
    apart = {key: distance(found[key], expected[key]) for key in found}
    worst = max(apart.values())
    findings.check(
        f"{name} {precision}: one step within {BOUNDS[precision]:g} of the CPU's fp32",
        worst <= BOUNDS[precision],
        ", ".join(f"{key} {value:.1e}" for key, value in apart.items()),
    )
    losses = []
    for engine, of in ((gpu, plan), (cpu, exact)):
        *_, evaluate = of.tree
        losses.append(engine.measure(evaluate, engine.train(trunk_of(of, STEPS), None))["val_loss"])
    difference = abs(losses[0] - losses[1])
    findings.check(
        f"{name} {precision}: validation loss after {STEPS} steps within {LOSS_BOUNDS[precision]:g} nats",
        difference <= LOSS_BOUNDS[precision],
        f"{losses[0]:.6f}, on the CPU {losses[1]:.6f}, apart {difference:.1e}",
    )


def children(findings: Findings) -> None:
    """Run fine-tuning and every compressor on both; their structure must be the same and their losses near."""
    rows: list[dict[str, dict[str, Any]]] = []
    for on_gpu in (not findings.dry, False):
        plan = make_plan(parse_sweep(CHILDREN.format(gpus=int(on_gpu))))
        engine, states, found = TorchEngine(plan.context, on_gpu=on_gpu), {}, {}
        for stage in plan.tree:
            parent = states.get(stage.parent) if stage.parent else None
            if stage.cell is None:
                states[stage.id] = engine.train(stage, parent)
            else:
                compressed = stage.cell.compressed
                name = compressed.label if compressed else "as it was"
                after = "finetuned" if stage.cell.tuning else "pretrained"
                found[f"{after}, {name}"] = engine.measure(stage, parent)
        rows.append(found)
    for name, row in rows[0].items():
        other = rows[1][name]
        same = all(abs(row[key] / other[key] - 1) < 1e-2 for key in ("model_bytes", "density", "bits_per_param"))
        apart = abs(row["val_loss"] - other["val_loss"])
        said = f"loss {row['val_loss']:.5f}, on the CPU {other['val_loss']:.5f}; bytes {row['model_bytes']:,}"
        findings.check(f"child {name}", apart <= 2e-2 and same, said)


def run(findings: Findings, words: list[str], traces: Path) -> None:
    """Compare all."""
    for name in ("transformer", "resnet"):
        for precision in ("fp32", "bf16"):
            with findings.part(f"{name} {precision}"):
                family(findings, name, precision)
    with findings.part("children"):
        children(findings)


if __name__ == "__main__":
    step(run, __doc__)
