"""What every compressor promises, tried on a small transformer; it runs on compressors of other packages, too.

>>> from workers.compressors.conformance import broken_promises
>>> from workers.compressors.quantize.plan import Quantize, QuantizeOptions
>>> from workers.compressors.quantize.train import Quantizer
>>> broken_promises(Quantize(), Quantizer(), QuantizeOptions(method="quantize", bits=4))
[]
"""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from orchestrator.errors import BadInput
from orchestrator.planning.compressor import Compressor
from orchestrator.planning.family import ModelShape
from orchestrator.planning.manifest import DataManifest
from orchestrator.planning.promises import first_cases
from orchestrator.spec.compression_options import CHAIN_ORDER, CompressionOptions
from workers.compressors.session import Parts, Session, TrainedCompressor
from workers.families.transformer.train import TrainedTransformer
from workers.training.loop import cross_entropy

#: Steps of training after a compression that are tried: none, and a few.
STEPS = (0, 3)
_DATA = DataManifest(
    task="text",
    digest="0" * 64,
    train_examples=64,
    val_examples=8,
    test_examples=8,
    tokens_per_example=16,
    input_shape=(16,),
    classes=256,
)
_MODEL = TrainedTransformer()
_SHAPE = _MODEL.shape_for(6_300, {}, _DATA)


@dataclass(frozen=True)
class _Done:
    """A compressed model."""

    module: torch.nn.Module
    facts: dict[str, Any]


def broken_promises(compressor: Compressor, trained: TrainedCompressor, options: CompressionOptions) -> list[str]:
    """Return a sentence for each promise that is broken, of the two halves' protocols.

    Parameters
    ----------
    compressor, trained
        The half that plans and the half that compresses.
    options
        What to try, of the compressor's ``Options``; something that fits a transformer of 6,304 parameters.
    """
    try:
        remarks = compressor.check(options, _SHAPE, _MODEL)
        after = _after(options)
    except BadInput as refusal:
        return [f"the options fit the model that is tried: {refusal}"]
    found = [*_of_options(options), *_of_plan(compressor, options, after, remarks)]
    for steps in STEPS:
        found += _of_training(trained, options, after, steps)
    return first_cases(found)


def _after(options: CompressionOptions) -> ModelShape:
    return _SHAPE if options.student_size is None else _MODEL.shape_for(options.student_size, {}, _DATA)


def _of_options(options: CompressionOptions) -> Iterator[str]:
    if options.changes not in CHAIN_ORDER:
        yield f"changes is one of {', '.join(CHAIN_ORDER)}: {options.changes!r}"
    if type(options).model_validate(options.model_dump(mode="json")) != options:
        yield "options are the same after JSON: they aren't"
    if pickle.loads(pickle.dumps(options)) != options:
        yield "options travel to workers unchanged: they don't"


def _of_plan(
    compressor: Compressor, options: CompressionOptions, after: ModelShape, remarks: list[str]
) -> Iterator[str]:
    if not isinstance(options, compressor.Options):
        yield f"Options reads the YAML: {compressor.Options.__name__} is no {type(options).__name__}"
    if compressor.check(options, _SHAPE, _MODEL) != remarks:
        yield "check answers the same each time: other remarks at a second call"
    share = compressor.kept_share(options, _SHAPE, after)
    if not 0 < share <= 1:
        yield f"kept_share lies between 0 and 1: {share}"


def _of_training(
    trained: TrainedCompressor, options: CompressionOptions, after: ModelShape, steps: int
) -> Iterator[str]:
    first, again = (_compressed(trained, options, after, steps) for _ in range(2))
    if steps > 1 and not _same(first, _compressed(trained, options, after, steps, cut=steps // 2)):
        yield f"taken up after step {steps // 2} of {steps} it ends in the same bits: it doesn't; see Session.held"
    arrays = first.module.state_dict()
    if not all(bool(torch.isfinite(value).all()) for value in arrays.values() if value.is_floating_point()):
        yield f"weights stay finite: not after {steps} steps"
    if not _same(first, again):
        yield f"the same module, options and seed give the same bits: other ones with {steps} steps"
    try:
        facts = json.loads(json.dumps(first.facts))
    except TypeError as failure:
        yield f"facts are JSON: {failure}"
        return
    if facts != first.facts:
        yield f"facts are the same after JSON: {facts}"
    rebuilt = trained.restructure(_fresh(after), facts)
    try:
        rebuilt.load_state_dict(arrays)
    except RuntimeError as failure:
        yield f"a module of the facts takes the finished arrays: {str(failure).splitlines()[-1].strip()}"
        return
    x, _ = _batch()
    if not torch.equal(rebuilt.eval()(x), first.module.eval()(x)):
        yield f"a module of the facts answers the same: another answer with {steps} steps"


def _compressed(
    trained: TrainedCompressor, options: CompressionOptions, after: ModelShape, steps: int, *, cut: int | None = None
) -> _Done:
    """Compress, and where ``cut`` names a step, be interrupted after it and go on in a session of its own."""
    session = _begun(trained, options, after, steps)
    x, y = _batch()
    optimizer = torch.optim.SGD(session.module.parameters(), lr=0.05)
    for step in range(1, steps + 1):
        if step - 1 == cut:
            arrays, held = session.module.state_dict(), session.held()
            session = _begun(trained, options, after, steps)
            session.module.load_state_dict(arrays)
            session.hold(held)
            optimizer = torch.optim.SGD(session.module.parameters(), lr=0.05)
        optimizer.zero_grad()
        logits = session.module.train()(x)
        loss = cross_entropy(logits, y) if session.loss is None else session.loss(x, logits, y)
        loss.backward()
        optimizer.step()
        if session.after_step is not None:
            session.after_step(step)
    return _Done(session.module, session.finish())


def _same(one: _Done, other: _Done) -> bool:
    arrays, others = one.module.state_dict(), other.module.state_dict()
    return arrays.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in arrays.items())


def _begun(trained: TrainedCompressor, options: CompressionOptions, after: ModelShape, steps: int) -> Session:
    parts = Parts([name for name, _ in _MODEL.weights(_SHAPE)], _MODEL.unit_groups(_SHAPE))
    return trained.session(copy.deepcopy(_fresh(_SHAPE)), options, parts, steps, lambda: _fresh(after))


def _fresh(shape: ModelShape) -> torch.nn.Module:
    torch.manual_seed(0)
    return _MODEL.build(shape, {}, _DATA)


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    window = torch.randint(_DATA.classes, (4, 17), generator=torch.Generator().manual_seed(1))
    return window[:, :-1], window[:, 1:]
