"""Training states as bytes: equal to the bit, and whatever is not one is refused (I6)."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store.checkpoints import DamagedCheckpoint
from workers.engine import TorchEngine
from workers.training.checkpoint import METADATA_KEY, _digest, from_bytes, to_bytes
from workers.training.state import TrainState

SWEEP = """\
name: images
seed: 3
data: {source: digits, max_examples: 64, eval_examples: 32}
model: {family: resnet}
grid: {params: [1.4k], data_fraction: [0.5, 1.0], epochs: [1, 2]}
train: {batch_size: 8, warmup_steps: 2, shift_pixels: 1, optimizer: adamw, schedule: wsm, learning_rate: 0.01}
"""

dtypes = st.sampled_from(["float16", "float32", "float64", "int64", "int32", "uint8", "bool"])
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def arrays(draw):
    """An array of any of our types and shapes: whole, transposed, cut out, reversed or read-only."""
    array = draw(hnp.arrays(draw(dtypes), draw(shapes)))
    layout = draw(st.sampled_from(["as it is", "transposed", "every other", "reversed", "fortran", "read-only"]))
    if layout == "transposed":
        array = array.T
    elif layout == "every other" and array.ndim:
        array = array[..., ::2]
    elif layout == "reversed" and array.ndim:
        array = array[::-1]
    elif layout == "fortran":
        array = np.asfortranarray(array) if array.ndim else array
    elif layout == "read-only":
        array.setflags(write=False)
    return array


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
named = st.dictionaries(names, arrays(), max_size=4)
states = st.builds(
    TrainState,
    step=st.integers(0, 2**62),
    model=named,
    optimizer=named,
    sums=st.dictionaries(st.integers(0, 10**9), named, max_size=3),
    wall_s=st.floats(0, allow_infinity=False),
    phase=names,
    facts=st.lists(st.dictionaries(names, st.integers() | names, max_size=2), max_size=2).map(tuple),
    reference=st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
    done=st.booleans(),
    origin=named,
    micro_batches=st.integers(1, 64),
    trained=names,
    curve=named,
)


def assert_same_arrays(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


def assert_same(found, expected):
    for field in ("step", "wall_s", "phase", "facts", "reference", "done", "micro_batches", "trained"):
        assert getattr(found, field) == getattr(expected, field)
    assert_same_arrays(found.origin, expected.origin)
    assert_same_arrays(found.curve, expected.curve)
    assert_same_arrays(found.model, expected.model)
    assert_same_arrays(found.optimizer, expected.optimizer)
    assert found.sums.keys() == expected.sums.keys()
    for length, running in expected.sums.items():
        assert_same_arrays(found.sums[length], running)


@pytest.fixture
def state() -> TrainState:
    """A small state with everything in it, and a window that has no snapshot yet."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((3, 5)).astype(np.float32)
    return TrainState(
        step=1234,
        model={"a.weight": weight, "bn.num_batches_tracked": np.array(7)},
        optimizer={"a.weight/exp_avg": weight * 2, "a.weight/step": np.array(1234, np.float32)},
        sums={64: {"a.weight": weight.astype(float), "bn.num_batches_tracked": np.array(7)}, 128: {}},
        wall_s=0.1 + 0.2,
        done=False,
        origin={"model/a.weight": weight - 1},
    )


@given(states)
@settings(deadline=None, max_examples=60)
def test_any_state_comes_back_to_the_bit(state):
    assert_same(from_bytes(to_bytes(state)), state)


def test_an_array_of_the_other_byte_order_comes_back_with_its_values(state):
    found = from_bytes(to_bytes(replace(state, model={"a": np.arange(3, dtype=">f4")}))).model["a"]
    assert found.dtype == np.float32
    assert found.tolist() == [0, 1, 2]


def test_equal_states_are_equal_bytes(state):
    backwards = {field: dict(reversed(getattr(state, field).items())) for field in ("model", "optimizer", "sums")}
    assert to_bytes(replace(state, **backwards)) == to_bytes(state)


def test_other_tools_can_open_it(state):
    found = safetensors.numpy.load(to_bytes(state))
    assert np.array_equal(found["model/a.weight"], state.model["a.weight"])
    assert found["sums/64/bn.num_batches_tracked"] == 7


@pytest.mark.parametrize(
    "array", [np.array([object()]), np.array(["text"]), np.zeros(2, complex)], ids=["objects", "texts", "complex"]
)
def test_an_array_that_can_only_be_pickled_is_refused(state, array):
    with pytest.raises(TypeError):
        to_bytes(replace(state, model={"a": array}))


@pytest.mark.parametrize("part", ["header", "arrays"])
def test_every_flipped_bit_is_noticed_or_changes_nothing(state, part):
    data = to_bytes(state)
    header = 8 + int.from_bytes(data[:8], "little")
    places = range(header) if part == "header" else range(header, len(data))
    unnoticed = []
    for at in places:
        for bit in range(8):
            broken = bytearray(data)
            broken[at] ^= 1 << bit
            try:
                assert_same(from_bytes(bytes(broken)), state)
                unnoticed.append(at)
            except DamagedCheckpoint:
                continue
    # the 17th digit of wall_s is beyond what tells two floats apart
    assert set(unnoticed) <= {data.index(b"0.30000000000000004") + 18}


def test_a_checkpoint_cut_off_anywhere_is_damaged(state):
    data = to_bytes(state)
    for length in range(len(data)):
        with pytest.raises(DamagedCheckpoint, match="damaged checkpoint"):
            from_bytes(data[:length])
    with pytest.raises(DamagedCheckpoint, match="damaged checkpoint"):
        from_bytes(data + b"\0")


def _with_facts(data: bytes, text: str) -> bytes:
    return safetensors.numpy.save(safetensors.numpy.load(data), {METADATA_KEY: text})


def _facts(data: bytes) -> dict:
    length = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA_KEY])


def _bfloat16() -> bytes:
    header = b'{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    return len(header).to_bytes(8, "little") + header + b"\0\0"


OTHERS = {
    "another program's": (lambda data: safetensors.numpy.save({"w": np.zeros(2)}), "another program wrote"),
    "another's with metadata": (lambda data: safetensors.numpy.save({}, {"format": "pt"}), "another program wrote"),
    "another's in bfloat16": (lambda data: _bfloat16(), "no checkpoint of scalaw: it holds an array of type 'BF16'"),
    "another's, impossibly large": (
        lambda data: _bfloat16().replace(b'"BF16","shape":[1]', b'"F32","shape":[0,9999999999999999,999999999]'),
        "damaged checkpoint",
    ),
    "a pickle": (lambda data: b"\x80\x04}\x94.", "damaged checkpoint"),
    "random bytes": (lambda data: random.Random(0).randbytes(5000), "damaged checkpoint"),
    "no JSON": (lambda data: _with_facts(data, "{"), "metadata can't be read"),
    "another JSON": (lambda data: _with_facts(data, "[]"), "metadata can't be read"),
    "deep JSON": (lambda data: _with_facts(data, "[" * 100_000), "metadata can't be read"),
    "no version": (lambda data: _with_facts(data, "{}"), "metadata can't be read"),
    "no checksum": (lambda data: _with_facts(data, '{"format": 3}'), "checksum differs"),
    "older": (
        lambda data: _with_facts(data, '{"format": 1}'),
        "an older scalaw .* doesn't say whether its stage was done",
    ),
    "of a stage that was done": (
        lambda data: _with_facts(data, json.dumps({**_facts(data), "done": True})),
        "checksum differs",
    ),
    "another step": (lambda data: _with_facts(data, json.dumps({**_facts(data), "step": 5})), "checksum differs"),
    "newer": (
        lambda data: _with_facts(data, json.dumps({**_facts(data), "format": 5})),
        r"newer scalaw \(format 5, this one reads up to 4\): upgrade",
    ),
}


@pytest.mark.parametrize(("make", "reason"), OTHERS.values(), ids=OTHERS)
def test_what_is_no_checkpoint_is_refused_and_says_why(state, make, reason):
    with pytest.raises(DamagedCheckpoint, match=reason):
        from_bytes(make(to_bytes(state)))


def test_a_checkpoint_of_the_format_before_curves_is_read_and_has_none(state):
    written = to_bytes(state)
    facts = {k: v for k, v in _facts(written).items() if k not in ("sha256", "trained")} | {"format": 3}
    digest = _digest(facts, safetensors.numpy.load(written))
    assert_same(from_bytes(_with_facts(written, json.dumps({**facts, "sha256": digest}))), state)


def test_checkpoints_of_two_states_cant_be_mixed(state):
    """Two arrays of equal type and shape change places: all bytes are there, and none is where it was."""
    swapped = safetensors.numpy.load(to_bytes(state))
    weight, moment = "model/a.weight", "optimizer/a.weight/exp_avg"
    swapped[weight], swapped[moment] = swapped[moment], swapped[weight]
    data = safetensors.numpy.save(swapped, {METADATA_KEY: json.dumps(_facts(to_bytes(state)))})
    with pytest.raises(DamagedCheckpoint, match="checksum differs"):
        from_bytes(data)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_training_goes_on_from_a_checkpoint_at_any_step_to_the_same_bits(optimizer):
    plan = make_plan(parse_sweep(SWEEP, overrides=[f"train.optimizer={optimizer}"]))
    engine, again = TorchEngine(plan.context), TorchEngine(plan.context)
    ends: dict[str | None, TrainState | None] = {None: None}
    for stage in (s for s in plan.tree if s.kind == "trunk"):
        parent = ends[stage.parent]
        ends[stage.id] = end = engine.train(stage, parent)
        for stop in range(stage.start_step, stage.stop_step + 1):
            until = engine.train(replace(stage, stop_step=stop), parent)
            saved = from_bytes(to_bytes(until))
            assert_same(saved, until)
            resumed = again.train(replace(stage, start_step=saved.step), saved)
            assert_same(replace(resumed, wall_s=0.0), replace(end, wall_s=0.0))
    trained = [end for end in ends.values() if end is not None]
    assert any(end.optimizer and end.sums for end in trained)
    sums = [array for end in trained for running in end.sums.values() for array in running.values()]
    assert {(array.dtype.name, array.ndim) for array in sums} >= {("float64", 4), ("int64", 0)}
