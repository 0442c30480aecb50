"""Ours keep what compressors promise, and the suite that those of other packages run sees what is broken."""

from __future__ import annotations

import pytest
import torch

from orchestrator.spec.registries import COMPRESSORS
from workers.compressors.conformance import broken_promises
from workers.compressors.prune.plan import Prune, PruneOptions
from workers.compressors.prune.train import Pruner
from workers.compressors.quantize.plan import Quantize, QuantizeOptions
from workers.compressors.quantize.train import Quantizer

WAYS = [
    {"method": "quantize", "bits": 4},
    {"method": "quantize", "bits": 8, "activations": "int8"},
    {"method": "prune", "density": 0.5},
    {"method": "prune", "density": 0.5, "pattern": "structured"},
    {"method": "prune", "pattern": "2:4"},
    {"method": "prune", "density": 0.5, "gradual": True, "recover": {"steps": 3}},
    {"method": "low_rank", "rank_ratio": 0.25},
    {"method": "low_rank", "energy": 0.5},
    {"method": "distill", "student_params": 2_000},
    {"method": "distill", "student_params": 2_000, "mix": 0},
]


def test_every_registered_compressor_is_tried():
    assert {way["method"] for way in WAYS} == set(COMPRESSORS.builtin)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_compressor_keeps_its_promises(way):
    compressor, trained = COMPRESSORS.load(way["method"])(), COMPRESSORS.load_training(way["method"])()
    assert broken_promises(compressor, trained, compressor.Options.model_validate(way)) == []


class Grows(Quantize):
    @staticmethod
    def kept_share(options, before, after):
        return 1.5


class ReadsOtherKeys(Prune):
    Options = QuantizeOptions


class Moody(Quantize):
    def check(self, options, shape, family):
        self.calls = getattr(self, "calls", 0) + 1
        return [f"asked {self.calls} times"]


class Random(Pruner):
    @staticmethod
    def session(module, options, parts, steps, fresh):
        torch.seed()
        module.get_parameter(parts.weights[0]).detach().mul_(torch.rand(()))
        return Pruner.session(module, options, parts, steps, fresh)


class Forgetful(Quantizer):
    @staticmethod
    def restructure(module, facts):
        return module


class WithTensors(Quantizer):
    @staticmethod
    def session(module, options, parts, steps, fresh):
        session = Quantizer.session(module, options, parts, steps, fresh)
        whole = session.finish
        session.finish = lambda: {**whole(), "scale": torch.ones(1)}
        return session


class WithTuples(Quantizer):
    @staticmethod
    def session(module, options, parts, steps, fresh):
        session = Quantizer.session(module, options, parts, steps, fresh)
        whole = session.finish
        session.finish = lambda: {**whole(), "pair": (1, 2)}
        return session


class Explodes(Pruner):
    @staticmethod
    def session(module, options, parts, steps, fresh):
        session = Pruner.session(module, options, parts, steps, fresh)
        module.get_parameter(parts.weights[0]).detach().mul_(float("inf"))
        return session


FOUR, HALF = QuantizeOptions(method="quantize", bits=4), PruneOptions(method="prune", density=0.5)


@pytest.mark.parametrize(
    ("compressor", "trained", "options", "told"),
    [
        (Grows, Quantizer, FOUR, "kept_share lies between 0 and 1: 1.5"),
        (Moody, Quantizer, FOUR, "check answers the same each time"),
        (ReadsOtherKeys, Pruner, HALF, "Options reads the YAML: QuantizeOptions is no PruneOptions"),
        (Prune, Random, HALF, "the same module, options and seed give the same bits"),
        (Quantize, Forgetful, FOUR, "a module of the facts takes the finished arrays"),
        (Quantize, WithTensors, FOUR, "facts are JSON"),
        (Quantize, WithTuples, FOUR, "facts are the same after JSON"),
        (Prune, Explodes, HALF, "weights stay finite"),
        (Prune, Pruner, PruneOptions(method="prune", density=1e-9), "the options fit the model that is tried: density"),
    ],
)
def test_a_broken_promise_of_a_compressor_is_told(compressor, trained, options, told):
    found = broken_promises(compressor(), trained(), options)
    assert any(sentence.startswith(told) for sentence in found), found
