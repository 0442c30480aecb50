"""Sweeps over token shards: their own vocabulary, documents apart, sharing exact, bytes where they are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from workers.engine import TorchEngine
from workers.tokenizing.job import tokenize

SWEEP = """\
name: shards
data: {{source: tokens, paths: ["{folder}"], vocabulary: 300, end_of_text: 7, document_mask: {mask}, eval_examples: 32}}
model: {{family: transformer, context: 16}}
grid: {{params: [1k], data_fraction: [0.5, 1.0], epochs: [1, 2]}}
train: {{batch_size: 16, warmup_steps: 4}}
inference: {{measure: false}}
"""


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, tokens in (("train_0.bin", 4_000), ("train_1.bin", 3_000), ("val.bin", 700)):
        rng.zipf(1.3, tokens).clip(0, 299).astype("<u2").tofile(tmp_path / name)
    return tmp_path


def rows(text: str, *, share: bool) -> dict[str, dict]:
    plan = make_plan(parse_sweep(text), share=share)
    engine, states, found = TorchEngine(plan.context), {None: None}, {}
    for stage in plan.tree:
        if stage.kind == "evaluate":
            found[stage.cell.id] = engine.measure(stage, states[stage.parent])
        else:
            states[stage.id] = engine.train(stage, states[stage.parent])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["true", "false"])
def test_a_shared_row_is_that_of_the_cell_trained_alone(mask, folder):
    text = SWEEP.format(folder=folder, mask=mask)
    shared, alone = rows(text, share=True), rows(text, share=False)
    assert len(shared) == 4
    assert {c: (r["val_loss"], r["train_loss"], r["test_loss"]) for c, r in shared.items()} == {
        c: (r["val_loss"], r["train_loss"], r["test_loss"]) for c, r in alone.items()
    }
    assert all(0 < row["val_loss"] < np.log(300) for row in shared.values())
    assert all("bits_per_byte" not in row for row in shared.values())  # nobody has said what a token is in bytes


@pytest.mark.parametrize("tokenizer", ["byte", "trained"])
def test_losses_are_told_in_bits_of_the_bytes_that_the_scored_tokens_stand_for(tokenizer, folder):
    pytest.importorskip("tokenizers")
    (folder / "text.txt").write_text("".join(f"{k} squared is {k * k}\n" for k in range(6_000)))
    options = {"tokenizer": "byte"} if tokenizer == "byte" else {"train_vocab": 300}
    tokenize([str(folder / "text.txt")], str(folder / "s"), processes=1, **options)
    text = (
        f"name: bits\ndata: {{source: tokens, paths: [{folder / 's'}], name: squares, eval_examples: 20}}\n"
        "model: {context: 16}\ngrid: {params: [1k]}\ninference: {measure: false}\n"
    )
    plan = make_plan(parse_sweep(text))
    assert plan.context.manifest.task == "squares"
    (stage,) = [stage for stage in plan.tree if stage.cell]
    engine = TorchEngine(plan.context)
    row = engine.measure(stage, None)
    (shard,) = (folder / "s").glob("val-*.bin")
    targets = np.fromfile(shard, "<u2")[1 : 20 * 16 + 1]
    table = np.load(folder / "s" / "token_bytes.npy")
    if tokenizer == "byte":
        assert table[targets].sum() == len(targets) - np.count_nonzero(targets == 256)
    expected = row["val_loss"] * len(targets) / math.log(2) / int(table[targets].sum())
    assert row["bits_per_byte"] == pytest.approx(expected, rel=1e-12)
