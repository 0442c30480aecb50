"""What every data source promises; it runs on sources of other people, too.

>>> from orchestrator.spec.registries import SOURCES
>>> from workers.sources.conformance import broken_promises
>>> broken_promises(SOURCES.load("digits")(), {}, context=32)
[]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from orchestrator.planning.manifest import DataManifest
from orchestrator.planning.promises import first_cases
from workers.sources.batch_like import batch_like
from workers.sources.example_split import batched
from workers.sources.source import Dataset, Source
from workers.training.nested import leaves

#: Targets of a split that are looked at.
LOOKED_AT = 256


def broken_promises(source: Source, options: Mapping[str, Any], *, context: int = 32) -> list[str]:
    """Return a sentence for each promise of :class:`~workers.sources.source.Source` that is broken.

    Parameters
    ----------
    options
        The source's keys.
    context
        Window of a language model.
    """
    manifest = source.manifest(options, context=context)
    data = source.load(options, context=context)
    found = [*_of_manifest(source, manifest, options, context), *_of_sizes(manifest, data)]
    for name, split in data.splits.items():
        if len(split):
            found += _of_split(name, batched(split, None), manifest)
    return first_cases([*found, *_of_loading(source, data, options, context)])


def _of_manifest(source: Source, manifest: DataManifest, options: Mapping[str, Any], context: int) -> Iterator[str]:
    if manifest != source.manifest(options, context=context):
        yield "the manifest depends on data and options alone: another one when it is asked again"
    if not manifest.digest:
        yield "the digest names the data: it is empty"
    if manifest.task != source.name:
        yield f"rows carry the source's name as their task: {manifest.task!r} for {source.name!r}"


def _of_sizes(manifest: DataManifest, data: Dataset) -> Iterator[str]:
    if data.manifest != manifest:
        yield "what is loaded has the manifest that was planned with: another one"
    stated = (manifest.train_examples, manifest.val_examples, manifest.test_examples)
    counted = (len(data.train), len(data.val), len(data.test))
    if stated != counted:
        yield f"splits have the sizes that the manifest states: {counted} for {stated}"
    if min(counted) < 1:
        yield f"each split has an example: {counted}"


def _of_split(name: str, split: Any, manifest: DataManifest) -> Iterator[str]:
    last = len(split) - 1
    batch = split.batch(np.array([last, 0, 0], np.int64))
    parts = [np.asarray(leaf) for leaf in leaves(batch)]
    if any(part.ndim == 0 or len(part) != 3 for part in parts):
        yield f"each part of a batch has an axis of examples: not in {name}, {[part.shape for part in parts]}"
        return
    if any(not np.array_equal(part[1], part[2], equal_nan=part.dtype.kind == "f") for part in parts):
        yield f"an index gives the same example each time: another one in {name}"
    again = [np.asarray(leaf) for leaf in leaves(split.batch(np.array([last, 0, 0], np.int64)))]
    if any(part.tobytes() != other.tobytes() for part, other in zip(parts, again, strict=True)):
        yield f"a batch that is read again is equal: not in {name}"
    for leaf in leaves(split.batch(np.array([0], np.int64))):
        leaf[...] = 0
    untouched = [np.asarray(leaf) for leaf in leaves(split.batch(np.array([last, 0, 0], np.int64)))]
    if any(part.tobytes() != other.tobytes() for part, other in zip(again, untouched, strict=True)):
        yield f"a batch may be written into without harm: it changes what is read next from {name}"
    yield from _of_shapes(name, split, parts, batch, manifest)


def _of_shapes(name: str, split: Any, parts: list[Any], batch: Any, manifest: DataManifest) -> Iterator[str]:
    if manifest.batch is not None:
        shapes = [(str(part.dtype), list(part.shape[1:])) for part in parts]
        told = [(part["dtype"], part["shape"]) for part in _told(manifest.batch)]
        if shapes != told:
            yield f"batches are like the manifest's: {shapes} for {told} in {name}"
        return
    if not isinstance(batch, tuple) or len(parts) != 2:
        yield f"a manifest without batch= promises pairs of inputs and targets: {batch_like(batch)} in {name}"
        return
    x, y = parts
    if x.shape[1:] != tuple(manifest.input_shape) or y.dtype != np.int64:
        yield f"inputs are of the stated shape, targets int64: {x.shape[1:]} and {y.dtype} in {name}"
    else:
        _, more = split.batch(np.arange(min(LOOKED_AT, len(split)), dtype=np.int64))
        if np.min(more) < 0 or np.max(more) >= manifest.classes:
            yield f"targets are below classes: {np.min(more)} … {np.max(more)} for {manifest.classes} in {name}"
    if manifest.tokens_per_example and not np.array_equal(x[:, 1:], y[:, :-1]):
        yield f"targets are the tokens that follow: others in {name}"


def _told(spec: Any) -> Iterator[dict[str, Any]]:
    if isinstance(spec, Mapping) and set(spec) == {"dtype", "shape"}:
        yield dict(spec)
        return
    for part in spec.values() if isinstance(spec, Mapping) else spec:
        yield from _told(part)


def _of_loading(source: Source, data: Dataset, options: Mapping[str, Any], context: int) -> Iterator[str]:
    again = source.load(options, context=context)
    for name, split in data.splits.items():
        pairs = zip(*(leaves(_first(each)) for each in (split, again.splits[name])), strict=True)
        if any(np.asarray(one).tobytes() != np.asarray(other).tobytes() for one, other in pairs):
            yield f"data loaded again are equal: others in {name}"


def _first(split: Any) -> Any:
    return batched(split, None).batch(np.arange(min(8, len(split)), dtype=np.int64))
