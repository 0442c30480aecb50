"""The residual-network family: torchvision's blocks, scaled in width and depth.

There are no embeddings, so N counts every parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from orchestrator.errors import BadInput
from orchestrator.planning.family import ModelShape
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options
from workers.families.convolutions import Conv, convolutions, stages_for
from workers.families.lattice import Line, nearest_size

if TYPE_CHECKING:
    import torch

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
    Options = ResNetOptions
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sgd": {"learning_rate": 0.05, "weight_decay": 5e-4, "gradient_clip": None},
        "adamw": {"learning_rate": 0.005, "weight_decay": 5e-4, "gradient_clip": None},
    }
    simulated = False

    @staticmethod
    def shape_for(params: int, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the shape for ``params`` parameters.

        Raises
        ------
        BadInput
            If the data isn't made of images, or no shape lies within a factor of two.
        """
        if len(data.input_shape) != 3:
            raise BadInput(
                f"model.family: resnet reads images and data source {data.task!r} has none: "
                "use an image source such as digits, or family: transformer for text"
            )
        chosen = ResNetOptions.model_validate(options)
        channels, height, width = data.input_shape
        stages = stages_for(height, width, chosen.stem)
        features = (4 if chosen.block == "bottleneck" else 1) << (stages - 1)

        def convs(base: int, blocks: int) -> list[Conv]:
            image = (channels, height, width)
            return list(convolutions(base, blocks, block=chosen.block, stem=chosen.stem, stages=stages, image=image))

        def count(base: int, blocks: int) -> int:
            return sum(conv.params for conv in convs(base, blocks)) + (base * features + 1) * data.classes

        base, blocks = nearest_size(params, LINES, count, tolerance=0.1, family="resnet")
        network = convs(base, blocks)
        forward = sum(conv.flops for conv in network) + 2 * base * features * data.classes
        dims: dict[str, int | str] = {
            "block": chosen.block,
            "blocks": blocks,
            "channels": channels,
            "classes": data.classes,
            "stages": stages,
            "stem": chosen.stem,
            "width": base,
        }
        return ModelShape(
            family="resnet",
            dims=tuple(sorted(dims.items())),
            params_total=count(base, blocks),
            params_non_embedding=count(base, blocks),
            forward_flops=forward,
            train_flops=3 * forward - network[0].flops,
        )

    @staticmethod
    def build(shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> torch.nn.Module:
        """Return the freshly initialised module; its weights follow from torch's global generator alone."""
        from workers.models.resnet import ScaledResNet

        dims = dict(shape.dims)
        return ScaledResNet(
            block=str(dims["block"]),
            stem=str(dims["stem"]),
            width=shape.dim("width"),
            blocks=shape.dim("blocks"),
            stages=shape.dim("stages"),
            channels=shape.dim("channels"),
            classes=shape.dim("classes"),
        )

    @staticmethod
    def parameter_groups(
        module: torch.nn.Module, shape: ModelShape
    ) -> list[tuple[float, bool, list[torch.nn.Parameter]]]:
        """Return (learning-rate multiplier, takes weight decay, parameters); BatchNorm and biases aren't decayed."""
        weights: list[torch.nn.Parameter] = []
        vectors: list[torch.nn.Parameter] = []
        for parameter in module.parameters():
            (weights if parameter.ndim > 1 else vectors).append(parameter)
        return [(1.0, True, weights), (1.0, False, vectors)]

    @staticmethod
    def engine() -> Any:
        """Return the engine class that trains this family."""
        from workers.engine import TorchEngine

        return TorchEngine
