"""What can't be a sweep file is refused before it is parsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import BadInput
from orchestrator.spec import load_sweep

GOOD = b"name: a\ngrid: {params: 1k}\n"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"name: \xff\n", ":1: not UTF-8"),
        (GOOD.decode().encode("utf-16"), "not UTF-8"),
        (b"#" * 1_000_001, "larger than 1 MB"),
        (b"name: a\n\0", "s.yaml:2: a NUL byte"),
        (b"", "scalaw init"),
    ],
)
def test_wrong_file_is_refused(tmp_path: Path, content: bytes, hint: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as refused:
        load_sweep(path)
    assert str(path) in str(refused.value)
    assert hint in str(refused.value)


def test_missing_file_folder_and_impossible_path_are_refused(tmp_path: Path) -> None:
    for path, hint in ((tmp_path / "no.yaml", "no such file"), (tmp_path, "is a folder"), ("a\0b", "can't be read")):
        with pytest.raises(BadInput, match=hint):
            load_sweep(path)


def test_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n"))
    assert load_sweep(str(path)).name == "a"
