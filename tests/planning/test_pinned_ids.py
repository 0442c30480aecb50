"""Ids of cells and stages that stores out there are full of: a change here would train all of them again (I1).

What is pinned was computed before schedules and compressors stood behind registries. A change that is meant to change
results raises ``RECIPE_VERSION`` and pins anew.
"""

from __future__ import annotations

import hashlib

import pytest

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep

WAYS = """
    - {method: quantize, bits: 4}
    - {method: quantize, bits: 8, activations: int8, recover: {steps: 3}}
    - {method: prune, density: 0.5}
    - {method: prune, pattern: '2:4', recover: {epochs: 0.5}}
    - {method: prune, density: 0.5, gradual: true, recover: {steps: 4}}
    - {method: prune, density: 0.5, pattern: structured}
    - {method: low_rank, rank_ratio: 0.25}
    - {method: low_rank, energy: 0.5, recover: {steps: 2}}
    - {method: distill, student_params: 2k}
    - {method: distill, student_params: 2k, mix: 0, temperature: 3, recover: {steps: 5}}
    - {method: chain, steps: [{method: prune, density: 0.5}, {method: quantize, bits: 4}]}
    - {method: chain, recover: {steps: 2}, steps: [{method: distill, student_params: 2k}, {method: quantize, bits: 3}]}
"""
TEXT = f"""\
name: pinned
data: {{source: text, paths: [BOOK], eval_examples: 8}}
model: {{family: transformer, context: 16, head_dim: 4}}
grid:
  params: [7k, 20k]
  data_fraction: [0.5, 1.0]
  epochs: [1, 2, 3]
  compression: {WAYS}
train: {{batch_size: 8, warmup_steps: 2}}
"""
IMAGES = f"""\
name: pinned
data: {{source: fake, examples: 256, image_size: 8}}
model: {{family: resnet}}
grid:
  params: [6k]
  epochs: [1, 2]
  compression: {WAYS}
  finetune: {{data: {{source: fake, examples: 128, image_size: 8, classes: 3}}, examples: [32, 64], epochs: [1, 2]}}
train: {{optimizer: sgd, batch_size: 8, warmup_steps: 2}}
""".replace("2:4", "1:3")
MADE_UP = """\
name: pinned
data: {source: simulated, examples: 1M}
model: {family: simulated}
grid: {params: [1k, 3k], data_fraction: [0.1, 1.0], epochs: [1, 2, 4], seeds: 2}
"""
PINNED = {
    "text-wsd-shared": "84911956b1b117b3",
    "text-wsd-alone": "8e8d501f3ead1145",
    "text-wsm-shared": "d03123ec8cd09dc8",
    "text-wsm-alone": "1a2d9c06e5ab18c9",
    "text-cosine-shared": "602a0e998b362385",
    "text-cosine-alone": "c3f9a27ea8312252",
    "text-step-shared": "3c333f0d58552d17",
    "text-step-alone": "fa1addbb6086ab1e",
    "text-constant-shared": "ff031b62de56b6f8",
    "text-constant-alone": "3cf40383253bf2f8",
    "images-wsd-shared": "6437aa54617b35c6",
    "images-wsd-alone": "602a3691a051fae2",
    "images-wsm-shared": "8ad3a9fd03a75edd",
    "images-wsm-alone": "aa1d5f039b3c5bdf",
    "images-cosine-shared": "29311877d98d8a79",
    "images-cosine-alone": "f66c26813210a639",
    "images-step-shared": "8ef47cf7522534e1",
    "images-step-alone": "38313256c5bc6953",
    "images-constant-shared": "c5c767b62c3ee7d5",
    "images-constant-alone": "444c157550444d43",
    "made up-wsd-shared": "9b48865b03061092",
    "made up-wsd-alone": "c2cb8fc33cebaebd",
    "made up-wsm-shared": "059142c6835e56fa",
    "made up-wsm-alone": "108a6eb941d2d01d",
    "made up-cosine-shared": "9bb590790677eeda",
    "made up-cosine-alone": "9bb590790677eeda",
    "made up-step-shared": "ccc170a39e043fee",
    "made up-step-alone": "ccc170a39e043fee",
    "made up-constant-shared": "2122f6e6bcb30cdb",
    "made up-constant-alone": "ce1dd9a345318d11",
}


@pytest.mark.parametrize("share", [True, False], ids=["shared", "alone"])
@pytest.mark.parametrize("schedule", ["wsd", "wsm", "cosine", "step", "constant"])
@pytest.mark.parametrize("text", [TEXT, IMAGES, MADE_UP], ids=["text", "images", "made up"])
def test_the_ids_of_cells_and_stages_are_what_they_were(tmp_path, request, text, schedule, share):
    book = tmp_path / "book.txt"
    book.write_text("".join(f"{k} bottles of beer on the wall\n" for k in range(2_000)))
    sweep = parse_sweep(text.replace("BOOK", str(book)), overrides=[f"train.schedule={schedule}"])
    plan = make_plan(sweep, share=share)
    ids = [cell.id for cell in plan.cells] + [stage.id for stage in plan.tree]
    assert hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16] == PINNED[request.node.callspec.id]
