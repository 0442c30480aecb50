"""How much memory training takes of a worker, in closed form, before anything is started."""

from __future__ import annotations

from typing import Final

from orchestrator.planning.context import RunContext
from orchestrator.planning.family import Family
from orchestrator.planning.tree import Stage, StageTree

#: Arrays of a parameter's size that an optimizer keeps; of an optimizer from elsewhere as many as of adamw.
SLOTS: Final = {"sgd": 1, "adamw": 2}
#: Bytes of a parameter, a gradient or a moment; and of a sum over checkpoints.
FLOAT_BYTES, SUM_BYTES = 4, 8


def in_words(size_bytes: int) -> str:
    """Return ``1.23 GB``, or ``4.5 MB`` below one."""
    return f"{size_bytes / 1e9:,.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:,.1f} MB"


def state_bytes(last: Stage) -> int:
    """Return the size of a stage's state: weights, optimizer and open windows; buffers are small beside them."""
    if last.kind == "evaluate":
        return 0
    weights = last.shape.params_total
    if last.kind in ("merge", "compress"):
        return FLOAT_BYTES * weights
    arrays = 1 + SLOTS.get(last.recipe.optimizer, 2)
    return weights * (FLOAT_BYTES * arrays + SUM_BYTES * len(last.windows))


def training_bytes(stage: Stage, family: Family, context: RunContext) -> int | None:
    """Return the most bytes that a rank holds while it trains a stage, its data and torch itself left out.

    ``None`` where nobody knows what the family takes.

    Weights and the optimizer's moments in float32, their copies in bf16 that autocast keeps, sums of open windows, and
    the larger of two: what the backward pass needs of the batch, or the gradients that take its place as it goes on.

    Parameters
    ----------
    stage
        One that trains; its batch is shared by the ranks evenly.
    family
        The planning half of the family.
    context
        Names the data that it reads.
    """
    recipe, weights = stage.recipe, stage.shape.params_total
    half = recipe.precision == "bf16"
    data = context.data[stage.data].manifest
    examples = recipe.batch_size // recipe.world_size
    copies = 2 * weights if half else 0
    activations = family.activation_bytes(stage.shape, data, half=half)
    if activations is None:
        return None
    return state_bytes(stage) + copies + max(examples * activations, FLOAT_BYTES * weights)


def most_bytes(tree: StageTree, family: Family, context: RunContext) -> int | None:
    """Return the largest of all stages of a tree that train; 0 where none does, ``None`` where it is not known."""
    kinds = {(s.shape, s.recipe, s.data, len(s.windows)): s for s in tree if s.steps}
    sizes = [training_bytes(stage, family, context) for stage in kinds.values()]
    known = [size for size in sizes if size is not None]
    return max(known, default=0) if len(known) == len(sizes) else None
