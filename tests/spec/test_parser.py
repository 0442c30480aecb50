"""The loader reads YAML 1.2 scalars and knows where everything stands."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import BadInput
from orchestrator.spec.yaml.document import Mark
from orchestrator.spec.yaml.parser import MAX_DEPTH, MAX_VALUES, parse_document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("OFF", "OFF"), ("y", "y"),
        ("7", 7), ("-7", -7), ("+7", 7), ("0", 0), ("1_000", 1000),
        ("1e9", 1e9), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("-1E-3", -1e-3), ("1_0.5", 10.5),
        ("25k", "25k"), ("1:30", "1:30"), ("0x1F", "0x1F"), ("0o17", "0o17"), ("2026-01-02", "2026-01-02"),
        ("1__0", "1__0"), ("'7'", "7"), ('"true"', "true"), (".", "."), ("e5", "e5"), ("2:4", "2:4"),
    ],
)  # fmt: skip
def test_scalar_means_what_yaml_1_2_says(text: str, value: object) -> None:
    read = parse_document(f"[{text}]" if text else "[~]", "s").data[0]
    assert read == value
    assert type(read) is type(value)


def test_every_key_and_entry_has_its_place() -> None:
    document = parse_document("a: 1\nb:\n  - x\n  - c: {d: 2}\n", "s.yaml")
    assert document.data == {"a": 1, "b": ["x", {"c": {"d": 2}}]}
    assert document.marks[("a",)] == Mark(1, 1)
    assert document.marks[("b", 0)] == Mark(3, 5)
    assert document.marks[("b", 1, "c", "d")] == Mark(4, 9)
    assert document.place(("b", 1, "c", "e"))[0] == "s.yaml:4"


def test_honest_aliases_are_taken() -> None:
    document = parse_document("a: &x [1, 2]\nb: *x\nc: {d: *x}\n", "s")
    assert document.data == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


def test_block_text_and_comments_are_kept_out_of_the_rules_for_keys() -> None:
    document = parse_document("%YAML 1.2\n---\n# c\na: |\n  b: 1\n  b: 2\n...\n", "s")
    assert document.data == {"a": "b: 1\nb: 2\n"}


def test_limits_are_exact() -> None:
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_document(deepest, "s").data is not None
    with pytest.raises(BadInput, match="32 levels"):
        parse_document(f"[{deepest}]", "s")
    most = "[" + ", ".join(["1"] * (MAX_VALUES - 1)) + "]"
    assert len(parse_document(most, "s").data) == MAX_VALUES - 1
    with pytest.raises(BadInput, match="values"):
        parse_document(most.replace("[", "[1, "), "s")


def test_alias_counts_as_what_it_repeats() -> None:
    half = ", ".join(["1"] * (MAX_VALUES // 2))
    with pytest.raises(BadInput, match="s:2: b: more than 2,000 values"):
        parse_document(f"a: &x [{half}]\nb: *x\n", "s")
    deep = "[" * 20 + "]" * 20
    with pytest.raises(BadInput, match="nests deeper than 32"):
        parse_document(f"a: &x {deep}\nb: {'[' * 14}*x{']' * 14}\n", "s")


_YAMLISH = st.text(alphabet=st.sampled_from("ab:-,[]{}\"'&*!|>%#? \n\t01.~<\\@"), max_size=60)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=40), _YAMLISH))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    refusal = None
    try:
        parse_document(text, "s")
    except BadInput as error:
        refusal = str(error)
    assert refusal is None or (refusal.startswith("s:") and len(refusal.splitlines()) == 1)
