"""JSON lines that nest without end are refused before a parser recurses into them."""

from __future__ import annotations

import json

import pytest

from orchestrator.analysis.tables import read_table
from orchestrator.errors import BadInput

GOOD = json.dumps({"n": 1, "loss": 2.0, "note": "[" * 500 + '\\" {' * 90})


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a": ', "}")])
@pytest.mark.parametrize("depth", [65, 100_000])
def test_a_line_that_nests_too_deep_is_named(tmp_path, opened, closed, depth):
    path = tmp_path / "t.jsonl"
    deep = f'{{"n": 1, "loss": {opened * (depth - 1)}1{closed * (depth - 1)}}}'
    path.write_text(f"{GOOD}\n{deep}\n")
    with pytest.raises(BadInput, match="line 2 nests more than 64 levels deep: a table has one plain value a column"):
        read_table(path)


def test_ten_megabytes_of_it_are_refused_without_reading_further(tmp_path):
    path = tmp_path / "t.jsonl"
    line = '{"n": ' + "[" * 100_000 + "]" * 100_000 + "}\n"
    path.write_text(line * 50)
    assert path.stat().st_size > 10_000_000
    with pytest.raises(BadInput, match="line 1 nests"):
        read_table(path)


def test_brackets_in_text_and_side_by_side_are_no_depth(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(GOOD + "\n" + json.dumps({"n": 2, "loss": 1.5, "note": str([[1, 2]] * 100)}) + "\n")
    assert read_table(path)["n"].to_pylist() == [1, 2]
    path.write_text(json.dumps({"n": 1, "loss": 2.0, "curve": [[1, 2]] * 200}) + "\n")
    assert len(read_table(path)["curve"][0]) == 200
