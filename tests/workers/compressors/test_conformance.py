"""What every compressor guarantees, for every trained family: exact accounting, determinism, round trips."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from orchestrator.errors import BadInput
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.spec.registries import COMPRESSORS
from workers.accounting import model_of
from workers.compressing import restored
from workers.compressors.prune.units import density_left
from workers.engine import TorchEngine
from workers.serving.model_file import from_bytes, to_bytes
from workers.training.checkpoint import from_bytes as state_of
from workers.training.checkpoint import to_bytes as checkpoint_of
from workers.training.state import TrainState, load_arrays

TEXT = """
name: text
data: {source: python-stdlib, max_examples: 64, eval_examples: 16}
model: {family: transformer, context: 16, head_dim: 4}
grid: {params: [7k]}
train: {batch_size: 8, warmup_steps: 1}
inference: {measure: false}
"""
IMAGES = """
name: images
data: {source: digits, max_examples: 64, eval_examples: 32}
model: {family: resnet}
grid: {params: [5.1k]}
train: {optimizer: sgd, batch_size: 8, warmup_steps: 1}
inference: {measure: false}
"""
WAYS = {
    "8 bits": "{method: quantize, bits: 8}",
    "8 bits, inputs too": "{method: quantize, bits: 8, activations: int8}",
    "8 bits, inputs too, recovered": "{method: quantize, bits: 8, activations: int8, recover: {steps: 2}}",
    "4 bits": "{method: quantize, bits: 4}",
    "3 bits": "{method: quantize, bits: 3}",
    "2 bits, recovered": "{method: quantize, bits: 2, recover: {steps: 2}}",
    "pruned": "{method: prune, density: 0.3}",
    "pruned by layer, recovered": "{method: prune, density: 0.3, pattern: per_layer, recover: {steps: 2}}",
    "pruned little by little": "{method: prune, density: 0.3, gradual: true, recover: {steps: 4}}",
    "2:4": "{method: prune, pattern: '2:4'}",
    "structured, recovered": "{method: prune, density: 0.5, pattern: structured, recover: {epochs: 0.25}}",
    "low rank": "{method: low_rank, rank_ratio: 0.25}",
    "energy, recovered": "{method: low_rank, energy: 0.5, recover: {steps: 2}}",
    "distilled": "{method: distill, student_params: 2k}",
    "pruned and quantised": "{method: chain, steps: [{method: prune, density: 0.3}, {method: quantize, bits: 4}]}",
    "low rank and quantised": (
        "{method: chain, recover: {steps: 1}, "
        "steps: [{method: low_rank, rank_ratio: 0.25}, {method: quantize, bits: 4}]}"
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=["text", "images"])
def engine_and_plan(request):
    torch.set_num_threads(1)
    ways = "[" + ", ".join(WAYS.values()) + "]"
    text = {"text": TEXT, "images": IMAGES}[request.param]
    plan = make_plan(parse_sweep(text, overrides=[f"grid.compression={ways}"]))
    return TorchEngine(plan.context), plan


@pytest.fixture(scope="module")
def states(engine_and_plan) -> dict[str, TrainState]:
    engine, plan = engine_and_plan
    found: dict[str, TrainState] = {}
    for stage in plan.tree:
        if stage.kind != "evaluate":
            found[stage.id] = engine.train(stage, found.get(stage.parent or ""))
    return found


def leaves(plan):
    """Evaluate stages of the compressed cells, by what was done to them."""
    found = [stage for stage in plan.tree if stage.cell is not None and stage.cell.compressed is not None]
    return dict(zip(WAYS, found, strict=True))


def test_every_registered_compressor_is_tried():
    assert {text.split("method: ")[1].split(",")[0] for text in WAYS.values()} >= set(COMPRESSORS.builtin)


@pytest.mark.parametrize("way", WAYS)
def test_a_model_file_is_read_again_to_the_bit_and_scores_the_same(engine_and_plan, states, way):
    engine, plan = engine_and_plan
    stage = leaves(plan)[way]
    state = states[stage.parent]
    model = model_of(plan.context, stage.shape, state, data="pretrain")
    written = to_bytes(model)
    again = from_bytes(written)
    assert again.about == model.about
    assert all(np.array_equal(again.arrays[name], array) for name, array in model.arrays.items())
    module = engine.build_shape(stage.shape, 99, "pretrain")
    for fact in again.about["facts"]:
        module = COMPRESSORS.load_training(fact["method"])().restructure(module, fact)
    load_arrays(again.arrays, module)
    row = engine.measure(stage, state)
    assert engine.data("pretrain").val_scores(module)["val_loss"] == row["val_loss"]
    assert row["model_bytes"] == len(written)
    assert 0 < row["epsilon"] < 1
    assert row["epsilon"] == len(written) / state.reference["model_bytes"]


@pytest.mark.parametrize("way", WAYS)
def test_compressing_again_gives_the_same_bits_and_survives_a_checkpoint(engine_and_plan, states, way):
    engine, plan = engine_and_plan
    stage = plan.tree.stages[leaves(plan)[way].parent]
    parent = state_of(checkpoint_of(states[stage.parent]))
    first, again = states[stage.id], TorchEngine(plan.context).train(stage, parent)
    for name, array in first.model.items():
        assert np.array_equal(again.model[name], array), name
    assert (again.facts, again.step, again.phase) == (first.facts, stage.steps, stage.phase)
    kept = state_of(checkpoint_of(again))
    assert (kept.facts, kept.phase, kept.reference) == (again.facts, again.phase, again.reference)
    restored(engine.build_shape(stage.shape, 7, "pretrain"), kept)


def row_of(engine_and_plan, states, way):
    engine, plan = engine_and_plan
    stage = leaves(plan)[way]
    return engine.measure(stage, states[stage.parent]), states[stage.parent]


@pytest.mark.parametrize(("way", "bits"), [("8 bits", 8), ("4 bits", 4), ("3 bits", 3), ("2 bits, recovered", 2)])
def test_quantised_weights_are_few_numbers_and_packed_without_gaps(engine_and_plan, states, way, bits):
    row, state = row_of(engine_and_plan, states, way)
    (fact,) = state.facts
    inside = sum(state.model[name].size for name in fact["quantized"])
    for name in fact["quantized"]:
        for channel in state.model[name]:
            assert len(np.unique(channel)) <= 2**bits - 1
    total = leaves(engine_and_plan[1])[way].shape.params_total
    scales = sum(state.model[name + "_scale"].size for name in fact["quantized"])
    written, full = row["bits_per_param"] * total, inside * bits + 32 * (scales + total - inside)
    assert written <= 1.02 * full
    if bits > 2:  # of three numbers the zero is so frequent that a mask may take less room
        assert written == pytest.approx(full, rel=0.02)


@pytest.mark.parametrize("way", ["pruned", "pruned by layer, recovered", "pruned little by little"])
def test_pruned_weights_stay_zero_through_recovery(engine_and_plan, states, way):
    engine, plan = engine_and_plan
    row, state = row_of(engine_and_plan, states, way)
    names = [name for name, _ in engine.family.weights(leaves(plan)[way].shape)]
    kept = sum(int((state.model[name] != 0).sum()) for name in names)
    total = sum(state.model[name].size for name in names)
    assert row["density"] == kept / total == pytest.approx(0.3, abs=0.01)


def test_two_of_every_four_neighbours_are_left(engine_and_plan, states):
    engine, plan = engine_and_plan
    _, state = row_of(engine_and_plan, states, "2:4")
    for name, _ in engine.family.weights(leaves(plan)["2:4"].shape):
        assert ((state.model[name].reshape(-1, 4) != 0).sum(1) == 2).all()


def test_structured_pruning_leaves_a_smaller_dense_model(engine_and_plan, states):
    engine, plan = engine_and_plan
    row, state = row_of(engine_and_plan, states, "structured, recovered")
    stage = leaves(plan)["structured, recovered"]
    for group in engine.family.unit_groups(stage.shape):
        for name, axis, outer in group.members:
            whole = engine.build_shape(stage.shape, 0, "pretrain").state_dict()[name].shape[axis]
            kept = max(1, round(0.5 * group.units))
            assert state.model[name].shape[axis] == whole // group.units * kept
            assert outer in (1, 3)
    assert 0.4 < row["density"] < 0.9
    foreseen = density_left(0.5, engine.family.weights(stage.shape), engine.family.unit_groups(stage.shape))
    assert row["density"] == pytest.approx(foreseen)
    told = f"structured, density 0.5 leaves {foreseen:.2g} of the weights"
    missed = foreseen > 0.55
    assert any(told in warning and "grid.compression[10]" in warning for warning in plan.warnings) == missed
    assert (told in (row["warnings"] or "")) == missed
    assert row["model_bytes"] < 0.9 * state.reference["model_bytes"]


def test_a_compression_that_makes_nothing_smaller_says_so():
    overrides = ["grid.compression=[{method: low_rank, energy: 0.999999}]"]
    plan = make_plan(parse_sweep(TEXT, overrides=overrides))
    engine, states = TorchEngine(plan.context), {}
    for stage in plan.tree:
        if stage.kind != "evaluate":
            states[stage.id] = engine.train(stage, states.get(stage.parent or ""))
        elif stage.cell.compressed:
            row = engine.measure(stage, states[stage.parent])
    assert row["rank_ratio"] == 1
    assert "nothing became smaller" in row["warnings"]


@pytest.mark.parametrize("way", ["low rank", "energy, recovered"])
def test_factors_are_kept_only_where_they_save_parameters(engine_and_plan, states, way):
    engine, plan = engine_and_plan
    row, state = row_of(engine_and_plan, states, way)
    sizes = dict(engine.family.weights(leaves(plan)[way].shape))
    ranks = state.facts[0]["ranks"]
    assert ranks
    for name, rank in ranks.items():
        outputs, inputs = sizes[name][0], int(np.prod(sizes[name][1:]))
        assert rank * (outputs + inputs) < outputs * inputs
        layer = name.removesuffix(".weight")
        assert state.model[f"{layer}.0.weight"].shape[0] == state.model[f"{layer}.1.weight"].shape[1] == rank
    assert row["rank_ratio"] < 1


def test_a_student_is_a_model_of_its_own_size(engine_and_plan, states):
    _, plan = engine_and_plan
    row, state = row_of(engine_and_plan, states, "distilled")
    stage = leaves(plan)["distilled"]
    assert stage.shape.params_non_embedding < stage.cell.parent.shape.params_non_embedding
    assert (state.facts, row["density"], row["bits_per_param"]) == ((), 1, 32)


def test_fidelity_is_what_is_left_of_the_parents_quality(engine_and_plan, states):
    _, plan = engine_and_plan
    row, state = row_of(engine_and_plan, states, "8 bits")
    if plan.context.manifest.tokens_per_example:
        assert row["fidelity"] == np.exp(state.reference["val_loss"] - row["val_loss"])
    else:
        assert row["fidelity"] == row["accuracy"] / state.reference["accuracy"]
    assert row["fidelity"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("{method: prune, pattern: '3:7'}", "no multiple of 7"),
        ("{method: prune, density: 1e-6}", "leaves no weight"),
        ("{method: low_rank, rank_ratio: 0.95}", "saves nothing"),
        ("{method: distill, student_params: 6.9k}", "no smaller than its teacher"),
    ],
)
def test_what_does_not_fit_is_refused_when_planned(way, words):
    with pytest.raises(BadInput, match=words):
        make_plan(parse_sweep(TEXT, overrides=[f"grid.compression=[{way}]"]))
