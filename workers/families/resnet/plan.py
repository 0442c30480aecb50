"""The residual-network family: torchvision's blocks, scaled in width and depth.

There are no embeddings, so N counts every parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from orchestrator.errors import BadOption
from orchestrator.planning.family import ModelShape, UnitGroup
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options
from workers.families.resnet.convolutions import Conv, convolutions, stages_for
from workers.families.size_search import Line, nearest_size

WIDEST = 4_096


def blocks_per_stage(width: int) -> int:
    """Return the preferred number of blocks in a stage: one per 32 of width, so ResNet-18's 64 has two."""
    return max(1, (width + 16) // 32)


#: The preferred depth, else one block more or fewer in each stage.
LINES = (
    Line(1, WIDEST, blocks_per_stage),
    Line(1, WIDEST, lambda width: blocks_per_stage(width) + 1),
    Line(1, WIDEST, lambda width: max(1, blocks_per_stage(width) - 1)),
)


class ResNetOptions(Options):
    """YAML keys beside ``family: resnet``."""

    block: Literal["basic", "bottleneck"] = Field("basic", description="torchvision's BasicBlock or Bottleneck")
    stem: Literal["small", "imagenet"] = Field(
        "small", description="3x3 convolution, or 7x7 with stride 2 and max pooling"
    )


class ResNet:
    """ResNets of any width; at width 64 with two blocks a stage and the ImageNet stem, torchvision's ResNet-18."""

    name = "resnet"
    head = "fc"
    Options = ResNetOptions
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sgd": {"learning_rate": 0.05, "weight_decay": 5e-4, "gradient_clip": None},
        "adamw": {"learning_rate": 0.005, "weight_decay": 5e-4, "gradient_clip": None},
    }
    simulated = False
    training = "workers.families.resnet.train:TrainedResNet"

    @staticmethod
    def shape_for(params: int, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the shape for ``params`` parameters.

        Raises
        ------
        BadOption
            If the data isn't made of images, or no shape lies within a factor of two.
        """
        if len(data.input_shape) != 3:
            raise BadOption(
                "model",
                "family",
                f"resnet reads images and data source {data.task!r} has none: "
                "use an image source such as digits, or family: transformer for text",
            )
        chosen = ResNetOptions.model_validate(options)
        _, height, width = data.input_shape
        stages = stages_for(height, width, chosen.stem)

        def count(base: int, blocks: int) -> int:
            return _params(base, blocks, chosen.block, chosen.stem, stages, data)

        base, blocks = nearest_size(params, LINES, count, tolerance=0.1, family="resnet")
        return _shape(base, blocks, chosen.block, chosen.stem, stages, data)

    @staticmethod
    def shape_on(shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the same network for images of any size, with as many outputs as the data has classes.

        Raises
        ------
        BadOption
            If the data isn't made of images, or of images with another number of channels.
        """
        if len(data.input_shape) != 3 or data.input_shape[0] != shape.dim("channels"):
            raise BadOption(
                "grid.finetune",
                "data",
                f"a resnet pretrained on images of {shape.dim('channels')} channels can't read {data.task!r}: "
                "take images with as many",
            )
        dims = dict(shape.dims)
        block, stem = str(dims["block"]), str(dims["stem"])
        return _shape(shape.dim("width"), shape.dim("blocks"), block, stem, shape.dim("stages"), data)

    @staticmethod
    def activation_bytes(shape: ModelShape, data: DataManifest, *, half: bool) -> int:
        """Return the bytes that an image takes in training: of each convolution its output, and that after its norm."""
        dims = dict(shape.dims)
        block, stem = str(dims["block"]), str(dims["stem"])
        _, height, width = data.input_shape
        image = (shape.dim("channels"), height, width)
        network = _convs(shape.dim("width"), shape.dim("blocks"), block, stem, shape.dim("stages"), image)
        return sum(2 * conv.outputs * conv.height * conv.width for conv in network) * (2 if half else 4)

    @staticmethod
    def weights(shape: ModelShape) -> list[tuple[str, tuple[int, ...]]]:
        """Return all convolutions but the stem's, and the classifier."""
        dims = dict(shape.dims)
        bottleneck = dims["block"] == "bottleneck"
        expansion, inputs, found = 4 if bottleneck else 1, shape.dim("width"), []
        for stage in range(shape.dim("stages")):
            planes = shape.dim("width") << stage
            for index in range(shape.dim("blocks")):
                name = f"layer{stage + 1}.{index}"
                kernels = (1, 3, 1) if bottleneck else (3, 3)
                sizes = (inputs, *(planes,) * (len(kernels) - 1), planes * expansion)
                for k, kernel in enumerate(kernels):
                    found.append((f"{name}.conv{k + 1}.weight", (sizes[k + 1], sizes[k], kernel, kernel)))
                if not index and (stage or inputs != planes * expansion):
                    found.append((f"{name}.downsample.0.weight", (planes * expansion, inputs, 1, 1)))
                inputs = planes * expansion
        return [*found, ("fc.weight", (shape.dim("classes"), inputs))]

    @staticmethod
    def unit_groups(shape: ModelShape) -> list[UnitGroup]:
        """Return the channels between the convolutions of each block; the residual stream keeps its own."""
        between = 2 if dict(shape.dims)["block"] == "bottleneck" else 1
        found = []
        for stage in range(shape.dim("stages")):
            for index in range(shape.dim("blocks")):
                for k in range(1, between + 1):
                    block = f"layer{stage + 1}.{index}"
                    norm = ("weight", "bias", "running_mean", "running_var")
                    members = (
                        (f"{block}.conv{k}.weight", 0, 1),
                        *((f"{block}.bn{k}.{name}", 0, 1) for name in norm),
                        (f"{block}.conv{k + 1}.weight", 1, 1),
                    )
                    found.append(UnitGroup(name=f"{block}.{k}", units=shape.dim("width") << stage, members=members))
        return found


def _convs(base: int, blocks: int, block: str, stem: str, stages: int, image: tuple[int, int, int]) -> list[Conv]:
    return list(convolutions(base, blocks, block=block, stem=stem, stages=stages, image=image))


def _features(base: int, block: str, stages: int) -> int:
    return base * ((4 if block == "bottleneck" else 1) << (stages - 1))


def _params(base: int, blocks: int, block: str, stem: str, stages: int, data: DataManifest) -> int:
    channels, height, width = data.input_shape
    convs = _convs(base, blocks, block, stem, stages, (channels, height, width))
    return sum(conv.params for conv in convs) + (_features(base, block, stages) + 1) * data.classes


def _shape(base: int, blocks: int, block: str, stem: str, stages: int, data: DataManifest) -> ModelShape:
    channels, height, width = data.input_shape
    network = _convs(base, blocks, block, stem, stages, (channels, height, width))
    head = 2 * _features(base, block, stages) * data.classes
    forward = sum(conv.flops for conv in network) + head
    dims: dict[str, int | str] = {
        "block": block,
        "blocks": blocks,
        "channels": channels,
        "classes": data.classes,
        "stages": stages,
        "stem": stem,
        "width": base,
    }
    params = _params(base, blocks, block, stem, stages, data)
    return ModelShape(
        family="resnet",
        dims=tuple(sorted(dims.items())),
        params_total=params,
        params_non_embedding=params,
        forward_flops=forward,
        train_flops=3 * forward - network[0].flops,
        head_flops=head,
    )
