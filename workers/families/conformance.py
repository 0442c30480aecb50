"""What every trained family promises, tried on models of some sizes; it runs on families of other packages, too.

>>> from orchestrator.spec.registries import FAMILIES
>>> from workers.families.conformance import broken_promises
>>> broken_promises(FAMILIES.load_training("transformer")(), {}, manifest)  # of data that it reads
[]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.errors import BadInput
from orchestrator.planning.family import ModelShape
from orchestrator.planning.manifest import DataManifest
from orchestrator.planning.promises import first_cases
from workers.families.own.counting import EXAMPLES, batch_of
from workers.families.trained import HasObjective, TorchFamily

#: Sizes that are asked for, where none are given.
SIZES = (6_300, 40_000, 300_000)
#: Largest difference of the closed form from torch's count of FLOPs, as a share.
FLOPS_TOLERANCE = 0.02


@dataclass(frozen=True)
class _Built:
    """A model of one size."""

    asked: int
    shape: ModelShape
    module: torch.nn.Module
    batch: Any
    loss: Callable[[torch.nn.Module, Any], torch.Tensor] | None


def broken_promises(
    family: TorchFamily, options: Mapping[str, Any], data: DataManifest, sizes: Sequence[int] = SIZES
) -> list[str]:
    """Return a sentence for each promise that is broken, of the two halves' protocols.

    Parameters
    ----------
    family
        The half that trains, which extends the one that plans.
    options
        The family's keys.
    data
        What the models read: images, or tokens.
    sizes
        Non-embedding parameters to ask for.
    """
    found = [*_of_sizes(family, options, data, sizes)]
    for asked in sizes:
        shape = family.shape_for(asked, options, data)
        module, again = (_module(family, shape, options, data) for _ in range(2))
        if any(not torch.equal(value, again.state_dict()[name]) for name, value in module.state_dict().items()):
            found.append(f"torch's seed alone decides the first weights: others at a second build of {asked:,}")
        objective = family.objective(options, data) if isinstance(family, HasObjective) else None
        built = _Built(asked, shape, module, _batch(data), objective.loss if objective else None)
        for promise in (_of_counts, _of_flops, _of_outputs, _of_groups, _of_weights, _of_units):
            found += promise(family, built)
        if family.shape_on(shape, options, data) != shape:
            found.append(f"on its own data a model has its own shape: another one at {asked:,}")
    return first_cases(found)


def _module(family: TorchFamily, shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> torch.nn.Module:
    torch.manual_seed(0)
    return family.build(shape, options, data)


def _batch(data: DataManifest) -> Any:
    if data.batch is not None:
        return batch_of(data, EXAMPLES, torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    if data.tokens_per_example:
        window = torch.randint(data.classes, (EXAMPLES, data.tokens_per_example + 1), generator=generator)
        return window[:, :-1], window[:, 1:]
    images = torch.randn(EXAMPLES, *data.input_shape, generator=generator)
    return images, torch.randint(data.classes, (EXAMPLES,), generator=generator)


def _of_sizes(
    family: TorchFamily, options: Mapping[str, Any], data: DataManifest, sizes: Sequence[int]
) -> Iterator[str]:
    counted = []
    for asked in sorted(sizes):
        shape = family.shape_for(asked, options, data)
        counted.append(shape.params_non_embedding)
        if shape != family.shape_for(asked, options, data):
            yield f"equal requests give equal shapes: other ones for {asked:,}"
        if (shape.family, list(shape.dims)) != (family.name, sorted(shape.dims)):
            yield f"a shape names its family and sorts its dimensions: {shape.family}, {shape.dims}"
        if not asked / 2 < shape.params_non_embedding < asked * 2:
            yield f"a size is within a factor of two of what was asked: {shape.params_non_embedding:,} for {asked:,}"
    if counted != sorted(counted):
        yield f"a larger request never gives a smaller model: {counted} for {sorted(sizes)}"
    for beyond in (1, 10**18):
        if not _refuses(lambda asked=beyond: family.shape_for(asked, options, data)):  # type: ignore[misc]
            yield f"a size that can't be built is refused: {beyond:,}"


def _refuses(asked: Callable[[], object]) -> bool:
    try:
        asked()
    except BadInput:
        return True
    return False


def _of_counts(family: TorchFamily, built: _Built) -> Iterator[str]:
    total = sum(parameter.numel() for parameter in built.module.parameters())
    if built.shape.params_total != total:
        yield f"params_total is what the module has: {built.shape.params_total:,} for {total:,}"
    head = [name for name, _ in built.module.named_parameters() if name.startswith(f"{family.head}.")]
    if not head and (family.head or built.loss is None):
        yield f"head names the output layer: no parameter of {family.head!r}"


def _of_flops(family: TorchFamily, built: _Built) -> Iterator[str]:
    with sdpa_kernel(SDPBackend.MATH):  # torch counts nothing for its fused attention on CPU
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            _loss(built)
        with FlopCounterMode(display=False) as both:
            _loss(built).backward()
    for name, told, counter in (
        ("forward_flops", built.shape.forward_flops, forward),
        ("train_flops", built.shape.train_flops, both),
    ):
        counted = counter.get_total_flops() / EXAMPLES
        if abs(told - counted) > FLOPS_TOLERANCE * counted:
            yield f"{name} are torch's within 2 %: {told:,} for {counted:,.0f} at {built.asked:,}"


def _loss(built: _Built) -> torch.Tensor:
    if built.loss is not None:
        return built.loss(built.module, built.batch)
    x, y = built.batch
    return F.cross_entropy(built.module(x).flatten(0, -2), y.flatten())


def _of_outputs(family: TorchFamily, built: _Built) -> Iterator[str]:
    if built.loss is not None:
        return
    x, y = built.batch
    logits = built.module(x)
    if logits.shape[:-1] != y.shape:
        yield f"the module answers with logits whose last axis are classes: {tuple(logits.shape)}"


def _of_groups(family: TorchFamily, built: _Built) -> Iterator[str]:
    groups = family.parameter_groups(built.module, built.shape)
    grouped = sorted(id(parameter) for _, _, parameters in groups for parameter in parameters)
    if grouped != sorted(id(parameter) for parameter in built.module.parameters()):
        yield f"groups cover each parameter once: {len(grouped)} of {len(list(built.module.parameters()))}"
    if any(multiplier <= 0 for multiplier, _, _ in groups):
        yield f"rate multipliers are positive: {[multiplier for multiplier, _, _ in groups]}"


def _of_weights(family: TorchFamily, built: _Built) -> Iterator[str]:
    there = {name: tuple(parameter.shape) for name, parameter in built.module.named_parameters()}
    weights = family.weights(built.shape)
    wrong = [name for name, size in weights if there.get(name) != size]
    if wrong:
        yield f"weights are the module's, by name and shape: {wrong[0]} is {there.get(wrong[0])}"
    names = [name for name, _ in weights]
    if names != [name for name in there if name in set(names)]:
        yield "weights stand in the module's order: they don't"


def _of_units(family: TorchFamily, built: _Built) -> Iterator[str]:
    arrays = built.module.state_dict()
    for group in family.unit_groups(built.shape):
        for name, axis, outer in group.members:
            if name not in arrays or arrays[name].shape[axis] % (outer * group.units):
                yield f"units divide the arrays that go with them: {group.name} in {name}"
        if group.counted_by:
            owner, _, attribute = group.counted_by.rpartition(".")
            if getattr(built.module.get_submodule(owner), attribute) != group.units:
                yield f"counted_by holds the number of units: not in {group.counted_by}"
