"""What holds on a GPU alone; `bash benchmarks/gpu/go.sh` runs these where there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from orchestrator.planning import Plan, make_plan
from orchestrator.planning.tree import Stage
from orchestrator.spec import parse_sweep
from workers.curves import StageCurve
from workers.device import give_memory_back
from workers.engine import TorchEngine
from workers.training.checkpoint import from_bytes, to_bytes

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

TEXT = """\
name: text
seed: 3
data: {source: python-stdlib, max_examples: 512, eval_examples: 16}
model: {family: transformer, context: 32, head_dim: 16}
grid: {params: [20k]}
train: {batch_size: 16, warmup_steps: 2, schedule: constant}
resources: {gpus_per_worker: 1}
"""
IMAGES = """\
name: images
seed: 3
data: {source: digits, max_examples: 512, eval_examples: 32}
model: {family: resnet}
grid: {params: [10k]}
train: {optimizer: sgd, batch_size: 16, warmup_steps: 2, schedule: constant, shift_pixels: 1}
resources: {gpus_per_worker: 1}
"""


def planned(text: str, *overrides: str) -> tuple[Plan, Stage]:
    plan = make_plan(parse_sweep(text, overrides=list(overrides)))
    return plan, next(stage for stage in plan.tree if stage.steps)


@pytest.mark.parametrize("text", [TEXT, IMAGES], ids=["transformer", "resnet"])
def test_deterministic_training_gives_the_same_bits_twice_and_from_the_middle(text):
    plan, trunk = planned(text, "train.deterministic=true")
    engine = TorchEngine(plan.context, on_gpu=True)
    whole = engine.train(replace(trunk, stop_step=12), None)
    again = engine.train(replace(trunk, stop_step=12), None)
    half = from_bytes(to_bytes(engine.train(replace(trunk, stop_step=5), None)))
    joined = engine.train(replace(trunk, start_step=5, stop_step=12), half)
    for other in (again, joined):
        assert all(np.array_equal(whole.model[name], other.model[name]) for name in whole.model)
        assert all(np.array_equal(whole.optimizer[name], other.optimizer[name]) for name in whole.optimizer)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("text", [TEXT, IMAGES], ids=["transformer", "resnet"])
def test_no_step_makes_the_host_wait(text, precision):
    plan, trunk = planned(text, f"train.precision={precision}")
    engine = TorchEngine(plan.context, on_gpu=True)
    assert engine.data("pretrain").feeds["train"].resident
    engine.train(replace(trunk, stop_step=2), None)
    modes: list[str] = []

    class Watching:
        """Lets torch raise at a wait between the second step and the last."""

        def after_step(self, stage: Stage, step: int, state: object) -> None:
            mode = "error" if 2 <= step < 24 else "default"
            modes.append(mode)
            torch.cuda.set_sync_debug_mode(mode)

        def add_curve(self, curve: StageCurve) -> None:
            curves.append(curve)

    curves: list[StageCurve] = []
    try:
        engine.train(replace(trunk, stop_step=24), None, Watching())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert modes.count("error") == 22
    assert np.isfinite(curves[0].points[:, [1, 4]]).all()
    assert curves[0].points[:, 0].tolist() == list(range(1, 25))


def test_bf16_training_takes_a_fused_attention_kernel_and_a_fused_optimizer():
    plan, trunk = planned(TEXT)
    engine = TorchEngine(plan.context, on_gpu=True)
    with torch.profiler.profile() as trace:
        engine.train(replace(trunk, stop_step=3), None)
    names = {event.key for event in trace.key_averages()}
    assert names & {"aten::_scaled_dot_product_flash_attention", "aten::_scaled_dot_product_cudnn_attention"}
    assert "aten::_scaled_dot_product_attention_math" not in names
    assert "aten::_fused_adamw_" in names


def test_a_failed_attempt_leaves_the_device_as_it_was():
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()

    def attempt() -> None:
        held = torch.ones(64, 1024, 1024, device="cuda")
        torch.empty(1 << 50, device="cuda", dtype=torch.uint8)
        held.sum()

    with pytest.raises(torch.OutOfMemoryError) as caught:
        attempt()
    give_memory_back(caught.value)
    assert torch.cuda.memory_reserved() == before


def test_cuda_graphs_train_to_the_loss_of_compiled_models():
    ends = {}
    for how in ("true", "graphs"):
        plan, trunk = planned(TEXT, f"train.compile={how}", "train.precision=fp32", "train.deterministic=true")
        engine = TorchEngine(plan.context, on_gpu=True)
        ends[how] = engine.train(replace(trunk, stop_step=12), None, None, 1).model
    assert all(np.allclose(ends["true"][name], ends["graphs"][name], rtol=1e-4, atol=1e-6) for name in ends["true"])
