"""The JSON Schema agrees with the loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.spec import json_schema, starter_sweep
from orchestrator.spec.yaml.parser import parse_document

_HERE = Path(__file__).parent
_EXAMPLES = [_HERE / "full.yaml", _HERE / "quickstart.yaml", *sorted((_HERE.parents[1] / "sweeps").rglob("*.yaml"))]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", _EXAMPLES, ids=[p.name for p in _EXAMPLES])
def test_sweeps_of_ours_are_valid(validator: jsonschema.Draft202012Validator, path: Path) -> None:
    assert [e.message for e in validator.iter_errors(parse_document(path.read_text(), path.name).data)] == []


def test_starter_sweep_is_valid(validator: jsonschema.Draft202012Validator) -> None:
    assert validator.is_valid(parse_document(starter_sweep(), "s").data)


@pytest.mark.parametrize(
    ("extra", "valid"),
    [
        ("train: {batch_size: 1_6}", True),
        ("data: {source: fake, examples: 2k, max_examples: 1k}", True),
        ("data: {max_examples: 1k}", True),
        ("data: {source: text, paths: [a]}", True),
        ("data: {source: text}", False),
        ("data: {source: fake, clases: 3}", False),
        ("data: {source: nothing}", False),
        ("data: {examples: 3}", False),
        ("model: {family: resnet, block: bottleneck}", True),
        ("model: {family: resnet, context: 3}", False),
        ("model: {family: transformer, context: 0}", False),
        ("train: {learning_rate: auto}", True),
        ("train: {learning_rate: atuo}", False),
        ("train: {learning_rate: 0}", False),
        ("train: {gradient_clip: null}", True),
        ("fit: {hold_out: 0.3}", True),
        ("fit: {hold_out: 1.5}", False),
        ("trian: {}", False),
    ],
)
def test_plug_in_keys_and_ranges_are_in_it(validator: jsonschema.Draft202012Validator, extra: str, valid: bool) -> None:
    data = parse_document(f"name: a\ngrid: {{params: 1k}}\n{extra}\n", "s").data
    assert validator.is_valid(data) is valid


@pytest.mark.parametrize(
    ("grid", "valid"),
    [
        ("params: 25k", True),
        ("params: [25k, 1e6]", True),
        ("params: []", False),
        ("params: 25q", False),
        ("epochs: 1", False),
        ("params: 1k, compression: [{method: prune, pattern: '2:4'}]", True),
        ("params: 1k, compression: [{method: quantize}]", False),
        ("params: 1k, compression: [{method: squash}]", False),
        ("params: 1k, finetune: {data: {source: text, paths: [a]}, examples: 1k}", True),
        ("params: 1k, finetune: {data: nothing, examples: 1k}", False),
    ],
)
def test_grid_is_in_it(validator: jsonschema.Draft202012Validator, grid: str, valid: bool) -> None:
    assert validator.is_valid(parse_document(f"name: a\ngrid: {{{grid}}}\n", "s").data) is valid


def test_every_whole_number_has_an_upper_bound() -> None:
    unbounded = []

    def look(node: Any, path: str, bounded: bool) -> None:
        if isinstance(node, dict):
            bounded = bounded or bool({"maximum", "exclusiveMaximum", "enum"} & node.keys())
            if node.get("type") == "integer" and not bounded:
                unbounded.append(path)
            for key, below in node.items():
                look(below, f"{path}/{key}", bounded and key in ("anyOf", "items"))
        elif isinstance(node, list):
            for below in node:
                look(below, path, bounded)

    look(json_schema(), "", False)
    assert not unbounded
