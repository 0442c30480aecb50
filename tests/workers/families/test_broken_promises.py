"""The suite that families of other packages run sees what is broken."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from orchestrator.planning.manifest import DataManifest
from workers.families.conformance import broken_promises
from workers.families.transformer.train import TrainedTransformer

TEXT = DataManifest(
    task="text",
    digest="0" * 64,
    train_examples=64,
    val_examples=8,
    test_examples=8,
    tokens_per_example=16,
    input_shape=(16,),
    classes=256,
)


class Miscounts(TrainedTransformer):
    @staticmethod
    def shape_for(params, options, data):
        shape = TrainedTransformer.shape_for(params, options, data)
        return replace(shape, params_total=shape.params_total + 1, train_flops=int(1.03 * shape.train_flops))


class TakesAnySize(TrainedTransformer):
    @staticmethod
    def shape_for(params, options, data):
        return TrainedTransformer.shape_for(min(max(params, 6_300), 300_000), options, data)


class Headless(TrainedTransformer):
    head = "classifier"


class Unseeded(TrainedTransformer):
    @staticmethod
    def build(shape, options, data):
        torch.seed()
        return TrainedTransformer.build(shape, options, data)


class Twice(TrainedTransformer):
    @staticmethod
    def parameter_groups(module, shape):
        groups = TrainedTransformer.parameter_groups(module, shape)
        return [*groups, (-1.0, False, groups[0][2])]


class Strangers(TrainedTransformer):
    @staticmethod
    def weights(shape):
        return [*reversed(TrainedTransformer.weights(shape)), ("blocks.0.gate.weight", (4, 4))]


class HalfAHead(TrainedTransformer):
    @staticmethod
    def unit_groups(shape):
        return [replace(group, units=group.units + 1) for group in TrainedTransformer.unit_groups(shape)]


class Renamed(TrainedTransformer):
    name = "mine"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (Miscounts, ["params_total is what the module has", "train_flops are torch's within 2 %"]),
        (TakesAnySize, ["a size that can't be built is refused"]),
        (Headless, ["head names the output layer"]),
        (Unseeded, ["torch's seed alone decides the first weights"]),
        (Twice, ["groups cover each parameter once", "rate multipliers are positive"]),
        (Strangers, ["weights are the module's, by name and shape", "weights stand in the module's order"]),
        (HalfAHead, ["units divide the arrays that go with them", "counted_by holds the number of units"]),
        (Renamed, ["a shape names its family and sorts its dimensions"]),
    ],
)
def test_a_broken_promise_of_a_family_is_told(broken, told):
    found = broken_promises(broken(), {}, TEXT, sizes=(6_300,))
    assert {sentence.partition(": ")[0] for sentence in found} >= set(told), found


def test_a_family_that_shrinks_as_more_is_asked_is_told():
    class Shrinks(TrainedTransformer):
        @staticmethod
        def shape_for(params, options, data):
            return TrainedTransformer.shape_for(300_000 if params == 200_000 else params, options, data)

    found = broken_promises(Shrinks(), {}, TEXT, sizes=(200_000, 250_000))
    assert any(sentence.startswith("a larger request never gives a smaller model: ") for sentence in found), found
