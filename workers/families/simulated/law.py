"""The known law that made-up rows obey."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from workers.derived_seed import derived_seed
from workers.families.simulated.plan import SimulatedOptions


def simulated_loss(
    options: Mapping[str, Any],
    n: float,
    d: float,
    e: float,
    *,
    seed: int,
    cell_id: str,
    ft_d: float | None = None,
    ft_e: float | None = None,
    eps: float = 1.0,
) -> float:
    """Return the loss of a made-up cell: ``(floor + C n^-alpha d^-beta e^-gamma …) exp(noise z)``.

    Parameters
    ----------
    options
        The family's keys, as :class:`SimulatedOptions` names them.
    n, d, e
        Parameters, unique training examples and epochs.
    seed, cell_id
        What z, a standard normal, is derived from; the same pair always gives the same loss.
    ft_d, ft_e
        Fine-tuning examples and epochs, ``None`` without fine-tuning.
    eps
        Share of bytes kept, 1 without compression.
    """
    law = SimulatedOptions.model_validate(options)
    axes = ((n, law.alpha), (d, law.beta), (e, law.gamma), (ft_d, law.delta), (ft_e, law.zeta), (eps, law.eta))
    power = sum(exponent * math.log(axis) for axis, exponent in axes if axis is not None)
    z = np.random.Generator(np.random.PCG64(derived_seed(seed, "simulated", cell_id))).standard_normal()
    return float((law.floor + law.C * math.exp(-power)) * math.exp(law.noise * z))
