from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.models import resnet18, resnet50

from orchestrator.planning.manifest import DataManifest
from workers.families.resnet.module import ScaledResNet
from workers.families.resnet.plan import ResNet
from workers.families.resnet.train import TrainedResNet


def images(channels: int, side: int, classes: int) -> DataManifest:
    return DataManifest(
        task="images",
        digest="0" * 64,
        train_examples=64,
        val_examples=8,
        test_examples=8,
        tokens_per_example=None,
        input_shape=(channels, side, side),
        classes=classes,
    )


def test_resnet18_is_torchvisions_own() -> None:
    shape = ResNet.shape_for(11_700_000, {"stem": "imagenet"}, images(3, 224, 1_000))
    assert (shape.dim("width"), shape.dim("blocks"), shape.dim("stages")) == (64, 2, 4)
    assert shape.params_total == shape.params_non_embedding == 11_689_512
    ours, theirs = TrainedResNet.build(shape, {"stem": "imagenet"}, images(3, 224, 1_000)).eval(), resnet18().eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


def test_equal_seeds_draw_torchvisions_weights() -> None:
    torch.manual_seed(3)
    ours = ScaledResNet(block="basic", stem="imagenet", width=64, blocks=2, stages=4, channels=3, classes=10)
    torch.manual_seed(3)
    theirs = resnet18(num_classes=10)
    assert torch.equal(ours.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)
    assert torch.equal(ours.fc.bias, theirs.fc.bias)


def test_bottlenecks_are_those_of_resnet50() -> None:
    ours = ScaledResNet(block="bottleneck", stem="imagenet", width=64, blocks=3, stages=1, channels=3, classes=10)
    theirs = resnet50().state_dict()
    stem_and_first_stage = {k: v.shape for k, v in ours.state_dict().items() if not k.startswith("fc")}
    assert stem_and_first_stage == {k: v.shape for k, v in theirs.items() if k.startswith(("conv1", "bn1", "layer1"))}


@pytest.mark.parametrize(("width", "counted"), [(2, 1_384), (4, 5_142), (8, 19_810), (16, 77_754)])
def test_small_digit_models_widen_before_they_deepen(width: int, counted: int) -> None:
    shape = ResNet.shape_for(counted, {}, images(1, 8, 10))
    assert (shape.dim("width"), shape.dim("blocks"), shape.dim("stages")) == (width, 1, 3)
    assert shape.params_total == counted


@pytest.mark.parametrize(
    ("side", "stem", "stages"),
    [(2, "small", 1), (8, "small", 3), (16, "small", 4), (32, "small", 4), (224, "imagenet", 4), (32, "imagenet", 3)],
)
def test_the_last_stage_keeps_two_pixels(side: int, stem: str, stages: int) -> None:
    options: dict[str, Any] = {"stem": stem}
    data = images(3, side, 10)
    shape = ResNet.shape_for(100_000, options, data)
    assert shape.dim("stages") == stages
    module = TrainedResNet.build(shape, options, data).eval()
    seen: list[torch.Size] = []
    module.avgpool.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape))
    module(torch.zeros(1, 3, side, side))
    assert seen[0][-1] == max(2, side >> (stages - 1 + 2 * (stem == "imagenet")))
