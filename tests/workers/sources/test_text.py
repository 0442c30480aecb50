from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestrator.errors import BadInput
from workers.sources.python_stdlib import PythonStdlib
from workers.sources.splits import ByteWindows
from workers.sources.text import TextFiles


def test_windows_follow_one_another_and_targets_are_one_byte_on() -> None:
    split = ByteWindows(np.frombuffer(b"abcdefghijk", np.uint8), 4)
    assert len(split) == 2
    x, y = split.batch(np.array([1, 0]))
    assert [bytes(row.astype(np.uint8)) for row in x] == [b"efgh", b"abcd"]
    assert [bytes(row.astype(np.uint8)) for row in y] == [b"fghi", b"bcde"]
    with pytest.raises(IndexError):
        split.batch(np.array([2]))


def test_text_that_just_lacks_a_target_makes_no_window() -> None:
    assert len(ByteWindows(np.zeros(4, np.uint8), 4)) == 0
    assert len(ByteWindows(np.zeros(5, np.uint8), 4)) == 1


def test_copies_and_places_of_files_change_nothing(text_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "renamed.txt").write_bytes((text_folder / "one.txt").read_bytes())
    both = [str(text_folder / "below" / "two.md"), str(tmp_path / "renamed.txt"), str(text_folder / "copy.txt")]
    assert TextFiles.manifest({"paths": both}, context=64) == TextFiles.manifest(
        {"paths": [str(text_folder)]}, context=64
    )


def test_digest_follows_the_text_and_the_context(tmp_path: Path) -> None:
    text = tmp_path / "a.dat"
    text.write_bytes(np.random.default_rng(0).bytes(200_000))
    options = {"paths": [str(text)]}
    digests = {TextFiles.manifest(options, context=context).digest for context in (32, 64)}
    text.write_bytes(text.read_bytes()[:-1] + b"!")
    assert len(digests | {TextFiles.manifest(options, context=32).digest}) == 3


def test_one_file_is_enough_and_about_a_tenth_is_held_back(tmp_path: Path) -> None:
    text = tmp_path / "book"
    text.write_bytes(np.random.default_rng(0).bytes(1_200_000))
    manifest = TextFiles.manifest({"paths": [str(text)]}, context=64)
    held = manifest.val_examples + manifest.test_examples
    assert 0.05 < held / (held + manifest.train_examples) < 0.16


@pytest.mark.parametrize(
    ("content", "path", "says"),
    [
        (None, "absent.txt", "doesn't exist"),
        (b"", "empty.txt", "is empty"),
        (b"a few words", "small.txt", "too small"),
        (b"\0\1", "weights.bin", "holds no text file"),
    ],
)
def test_text_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None, path: str, says: str) -> None:
    if content is not None:
        (tmp_path / path).write_bytes(content)
    where = tmp_path if path.endswith(".bin") else tmp_path / path
    with pytest.raises(BadInput, match=says):
        TextFiles.manifest({"paths": [str(where)]}, context=64)


def test_the_standard_library_gives_ten_megabytes_to_train_on() -> None:
    data = PythonStdlib.load({}, context=64)
    assert 7e6 < data.manifest.train_examples * 64 < 15e6
    held = data.manifest.val_examples + data.manifest.test_examples
    assert 0.05 < held / data.manifest.train_examples < 0.2
    x, _ = data.train.batch(np.arange(2_000))
    text = x.astype(np.uint8).tobytes()
    assert b"import " in text
    assert b"def " in text
