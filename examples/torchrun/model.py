"""A small MLP."""

from torch import nn


def mlp(width):
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))


def described(params):
    """Return what scalaw asks of a size: the MLP of about so many parameters, counted."""
    width = max(2, round((params + 81) ** 0.5 - 9))
    count = sum(weight.numel() for weight in mlp(width).parameters())
    return {"params_total": count, "params_non_embedding": count, "train_flops": 6 * count, "dims": {"width": width}}
