"""torchvision's ResNet with a free width, number of stages and stem."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet


class ScaledResNet(resnet.ResNet):  # type: ignore[misc]
    """A ResNet whose forward pass, blocks and parameter names are torchvision's own.

    Parameters
    ----------
    block, stem
        ``basic`` or ``bottleneck``; ``small`` (3x3, stride 1, no pooling) or ``imagenet`` (7x7, stride 2, max pooling).
    width
        Channels of the first stage; each further stage has twice as many.
    blocks, stages
        Blocks in each stage; number of stages (1 to 4), each but the first halving the image.
    channels, classes
        Channels of the input; labels.
    """

    def __init__(
        self, *, block: str, stem: str, width: int, blocks: int, stages: int, channels: int, classes: int
    ) -> None:
        nn.Module.__init__(self)
        kind: type[resnet.BasicBlock | resnet.Bottleneck]
        kind = resnet.Bottleneck if block == "bottleneck" else resnet.BasicBlock
        # What torchvision's _make_layer reads and advances.
        self._norm_layer = nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = width, 1, 1, 64
        large = stem == "imagenet"
        self.conv1 = (
            nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
            if large
            else nn.Conv2d(channels, width, 3, padding=1, bias=False)
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity()
        for stage in range(4):
            layer = (
                self._make_layer(kind, width * 2**stage, blocks, stride=2 if stage else 1)
                if stage < stages
                else nn.Identity()
            )
            setattr(self, f"layer{stage + 1}", layer)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(self.inplanes, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
