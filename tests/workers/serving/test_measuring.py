"""Latency, backends and peak memory: what is timed, what falls back, what is counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.serving import backends
from workers.serving.latency import measured, slower
from workers.serving.peak_memory import peak_bytes


def test_columns_of_both_batches_are_measured():
    found, warnings = measured(nn.Linear(8, 4).eval(), lambda batch: torch.zeros(batch, 8), "eager")
    assert warnings == []
    assert found["backend"] == "eager"
    for suffix, batch in (("", 1), ("_b32", 32)):
        assert 0 < found[f"latency_p50_s{suffix}"] <= found[f"latency_p95_s{suffix}"]
        assert found[f"throughput_per_s{suffix}"] == batch / found[f"latency_p50_s{suffix}"]


def test_a_backend_that_fails_says_so_and_eager_is_timed(monkeypatch):
    def failing(module):
        raise RuntimeError("no compiler here\nand a long story")

    monkeypatch.setattr(backends, "_compiled", failing)
    found, warnings = measured(nn.Linear(8, 4).eval(), lambda batch: torch.zeros(batch, 8), "compile")
    assert found["backend"] == "eager"
    assert warnings == ["backend compile failed, eager was timed: no compiler here"]


def test_a_backend_that_answers_otherwise_is_not_timed(monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda module: lambda x: 1.5 * module(x))
    found, warnings = measured(nn.Linear(8, 4).eval(), lambda batch: torch.ones(batch, 8), "compile")
    assert found["backend"] == "eager"
    assert warnings == ["backend compile failed, eager was timed: its answers are off by 50.0% of the largest"]


@pytest.mark.parametrize(("now", "said"), [(0.9, False), (1.05, False), (1.5, True)])
def test_a_compressed_model_that_is_slower_than_its_parent_says_so(now, said):
    sentences = slower({"latency_p50_s": now, "backend": "eager"}, {"latency_p50_s": 1.0})
    assert sentences == (
        ["slower than uncompressed: 1.50 times its latency at batch 1 on backend eager"] if said else []
    )
    assert slower({}, {"latency_p50_s": 1.0}) == slower({"latency_p50_s": 1.0}, {}) == []


def test_peak_memory_is_weights_and_what_lives_at_the_same_time():
    module = nn.Sequential(nn.Linear(100, 300, bias=False), nn.Linear(300, 10, bias=False)).eval()
    weights, inputs = 4 * (100 * 300 + 300 * 10), 4 * 7 * 100
    hidden, output = 4 * 7 * 300, 4 * 7 * 10
    assert peak_bytes(module, torch.zeros(7, 100)) == weights + inputs + hidden + output


def test_memory_that_was_given_back_is_not_counted_again():
    class Chain(nn.Module):
        def forward(self, x):
            for _ in range(50):
                x = x + 1
            return x

    size = 4 * 1000
    assert peak_bytes(Chain(), torch.zeros(1000)) == 3 * size  # the input, and two at a time
