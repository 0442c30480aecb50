"""The convolutions of a ResNet in closed form: what they weigh and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Conv:
    """A bias-free square convolution followed by BatchNorm, with the size of its output."""

    inputs: int
    outputs: int
    kernel: int
    height: int
    width: int

    @property
    def params(self) -> int:
        """Weights, and scale and shift of the BatchNorm."""
        return self.inputs * self.outputs * self.kernel**2 + 2 * self.outputs

    @property
    def flops(self) -> int:
        """FLOPs of the forward pass for one image."""
        return 2 * self.inputs * self.outputs * self.kernel**2 * self.height * self.width


def stages_for(height: int, width: int, stem: str) -> int:
    """Return the number of stages: as many, up to four, as leave the last at least two pixels high and wide."""
    side = min(height, width)
    if stem == "imagenet":
        side = _half(_half(side))
    stages = 1
    while stages < 4 and side >= 4:
        side, stages = _half(side), stages + 1
    return stages


def convolutions(
    base: int, blocks: int, *, block: str, stem: str, stages: int, image: tuple[int, int, int]
) -> Iterator[Conv]:
    """Yield every convolution of the network, the stem's first (He et al. 2016, as torchvision builds it).

    Parameters
    ----------
    base
        Channels of the first stage; each further stage has twice as many.
    blocks, stages
        Blocks in each stage, number of stages.
    image
        (channels, height, width) of the input.
    """
    inputs, h, w = image
    if stem == "imagenet":
        h, w = _half(h), _half(w)
    yield Conv(inputs, base, 7 if stem == "imagenet" else 3, h, w)
    if stem == "imagenet":
        h, w = _half(h), _half(w)
    inputs, expansion = base, 4 if block == "bottleneck" else 1
    for stage in range(stages):
        planes = base << stage
        for index in range(blocks):
            before = h, w
            if stage and not index:
                h, w = _half(h), _half(w)
            if block == "bottleneck":
                yield Conv(inputs, planes, 1, *before)
                yield Conv(planes, planes, 3, h, w)
                yield Conv(planes, planes * expansion, 1, h, w)
            else:
                yield Conv(inputs, planes, 3, h, w)
                yield Conv(planes, planes, 3, h, w)
            if not index and (stage or inputs != planes * expansion):
                yield Conv(inputs, planes * expansion, 1, h, w)
            inputs = planes * expansion


def _half(side: int) -> int:
    return (side + 1) // 2
