"""Batches on the device: the same bits by every way, and no wait of the host."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from workers.derived_seed import derived_seed
from workers.sources.order import Order
from workers.sources.splits import ArraySplit, ByteWindows
from workers.training import batches as feed_module
from workers.training.batches import RESIDENT_SHARE, Feed, Pick, training_picks

CPU, META, EXAMPLES, CONTEXT = torch.device("cpu"), torch.device("meta"), 50, 7
TEXT = np.frombuffer(np.random.default_rng(0).bytes(EXAMPLES * CONTEXT + 3), np.uint8)
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)
KINDS = ["text", "grey", "colour"]
SWEEP = """\
name: picks
seed: 3
data: {source: digits, max_examples: 64, eval_examples: 32}
model: {family: resnet}
grid: {params: [1.4k], data_fraction: [0.5, 1.0], epochs: [1, 2]}
train: {optimizer: sgd, batch_size: 12, warmup_steps: 2, shift_pixels: 2}
"""


def split_of(kind: str) -> ArraySplit | ByteWindows:
    if kind == "text":
        return ByteWindows(TEXT, CONTEXT)
    rng, channels = np.random.default_rng(1), 1 if kind == "grey" else 3
    images = rng.integers(0, 256, (EXAMPLES, channels, 6, 5), np.uint8)
    return ArraySplit(images, rng.integers(0, 10, EXAMPLES), mean=MEAN[:channels], std=STD[:channels])


def picks_of(kind: str, sizes: tuple[int, ...] = (4, 1, 4, 4, 4, 1, 3)) -> list[Pick]:
    rng = np.random.default_rng(2)
    picks = [Pick(rng.integers(0, EXAMPLES, size)) for size in sizes]
    if kind == "text":
        return picks
    return [Pick(pick.indices, rng.integers(-2, 3, (2, len(pick.indices)))) for pick in picks]


def example_of(kind: str, index: int, offset: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of one example by the definition."""
    split = split_of(kind)
    if isinstance(split, ByteWindows):
        run = TEXT[index * CONTEXT : (index + 1) * CONTEXT + 1].astype(np.int64)
        return run[:-1], run[1:]
    channels = split.images.shape[1]
    mean = np.array(MEAN[:channels], np.float32)[:, None, None]
    scale = np.float32(1) / np.array(STD[:channels], np.float32)[:, None, None]
    x = (split.images[index].astype(np.float32) - mean) * scale
    if offset is not None:
        top, left = offset + 2
        x = np.pad(x, ((0, 0), (2, 2), (2, 2)), mode="edge")[:, top : top + 6, left : left + 5]
    return x, split.labels[index]


@pytest.mark.parametrize("still", [False, True], ids=["moved", "still"])
@pytest.mark.parametrize("resident", [False, True], ids=["host", "resident"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_gives_the_bits_of_the_definition_and_the_strides_of_fresh_tensors(
    kind, resident, still, monkeypatch
):
    monkeypatch.setattr(feed_module, "CHUNK_STEPS", 3)
    feed = Feed(split_of(kind), CPU, resident=resident)
    assert feed.resident is resident
    picks = [Pick(pick.indices) if still else pick for pick in picks_of(kind)]
    found = list(feed.batches(picks))
    assert len(found) == len(picks)
    for pick, batch in zip(picks, found, strict=True):
        offsets = [None] * len(pick.indices) if pick.offsets is None else pick.offsets.T
        examples = [example_of(kind, i, offset) for i, offset in zip(pick.indices, offsets, strict=True)]
        for tensor, values in zip(batch, zip(*examples, strict=True), strict=True):
            expected = np.stack(values)
            assert tensor.numpy().dtype == expected.dtype
            assert np.array_equal(tensor.numpy(), expected)
            assert tensor.stride() == torch.empty(tensor.shape).stride()


@pytest.mark.parametrize("resident", [False, True], ids=["host", "resident"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_may_be_written_into_without_harm(kind, resident):
    feed, picks = Feed(split_of(kind), CPU, resident=resident), [picks_of(kind)[0], picks_of(kind)[0]]
    (x, y), (x_again, y_again) = feed.batches(picks)
    before = x_again.clone(), y_again.clone()
    x.zero_()
    y.zero_()
    assert torch.equal(x_again, before[0])
    assert torch.equal(y_again, before[1])
    x_later, y_later = next(feed.batches(picks))
    assert torch.equal(x_later, before[0])
    assert torch.equal(y_later, before[1])


def test_a_source_with_the_strides_of_a_transposed_batch_does_not_pass_them_on():
    class Transposed:
        def __len__(self) -> int:
            return EXAMPLES

        def batch(self, indices):
            x = np.ones((len(indices), 6, 5, 1), np.float32).transpose(0, 3, 1, 2)
            assert x.flags.c_contiguous
            assert torch.from_numpy(x).stride() != torch.empty(x.shape).stride()
            return x, indices

    x, _ = next(Feed(Transposed(), CPU).batches([Pick(np.arange(4))]))
    assert x.stride() == torch.empty(x.shape).stride()


class Copies(TorchDispatchMode):
    """Counts the copies between devices by what they come from (``pinned`` or a device) and where they go."""

    def __init__(self) -> None:
        super().__init__()
        self.between: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (
            isinstance(out, torch.Tensor)
            and args
            and isinstance(args[0], torch.Tensor)
            and out.device != args[0].device
        ):
            self.between["pinned" if args[0].is_pinned() else args[0].device.type, out.device.type] += 1
        return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_resident_split_sends_once_in_many_steps_and_reads_nothing_back(kind, monkeypatch):
    # A meta tensor has no values: whatever would wait for them raises.
    monkeypatch.setattr(feed_module, "CHUNK_STEPS", 5)
    feed, picks = Feed(split_of(kind), META, resident=True), picks_of(kind, sizes=(4,) * 12)
    with Copies() as copies:
        batches = list(feed.batches(picks))
    assert [x.device.type for x, _ in batches] == ["meta"] * 12
    assert copies.between == {("cpu", "meta"): 3 if kind == "text" else 6}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident", [False, True], ids=["host", "resident"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_step_makes_the_host_wait_for_a_gpu(kind, resident, monkeypatch):
    monkeypatch.setattr(feed_module, "CHUNK_STEPS", 3)
    feed, picks = Feed(split_of(kind), torch.device("cuda"), resident=resident), picks_of(kind)
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with Copies() as copies:
            found = list(feed.batches(picks))
    finally:
        torch.cuda.set_sync_debug_mode(before)
    # The debug mode overlooks a copy out of pageable memory, which waits as well.
    assert set(copies.between) == {("pinned", "cuda")}
    for here, there in zip(Feed(split_of(kind), CPU).batches(picks), found, strict=True):
        assert all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))
        assert [a.stride() for a in here] == [b.stride() for b in there]


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_outside_the_split_is_refused_before_it_reaches_the_device(kind):
    feed = Feed(split_of(kind), CPU, resident=True)
    for index in (-1, EXAMPLES):
        with pytest.raises(IndexError, match=f"of a split of {EXAMPLES}"):
            next(feed.batches([Pick(np.array([0, index]))]))
    with pytest.raises(IndexError):
        next(Feed(split_of(kind), CPU).batches([Pick(np.array([0, EXAMPLES]))]))


def test_picks_are_read_as_they_are_needed(monkeypatch):
    monkeypatch.setattr(feed_module, "CHUNK_STEPS", 3)
    for resident, ahead in ((False, 1), (True, 3)):
        taken = []
        picks = (taken.append(i) or Pick(np.array([i])) for i in range(9))
        next(Feed(split_of("text"), CPU, resident=resident).batches(picks))
        assert taken == list(range(ahead))


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_lies_on_a_gpu_up_to_its_share_of_the_free_memory_and_never_twice_on_the_host(kind, monkeypatch):
    split = split_of(kind)
    raw = TEXT.nbytes if kind == "text" else split.images.nbytes + EXAMPLES * 8
    assert split.resident_bytes == raw
    assert not Feed(split, CPU).resident
    upload = type(split).upload
    monkeypatch.setattr(type(split), "upload", lambda self, device: upload(self, META))
    for free, resident in ((raw / RESIDENT_SHARE, True), (raw / RESIDENT_SHARE - 8, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10 * free))
        assert Feed(split, torch.device("cuda")).resident is resident


def test_a_split_that_can_not_be_resident_says_so():
    class Lazy:
        def __len__(self) -> int:
            return 1

        def batch(self, indices):
            return np.zeros((1, 1, 2, 2), np.float32), np.zeros(1, np.int64)

    assert not Feed(Lazy(), CPU).resident
    with pytest.raises(TypeError, match="Lazy can't be resident"):
        Feed(Lazy(), CPU, resident=True)


@pytest.mark.parametrize("most", [0, 2])
def test_the_shares_of_the_ranks_make_up_the_batches_of_one_worker(most, monkeypatch):
    monkeypatch.setattr(feed_module, "CHUNK_STEPS", 3)
    plan = make_plan(parse_sweep(SWEEP))
    order = Order(64, 3)
    trunk = next(s for s in plan.tree if s.kind == "trunk")
    recipe = replace(trunk.recipe, shift_pixels=most)
    stage = replace(trunk, stop_step=9, stream_examples=40, seed=11, recipe=recipe)
    alone = list(training_picks(order, stage, start=2, mine=slice(0, 12)))
    ranks = [list(training_picks(order, stage, start=2, mine=slice(4 * r, 4 * r + 4))) for r in range(3)]
    assert len(alone) == 7
    for step, whole, parts in zip(range(2, 9), alone, zip(*ranks, strict=True), strict=True):
        assert np.array_equal(whole.indices, order.indices(40, step * 12, step * 12 + 12))
        assert np.array_equal(whole.indices, np.concatenate([part.indices for part in parts]))
        if most:
            drawn = np.random.default_rng(derived_seed(11, "shift", step)).integers(0, 5, size=(2, 12)) - 2
            assert np.array_equal(whole.offsets, drawn)
            assert np.array_equal(whole.offsets, np.concatenate([part.offsets for part in parts], axis=1))
        else:
            assert whole.offsets is None
            assert all(part.offsets is None for part in parts)
