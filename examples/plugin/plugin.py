"""A model of your own: two hidden layers, as wide as the size asked for."""

import math

from torch import nn

import scalaw


class MLP(scalaw.Family):
    name = "mlp"

    def sizes(self):
        for width in range(4, 4096, 2):
            yield {"width": width}

    def build(self, dims):
        inputs, width = math.prod(self.data.input_shape), dims["width"]
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, width), nn.GELU(),
            nn.Linear(width, width), nn.GELU(),
            nn.Linear(width, self.data.classes),
        )  # fmt: skip
