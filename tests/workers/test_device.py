"""What a device is set to, what a step asks of it, and what an attempt without enough memory leaves behind."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch._subclasses.fake_tensor as fakes
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from workers.device import algorithms, give_memory_back, prepared_device, seed_generators
from workers.engine import TorchEngine
from workers.faults import failure_of
from workers.messages import Cause
from workers.serving.peak_memory import peak_bytes
from workers.training import model_cache
from workers.training import score as scoring
from workers.training.loop import Model

CPU = torch.device("cpu")
SWEEP = """\
name: device
seed: 3
data: {source: python-stdlib, max_examples: 256, eval_examples: 16}
model: {family: transformer, dropout: 0.1, context: 16}
grid: {params: [2k]}
train: {batch_size: 8, warmup_steps: 2, schedule: constant}
"""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_seeding_one_device_gives_the_numbers_of_seeding_all():
    torch.manual_seed(1 << 62)
    expected = torch.randn(9)
    seed_generators(1 << 62, CPU)
    assert torch.equal(torch.randn(9), expected)


def test_fp32_on_a_gpu_means_float32_in_convolutions_too(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.backends.cudnn.allow_tf32
    try:
        assert prepared_device(on_gpu=True) == torch.device("cuda", 0)
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before
    assert prepared_device(on_gpu=False) == CPU


def test_deterministic_algorithms_end_with_the_stage_that_asked_for_them():
    for wanted in (True, False):
        with algorithms(deterministic=wanted):
            assert torch.are_deterministic_algorithms_enabled() is wanted
        assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(KeyError), algorithms(deterministic=True):
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()


def test_deterministic_is_part_of_a_cells_identity_and_its_absence_changes_none():
    asked = {
        wanted: make_plan(parse_sweep(SWEEP, overrides=[f"train.deterministic={wanted}"])) for wanted in (True, False)
    }
    assert asked[True].cells[0].id != asked[False].cells[0].id
    assert asked[False].cells[0].id == make_plan(parse_sweep(SWEEP)).cells[0].id
    assert "deterministic" not in asked[False].cells[0].recipe.to_json()


class Reads(TorchDispatchMode):
    """Counts the operations that give the host a value of a tensor; on a GPU each is a wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default):
            self.found[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("parts", [1, 2], ids=["whole", "halves"])
def test_more_steps_make_the_host_read_no_more_values(parts, monkeypatch):
    monkeypatch.setattr("workers.training.curve.is_here", lambda tensor: False)
    plan = make_plan(parse_sweep(SWEEP))
    engine, trunk = TorchEngine(plan.context), next(stage for stage in plan.tree if stage.steps)
    reads = []
    for steps in (2, 12):
        with Reads() as counted:
            engine.train(replace(trunk, stop_step=steps), None, None, parts)
        reads.append(counted.found)
    assert reads[0] == reads[1]
    with Reads() as counted:
        torch.ones(()).item()
    assert counted.found, "what is counted can be seen"


def test_a_failed_attempt_holds_no_memory_once_it_was_given_back():
    class Held:
        pass

    held: list[weakref.ref[Held]] = []

    def attempt() -> None:
        batch = Held()
        held.append(weakref.ref(batch))
        raise torch.OutOfMemoryError("no memory")

    try:
        attempt()
    except torch.OutOfMemoryError as error:
        gc.collect()
        assert held[0]() is not None
        give_memory_back(error)
        assert held[0]() is None


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), Cause.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), Cause.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `x`"), Cause.OUT_OF_MEMORY),
        (RuntimeError("[enforce fail at x] DefaultCPUAllocator: can't allocate memory"), Cause.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), Cause.RAISED),
    ],
    ids=["torch", "cuda", "cublas", "cpu", "another"],
)  # fmt: skip
def test_memory_that_lacks_is_told_from_other_errors_whoever_asked_for_it(error, cause):
    assert failure_of(error).cause is cause


def test_a_score_that_does_not_fit_is_made_in_parts_and_the_row_says_so(monkeypatch):
    plan = make_plan(parse_sweep(SWEEP.replace("eval_examples: 16", "eval_examples: 200")))
    engine, evaluate = TorchEngine(plan.context), next(stage for stage in plan.tree if stage.cell)
    whole = engine.measure(evaluate, None)
    forward = type(engine.build(evaluate)).forward

    def narrow(self, tokens):
        if len(tokens) > 40:
            raise torch.OutOfMemoryError("no memory")
        return forward(self, tokens)

    monkeypatch.setattr(type(engine.build(evaluate)), "forward", narrow)
    parts = engine.measure(evaluate, None)
    assert "scored 32 examples at a time, as the device had no memory for 128" in parts["warnings"]
    assert "scored" not in (whole["warnings"] or "")
    for name in ("train_loss", "val_loss", "test_loss"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-6)
    monkeypatch.setattr(type(engine.build(evaluate)), "forward", forward)
    assert engine.measure(evaluate, None)["val_loss"] == whole["val_loss"]
    assert scoring.SCORE_BATCH == 128


def test_the_peak_on_a_gpu_leaves_out_what_the_process_holds_beside_the_model(monkeypatch):
    # Fake tensors stand for a GPU's; what the allocator would say is put in.
    monkeypatch.setattr(fakes, "init_gpu_context", lambda *arguments: None)
    elsewhere, scratch = 10**9, 4096
    with fakes.FakeTensorMode(), torch.device("cuda", 0):
        module, x = nn.Linear(100, 10), torch.empty(7, 100)
        own = 4 * (100 * 10 + 10 + 7 * 100)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: elsewhere + own)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: elsewhere + own + scratch)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
        assert peak_bytes(module, x) == own + scratch


def test_a_loss_in_one_graph_trains_the_bits_of_a_loss_of_logits(monkeypatch):
    # What a GPU compiles as one graph, here left to torch as it is: rounding is then the same.
    plan = make_plan(parse_sweep(SWEEP))
    engine, trunk = TorchEngine(plan.context), next(stage for stage in plan.tree if stage.steps)
    apart = engine.train(replace(trunk, stop_step=4), None)
    wrapped, asked = engine.warm.wrapped, []

    def with_loss(module: nn.Module, *arguments: Any) -> Model:
        together = model_cache._WithLoss(module)
        asked.append(together)
        return replace(wrapped(module, *arguments), loss=together)

    monkeypatch.setattr(engine.warm, "wrapped", with_loss)
    engine.warm.forget()
    together = engine.train(replace(trunk, stop_step=4), None)
    assert len(asked) == 1
    assert all(np.array_equal(apart.model[name], together.model[name]) for name in apart.model)


@pytest.mark.nightly
def test_graphs_train_the_bits_of_compiled_models_where_there_is_no_gpu():
    text = SWEEP.replace("dropout: 0.1, ", "")
    ends = []
    for how in ("true", "graphs"):
        plan = make_plan(parse_sweep(text, overrides=[f"train.compile={how}"]))
        trunk = next(stage for stage in plan.tree if stage.steps)
        ends.append(TorchEngine(plan.context).train(replace(trunk, stop_step=3), None).model)
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])
