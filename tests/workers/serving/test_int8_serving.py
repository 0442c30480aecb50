"""Layers of rounded weights and inputs in integers: the same answers, less memory, and a sentence where it can't be."""

from __future__ import annotations

import copy
import itertools
import sys

import numpy as np
import pytest
import torch
from torch import nn

from orchestrator.errors import BadInput
from workers.compressors.quantize.int8_linear import Int8Linear
from workers.compressors.quantize.plan import Quantize, QuantizeOptions
from workers.compressors.quantize.train import Quantizer
from workers.compressors.session import Parts
from workers.serving import backends
from workers.serving.backends import prepared
from workers.serving.int8_serving import with_whole_numbers
from workers.serving.peak_memory import peak_bytes

OPTIONS = QuantizeOptions(method="quantize", bits=8, activations="int8")


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 16)).eval()


@pytest.fixture
def rounded() -> nn.Module:
    module, parts = fresh(), Parts(["0.weight", "2.weight"], [])
    session = Quantizer.session(module, OPTIONS, parts, 0, fresh)
    session.finish()
    return session.module


def test_inputs_of_each_row_are_whole_multiples_of_its_scale(rounded):
    seen = []
    rounded[2].register_forward_hook(lambda layer, inputs, output: seen.append((inputs[0], output)))
    rounded(torch.randn(5, 48))
    (x, y), layer = seen[0], rounded[2]
    scale = x.abs().amax(1, keepdim=True) / 127.5
    codes = (x / scale).round().clamp(-128, 127)
    torch.testing.assert_close(y, codes @ layer.weight.T * scale + layer.bias)
    assert (codes - x / scale).abs().max() > 0.3  # something was rounded


def test_integers_give_the_answers_of_the_rounded_floats(rounded):
    x = torch.randn(32, 48)
    whole, why = with_whole_numbers(rounded)
    assert why is None
    assert not any(isinstance(layer, Int8Linear) for layer in whole.modules())
    assert whole[0].weight.qdata.dtype == torch.int8
    assert isinstance(rounded[0], Int8Linear)  # the model that is scored and written stays as it is
    with torch.inference_mode():
        expected, exact = rounded(x), fresh()(x)
        torch.testing.assert_close(whole(x), expected, atol=2e-3, rtol=0)
    assert 0 < (expected - exact).abs().max() < 0.02


@pytest.fixture
def integers_win(monkeypatch):
    """Whatever this CPU can do: of each two times that are compared, the first is the shorter one."""
    times = itertools.cycle([np.array([1.0]), np.array([2.0])])
    monkeypatch.setattr(backends, "timed", lambda run, device: next(times))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "compile", pytest.param("export", marks=pytest.mark.nightly)])
def test_every_backend_runs_integers(rounded, backend, integers_win):
    x = torch.randn(4, 48)
    ready = prepared(rounded, x, backend)
    assert (ready.backend, ready.warnings) == (backend, [])
    assert ready.module[0].weight.qdata.dtype == torch.int8
    with torch.inference_mode():
        torch.testing.assert_close(ready.run(x), rounded(x), atol=2e-3, rtol=0)


def test_where_integers_are_slower_floats_are_timed_and_the_row_says_so(rounded, monkeypatch):
    times = iter([np.array([3.0]), np.array([2.0])])
    monkeypatch.setattr(backends, "timed", lambda run, device: next(times))
    ready = prepared(rounded, torch.randn(4, 48), "eager")
    assert ready.module is rounded
    assert ready.warnings == [
        "integers take 1.5 times as long as floats here at batch 4, so floats stood for the whole numbers"
    ]


def test_integers_that_overflow_are_not_timed(rounded, monkeypatch):
    wrong = copy.deepcopy(rounded)
    with torch.no_grad():
        wrong[2].bias += 1
    monkeypatch.setattr(backends, "with_whole_numbers", lambda module: (wrong, None))
    ready = prepared(rounded, torch.randn(4, 48), "eager")
    assert ready.module is rounded
    (said,) = ready.warnings
    assert said.startswith("floats stood for the whole numbers: backend eager failed: its answers are off by")


def test_without_torchao_floats_are_timed_and_the_row_says_so(rounded, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    ready = prepared(rounded, torch.randn(4, 48), "eager")
    assert (ready.run, ready.module, ready.backend) == (rounded, rounded, "eager")
    assert ready.warnings == ["torchao isn't installed (pip install torchao): floats stood for the whole numbers"]


def test_integers_take_a_quarter_of_the_memory_of_weights():
    module = nn.Sequential(nn.Linear(512, 512, bias=False)).eval()
    session = Quantizer.session(module, OPTIONS, Parts(["0.weight"], []), 0, fresh)
    session.finish()
    x = torch.zeros(1, 512)
    assert 4 * 512 * 512 < peak_bytes(session.module, x) < 4.2 * 512 * 512
    assert 512 * 512 < peak_bytes(with_whole_numbers(session.module)[0], x) < 1.2 * 512 * 512


def test_gradients_pass_through_the_rounding():
    layer = Int8Linear.of(nn.Linear(8, 3))
    x = torch.randn(4, 8, requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(4, 8))


def test_a_model_without_linear_layers_is_refused():
    class Convolutions:
        def weights(self, shape):
            return [("conv.weight", (8, 3, 3, 3))]

    class Shape:
        family = "convnet"

    with pytest.raises(BadInput, match="what is compressed of a convnet are convolutions; leave activations out"):
        Quantize.check(OPTIONS, Shape(), Convolutions())
