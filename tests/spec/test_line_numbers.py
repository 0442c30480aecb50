"""Where a sweep was read: named by planning's refusals, and no part of what the sweep says."""

from __future__ import annotations

import pickle

import pytest

from orchestrator.errors import BadInput
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep

TEXT = """\
name: s
data: {source: python-stdlib, max_examples: 64}
model: {family: transformer, context: 16}
grid:
  params: [7k]
  compression:
    - {method: quantize, bits: 8}
    - {method: prune, pattern: '3:7'}
"""


def test_what_planning_refuses_has_file_line_and_key():
    with pytest.raises(BadInput, match=r"^mine\.yaml:8: grid\.compression\[1\]: pattern 3:7: "):
        make_plan(parse_sweep(TEXT, name="mine.yaml"))
    more = "grid.compression=[{method: distill, student_params: 6.9k}]"
    with pytest.raises(BadInput, match=r"^override .*: grid\.compression\[0\]\.student_params: the nearest model"):
        make_plan(parse_sweep(TEXT, name="mine.yaml", overrides=[more]))


def test_a_student_that_can_not_be_built_is_named_as_the_student():
    more = "grid.compression=[{method: distill, student_params: 1}]"
    with pytest.raises(BadInput, match=r"grid\.compression\[0\]\.student_params: the smallest transformer .* size$"):
        make_plan(parse_sweep(TEXT, name="mine.yaml", overrides=[more]))


def test_sweeps_that_say_the_same_are_equal_wherever_they_were_read():
    first, second = parse_sweep(TEXT, name="a.yaml"), parse_sweep("\n" + TEXT, name="b.yaml")
    assert first == second
    assert (first.at("grid", "params"), second.at("grid", "params")) == (
        "a.yaml:5: grid.params",
        "b.yaml:6: grid.params",
    )
    assert pickle.loads(pickle.dumps(first)).at("grid") == "a.yaml:4: grid"
