"""Tasks downstream: questions are read before anything starts, and answered by likelihood."""

from __future__ import annotations

import json
import math

import pytest
import torch

from orchestrator.errors import BadInput
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.spec.registries import METRICS
from orchestrator.store import query
from tests.execution.local import LocalRun, new_store
from workers.tasks.byte_model import ByteModel
from workers.tasks.conformance import broken_promises

SWEEP = """\
name: asked
data: {source: python-stdlib, max_examples: 256, eval_examples: 32}
model: {family: transformer, context: 32}
grid: {params: [2k], data_fraction: [0.5, 1.0], epochs: [1]}
train: {batch_size: 16, warmup_steps: 3}
inference: {measure: false}
evaluate:
  - {name: next, kind: multiple_choice, items: 20}
  - {name: arith, kind: exact_match, path: %s}
"""


class Counting(torch.nn.Module):
    """After a byte b it is sure by 0.9 that b + 1 follows; it must not see what comes later."""

    def forward(self, tokens_BT):
        logits = torch.full((*tokens_BT.shape, 256), math.log(0.1 / 255))
        return logits.scatter(-1, ((tokens_BT + 1) % 256)[..., None], math.log(0.9))


@pytest.fixture
def counting():
    return ByteModel(Counting(), 8, torch.device("cpu"))


def test_likelihoods_are_those_of_the_bytes_however_long_and_in_whatever_company(counting):
    sure, unsure = math.log(0.9), math.log(0.1 / 255)
    pairs = [(b"ab", b"cd"), (b"ab", b"xd"), (b"", b"b"), (b"a" * 50, bytes(range(98, 98 + 20)))]
    expected = [2 * sure, 2 * unsure, unsure, 20 * sure]
    assert counting.log_likelihoods(pairs) == pytest.approx(expected)
    assert [counting.log_likelihoods([pair])[0] for pair in pairs] == pytest.approx(expected)
    assert counting.greedy([b"ab", b"x"], [3, 1]) == [b"cde", b"y"]


def test_a_right_choice_is_the_likeliest_per_byte_and_all_kinds_count_bits_alike(counting):
    choice = METRICS.load("multiple_choice")()
    items = [
        {"question": "ab", "choices": ["cdefgh", "x"], "answer": 0},
        {"question": "ab", "choices": ["c", "x"], "answer": 1},
    ]
    found = choice.score(counting, items)
    assert (found["accuracy"], found["chance"]) == (0.5, 0.5)
    assert found["bits_per_byte"] == pytest.approx(-(6 * math.log2(0.9) + math.log2(0.1 / 255)) / 7)
    text = METRICS.load("perplexity")().score(counting, [{"text": "abcd"}])
    assert text == pytest.approx({"bits_per_byte": -math.log2(0.9), "perplexity": 1 / 0.9})
    match = METRICS.load("exact_match")().score(
        counting, [{"prompt": "ab", "answer": "cd"}, {"prompt": "a", "answer": "c"}]
    )
    assert match["accuracy"] == 0.5


@pytest.mark.parametrize("kind", sorted(METRICS.builtin))
def test_every_kind_keeps_its_promises(kind):
    assert broken_promises(METRICS.load(kind)()) == []


WRONG = {
    "": "holds no question",
    "{": "arith.jsonl:1: no JSON",
    "[]": "arith.jsonl:1: no question of kind exact_match: a question is a mapping",
    '\n{"prompt": "1 + 1 = "}': "arith.jsonl:2: no question of kind exact_match: it has no 'answer'",
    '{"prompt": "1 + 1 = ", "answer": 2}': "'answer' is int and should be str",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_file_without_answers_is_refused_at_its_line_before_anything_starts(tmp_path, text):
    (tmp_path / "arith.jsonl").write_text(text)
    with pytest.raises(BadInput, match=r"s\.yaml:9: evaluate\[1\]\.path: ") as refused:
        make_plan(parse_sweep(SWEEP % (tmp_path / "arith.jsonl"), name="s.yaml"))
    assert WRONG[text] in str(refused.value)


def test_what_can_not_be_asked_is_refused(tmp_path):
    missing = SWEEP % (tmp_path / "none.jsonl")
    with pytest.raises(BadInput, match=r"evaluate\[1\]\.path: .*none\.jsonl can't be read"):
        make_plan(parse_sweep(missing))
    with pytest.raises(BadInput, match=r"evaluate\[1\]\.kind: unknown kind of task 'exact'; did you mean"):
        parse_sweep(missing.replace("exact_match", "exact"))
    images = missing.replace("python-stdlib", "digits").replace("transformer, context: 32", "resnet")
    with pytest.raises(BadInput, match="evaluate: tasks are read as bytes, and digits has none"):
        make_plan(parse_sweep(images))
    with pytest.raises(BadInput, match="next is taken already"):
        make_plan(parse_sweep(missing.replace("arith, kind: exact_match", "next, kind: perplexity")))


def test_scores_stand_with_the_row_and_in_a_table_and_other_questions_are_other_cells(tmp_path):
    path = tmp_path / "arith.jsonl"
    path.write_text('{"prompt": "1 + 1 = ", "answer": "2"}\n{"prompt": "1 + 2 = ", "answer": "3"}\n')
    store = new_store(tmp_path / "store")
    run = LocalRun(SWEEP % path, store).run()
    store.save_sweep("asked", {"sweep": {}, "task": "", "cells": [cell.id for cell in run.plan.cells]})
    rows = store.results().to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok"], [row["error"] for row in rows]
    scores = json.loads(rows[0]["metrics"])
    kinds = {"next": ["accuracy", "bits_per_byte", "chance"], "arith": ["accuracy", "bits_per_byte"]}
    assert sorted(scores) == sorted(f"{name}.{metric}" for name, metrics in kinds.items() for metric in metrics)
    assert scores["next.chance"] == 0.25
    assert 2 < scores["next.bits_per_byte"] < 8
    sql = f"select name, metric, value from task_scores where cell_id = '{rows[0]['cell_id']}'"
    assert {f"{row['name']}.{row['metric']}": row["value"] for row in query(store, sql)} == scores
    first = {cell.id for cell in run.plan.cells}
    assert {cell.id for cell in make_plan(parse_sweep(SWEEP % path)).cells} == first
    path.write_text('{"prompt": "1 + 1 = ", "answer": "2"}\n')
    assert not {cell.id for cell in make_plan(parse_sweep(SWEEP % path)).cells} & first
