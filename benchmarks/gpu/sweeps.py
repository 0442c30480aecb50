"""Sweeps from which the steps take plans, and how many steps, examples and parameters they have here and there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.planning import Plan, make_plan
from orchestrator.planning.tree import Stage
from orchestrator.spec import parse_sweep

TEXT = """\
name: gpu-text
data: {{source: python-stdlib, eval_examples: {score}}}
model: {{family: transformer, context: {context}, head_dim: {head_dim}}}
grid: {{params: [{params}]}}
train: {{batch_size: {batch}, schedule: constant, warmup_steps: 10}}
resources: {{gpus_per_worker: {gpus}}}
"""
IMAGES = """\
name: gpu-images
data: {{source: digits, eval_examples: {score}}}
model: {{family: resnet}}
grid: {{params: [{params}]}}
train: {{optimizer: sgd, batch_size: {batch}, schedule: constant, warmup_steps: 10, shift_pixels: 1}}
resources: {{gpus_per_worker: {gpus}}}
"""


def text_plan(params: str, *, dry: bool, batch: int, overrides: Sequence[str] = (), context: int = 1024) -> Plan:
    """Return the plan of one transformer; in a trial it has a context of 32 and no GPU."""
    fields = {"context": 32, "head_dim": 16, "gpus": 0} if dry else {"context": context, "head_dim": 64, "gpus": 1}
    return make_plan(
        parse_sweep(TEXT.format(params=params, batch=batch, score=64, **fields), overrides=list(overrides))
    )


def image_plan(params: str, *, dry: bool, batch: int, overrides: Sequence[str] = ()) -> Plan:
    """Return the plan of one residual network on small images."""
    text = IMAGES.format(params=params, batch=batch, score=64, gpus=0 if dry else 1)
    return make_plan(parse_sweep(text, overrides=list(overrides)))


def trunk_of(plan: Plan, steps: int | None = None) -> Stage:
    """Return the first stage that trains, with as many steps as are wanted."""
    trunk = next(stage for stage in plan.tree if stage.steps)
    return trunk if steps is None else replace(trunk, stop_step=steps)
