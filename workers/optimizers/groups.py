"""Parameter groups as torch optimisers take them, with the share of the learning rate that each one gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

#: A family's answer: (learning-rate multiplier, weight decay applies, parameters).
Groups = Sequence[tuple[float, bool, list[torch.nn.Parameter]]]


def torch_groups(groups: Groups, weight_decay: float) -> list[dict[str, Any]]:
    """Return torch's group dictionaries; ``multiplier`` is kept beside ``lr`` for the schedule."""
    return [
        {"params": parameters, "weight_decay": weight_decay if decays else 0.0, "multiplier": multiplier}
        for multiplier, decays, parameters in groups
        if parameters
    ]
