"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math

from orchestrator.planning.recipe import Recipe

#: Share of the peak rate at which a cosine ends (Hoffmann et al. 2022, section 3.1 and figure A1).
COSINE_FLOOR = 0.1


def rate_factor(recipe: Recipe, step: int, total_steps: int | None) -> float:
    """Return the share of the peak learning rate at a step.

    Parameters
    ----------
    step
        Optimiser step, counted from 0.
    total_steps
        Steps of the cell that is being finished; ``None`` on a trunk that several cells share, where a
        warmup-stable-decay rate is still stable.

    Notes
    -----
    Warmup is linear over absolute steps and multiplies the rest. ``wsd`` (Hu et al. 2024; Hägele et al. 2024) is
    constant, then falls linearly to zero over the cooldown. ``wsm`` (Tian et al. 2025, arXiv 2507.17634) stays
    constant, as merging snapshots takes the place of the decay.
    """
    warmup = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    if total_steps is None or recipe.schedule in ("constant", "wsm"):
        return warmup
    if recipe.schedule == "wsd":
        fork = recipe.fork_step(total_steps)
        return warmup * (1.0 if step < fork else (total_steps - step) / (total_steps - fork + 1))
    done = step / total_steps
    if recipe.schedule == "cosine":
        return warmup * (COSINE_FLOOR + (1 - COSINE_FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))
    passed = sum(done >= milestone for milestone in recipe.milestones)
    return warmup * float(recipe.decay_factor**passed)
