"""``scalaw export``: what it refuses before it trains; tests/execution/test_children.py has it train."""

from __future__ import annotations


def test_refusals_name_the_cell_or_folder_and_write_nothing(scalaw, measured_store, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    (there / "thing").write_text("x")
    cell = f"{3:064x}"
    for arguments, words in (
        (("nothing", "-o", tmp_path / "new"), "no cell whose id begins with 'nothing'; see: scalaw query STORE"),
        (("", "-o", tmp_path / "new"), "36 cells whose id begins with ''"),
        ((cell, "-o", there), "is there already: name a new folder as --out"),
    ):
        answer = scalaw("export", measured_store, *arguments)
        assert answer.code == 2
        assert words in answer.err
        assert answer.out == ""
    assert not (tmp_path / "new").exists()
    assert [path.name for path in there.iterdir()] == ["thing"]
