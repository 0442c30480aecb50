"""Token shards: every format gives the tokens that were written, and what can't be right is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from orchestrator.errors import BadOption
from workers.sources.tokens import fingerprint, shard_reader
from workers.sources.tokens.source import Tokens

TRAIN = np.random.default_rng(0).integers(0, 500, 1_001)
VAL = np.random.default_rng(1).integers(0, 500, 321)
CONTEXT = 16


def load(*paths: Path, **options: Any):
    chosen = {"paths": [str(path) for path in paths], "vocabulary": 512, **options}
    return Tokens.load(chosen, context=CONTEXT)


def read(split) -> np.ndarray:
    """Return the run of tokens that a split's windows make."""
    x, y = split.batch(np.arange(len(split)))
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    return np.append(x.ravel(), y[-1, -1])


def with_header(magic: int, tokens: np.ndarray) -> bytes:
    header = np.zeros(256, "<i4")
    header[:3] = magic, 1, len(tokens)
    return header.tobytes() + tokens.tobytes()


def write(path: Path, tokens: np.ndarray) -> Path:
    kind = path.name.split(".", 1)[1]
    flat = path.with_suffix("." + kind.rsplit(".", 1)[-1])
    rows = np.split(tokens, [100, 101, 500])
    if kind == "u16.bin":
        tokens.astype("<u2").tofile(flat)
    elif kind == "head16.bin":
        flat.write_bytes(with_header(20240520, tokens.astype("<u2")))
    elif kind == "head32.bin":
        flat.write_bytes(with_header(20240801, tokens.astype("<u4")))
    elif kind.endswith("npy"):
        np.save(flat, tokens.astype({"i32.npy": "<i4", "u16.npy": "<u2"}[kind]))
    elif kind == "lists.parquet":
        pq.write_table(pa.table({"input_ids": rows, "text": [""] * 4}), flat)
    elif kind == "column.parquet":
        pq.write_table(pa.table({"tokens": tokens}), flat)
    else:
        table = pa.table({"ids": pa.array(rows, pa.large_list(pa.int32()))})
        with pa.OSFile(str(flat), "wb") as sink:
            make = pa.ipc.new_stream if kind == "stream.arrow" else pa.ipc.new_file
            with make(sink, table.schema) as writer:
                writer.write_table(table, max_chunksize=2)
    return flat


KINDS = ["u16.bin", "head16.bin", "head32.bin", "u16.npy", "i32.npy"]
COLUMNS = ["lists.parquet", "column.parquet", "file.arrow", "stream.arrow"]


@pytest.mark.parametrize("kind", KINDS + COLUMNS)
def test_every_format_gives_the_tokens_that_were_written(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("SCALAW_DATA_CACHE", str(tmp_path / "cache"))
    data = load(write(tmp_path / f"train.{kind}", TRAIN), val=[str(write(tmp_path / f"val.{kind}", VAL))])
    np.testing.assert_array_equal(read(data.train), TRAIN[: 62 * CONTEXT + 1])
    np.testing.assert_array_equal(read(data.val), VAL[: 10 * CONTEXT + 1])
    np.testing.assert_array_equal(read(data.test), VAL[10 * CONTEXT : 20 * CONTEXT + 1])
    assert (data.manifest.classes, data.manifest.tokens_per_example) == (512, CONTEXT)


def test_rows_of_a_column_end_with_the_token_that_ends_a_document(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALAW_DATA_CACHE", str(tmp_path / "cache"))
    rows = [[1, 2, 3], [], [4, 511], [5, 6] * 40]
    pq.write_table(pa.table({"tokens": rows}), tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet", end_of_text=511)
    assert read(data.train)[:8].tolist() == [1, 2, 3, 511, 4, 511, 5, 6]


def test_a_column_file_is_copied_once_and_anew_when_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALAW_DATA_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"tokens": TRAIN}), path)
    first = load(path).manifest.digest
    copies = [p for p in (tmp_path / "cache").iterdir() if p.suffix == ".bin"]
    assert load(path).manifest.digest == first
    assert [p for p in (tmp_path / "cache").iterdir() if p.suffix == ".bin"] == copies
    pq.write_table(pa.table({"tokens": TRAIN[::-1]}), path)
    assert load(path).manifest.digest != first


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three shards of 5, 0 and 9 windows, and one for validation."""
    rng = np.random.default_rng(2)
    for name, tokens in (("a_000.bin", 5 * CONTEXT + 3), ("a_001.bin", CONTEXT), ("a_002.bin", 9 * CONTEXT + 1)):
        rng.integers(0, 500, tokens).astype("<u2").tofile(tmp_path / name)
    VAL.astype("<u2").tofile(tmp_path / "a_val_000.bin")
    return tmp_path


def expected(folder: Path) -> np.ndarray:
    """Return windows and the token after each, by the definition."""
    found = []
    for name in ("a_000.bin", "a_001.bin", "a_002.bin"):
        tokens = np.fromfile(folder / name, "<u2").astype(np.int64)
        found += [tokens[i * CONTEXT : (i + 1) * CONTEXT + 1] for i in range((len(tokens) - 1) // CONTEXT)]
    return np.array(found)


def test_no_window_lies_across_two_shards(shards):
    data = load(shards)
    assert (len(data.train), len(data.val), len(data.test)) == (14, 10, 10)
    x, y = data.train.batch(np.arange(14))
    np.testing.assert_array_equal(np.concatenate([x, y[:, -1:]], axis=1), expected(shards))


def test_windows_on_a_device_are_those_on_the_host(shards):
    data = load(shards)
    for split in (data.train, data.test):
        gather, order = split.upload(torch.device("cpu")), np.array([len(split) - 1, 0, 5, 4, 5])
        for there, here in zip(gather(torch.from_numpy(order)), split.batch(order), strict=True):
            np.testing.assert_array_equal(there.numpy(), here)
            assert there.is_contiguous()


@pytest.mark.parametrize(("dtype", "largest"), [("<u2", 65_535), ("<u4", 2**24 - 1)])
def test_the_largest_tokens_of_a_type_keep_their_value(dtype, largest, tmp_path):
    np.full(200, largest).astype(dtype).tofile(tmp_path / "a.bin")
    data = load(tmp_path / "a.bin", vocabulary=largest + 1)
    assert data.train.batch(np.array([0]))[0].tolist() == [[largest] * CONTEXT]
    assert data.train.upload(torch.device("cpu"))(torch.tensor([0]))[1].tolist() == [[largest] * CONTEXT]


def test_without_a_validation_file_the_last_windows_are_held_back(tmp_path):
    tokens = np.arange(300 * CONTEXT + 1) % 500
    tokens.astype("<u2").tofile(tmp_path / "a.bin")
    data = load(tmp_path / "a.bin")
    assert (len(data.train), len(data.val), len(data.test)) == (294, 3, 3)
    np.testing.assert_array_equal(read(data.val), tokens[294 * CONTEXT : 297 * CONTEXT + 1])
    np.testing.assert_array_equal(read(data.test), tokens[297 * CONTEXT : 300 * CONTEXT + 1])


def test_an_own_validation_file_is_not_trained_on(tmp_path):
    for name, tokens in (("all.bin", TRAIN), ("other.bin", VAL)):
        tokens.astype("<u2").tofile(tmp_path / name)
    data = load(tmp_path, val=str(tmp_path / "other.bin"))
    assert len(data.train) == 62
    np.testing.assert_array_equal(read(data.val), VAL[: 10 * CONTEXT + 1])


def test_identity_is_the_content_and_not_the_place(shards, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    for file in shards.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    same = load(shards).manifest.digest
    assert load(other).manifest.digest == same
    tokens = np.fromfile(other / "a_002.bin", "<u2")
    tokens[7] ^= 1
    tokens.tofile(other / "a_002.bin")
    assert len({same, load(other).manifest.digest, load(shards, vocabulary=600).manifest.digest}) == 3
    assert load(shards, end_of_text=3).manifest.digest == same
    assert load(shards, end_of_text=3, document_mask=True).manifest.digest != same


def test_a_large_set_is_known_by_samples_and_says_so(shards, monkeypatch):
    assert load(shards).manifest.notes == ()
    monkeypatch.setattr(fingerprint, "WHOLE_BYTES", 100)
    (note,) = load(shards).manifest.notes
    assert "samples" in note
    assert "a_000.bin" in note


def test_a_token_beyond_the_vocabulary_that_no_sample_met_is_refused_when_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "WHOLE_BYTES", 100)
    monkeypatch.setattr(fingerprint, "BLOCKS", 2)
    tokens = np.zeros(40_000, "<u2")
    tokens[10 * CONTEXT + 1] = 600
    tokens.tofile(tmp_path / "a.bin")
    data = load(tmp_path / "a.bin")
    data.train.batch(np.array([9, 11]))
    with pytest.raises(BadOption, match=r"vocabulary: is 512, and .*a\.bin holds token 600"):
        data.train.batch(np.array([10]))


def test_a_large_set_is_read_at_places_with_few_files_open(shards, monkeypatch):
    mapped = load(shards)
    monkeypatch.setattr(shard_reader, "MAPPED_BYTES", 100)
    data = load(shards)
    data.train.reader._most = 1
    assert mapped.train.reader.mapped
    assert not data.train.reader.mapped
    for index in (0, 13, 4, 5, 0):
        for there, here in zip(data.train.batch(np.array([index])), mapped.train.batch(np.array([index])), strict=True):
            np.testing.assert_array_equal(there, here)
        assert len(data.train.reader._files) == 1
    (shards / "a_002.bin").write_bytes(b"")
    data.train.reader._files.clear()
    with pytest.raises(BadOption, match=r"a_002\.bin was cut off while it was read"):
        data.train.batch(np.array([13]))


def tokens_of(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


REFUSED = {
    "an odd byte": (lambda p: tokens_of(p / "a.bin", b"\1" * 201), {}, r"has 201 bytes, 1 more than tokens of"),
    "empty": (lambda p: tokens_of(p / "a.bin", b""), {}, "holds no token"),
    "a small vocabulary": (lambda p: write(p / "a.u16.bin", TRAIN), {"vocabulary": 300}, "is 300, and .* 499"),
    "no vocabulary": (lambda p: write(p / "a.u16.bin", TRAIN), {"vocabulary": None}, "vocabulary: isn't known"),
    "wide tokens": (lambda p: tokens_of(p / "a.bin", TRAIN.astype("<u4").tobytes()), {}, "write dtype: uint32"),
    "a cut header": (lambda p: tokens_of(p / "a.bin", with_header(20240520, TRAIN.astype("<u2"))[:-4]), {}, "cut off"),
    "a cut npy": (lambda p: tokens_of(p / "a.npy", write(p / "b.u16.npy", TRAIN).read_bytes()[:-4]), {}, "cut off"),
    "no npy": (lambda p: tokens_of(p / "a.npy", b"text" * 99), {}, "is no .npy file"),
    "real numbers": (lambda p: tokens_of(p / "a.npy", _npy(np.ones(9))), {}, "1 axes of float64"),
    "too few": (lambda p: write(p / "a.u16.bin", TRAIN[:40]), {}, "too few tokens: the train files hold 40"),
    "nothing": (lambda p: p / "none.bin", {}, "doesn't exist"),
    "no token file": (lambda p: tokens_of(p / "a.txt", b"text"), {}, "is no token file"),
    "a folder without": (lambda p: p, {}, "holds no token file"),
    "no end": (lambda p: write(p / "a.u16.bin", TRAIN), {"document_mask": True}, "document_mask: needs to know"),
    "negative": (lambda p: tokens_of(p / "a.npy", _npy(-np.ones(99, "<i4"))), {}, "holds token 4,294,967,295"),
}  # fmt: skip


def _npy(array: np.ndarray) -> bytes:
    from io import BytesIO

    np.save(file := BytesIO(), array)
    return file.getvalue()


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_right_is_refused_in_one_line(why, tmp_path):
    make, options, words = REFUSED[why]
    path = make(tmp_path)
    with pytest.raises(BadOption, match=words) as refusal:
        load(path, **options)
    assert "\n" not in str(refusal.value)


def test_shards_of_mixed_type_are_refused(tmp_path):
    paths = [write(tmp_path / "a.u16.bin", TRAIN), write(tmp_path / "b.i32.npy", TRAIN)]
    with pytest.raises(BadOption, match=r"a\.u16\.bin holds uint16 and .*b\.i32\.npy uint32: shards of one data set"):
        load(*paths)


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ({"text": ["a"]}, "auto", "no column of tokens that is known by name; its columns are text"),
        ({"tokens": [1], "ids": [1]}, "auto", "several columns of tokens"),
        ({"tokens": [1]}, "token", "no column 'token'"),
        ({"tokens": [1.5]}, "auto", "are double"),
        ({"tokens": [[1], None]}, "auto", "are nulls"),
        ({"tokens": [[70_000]]}, "auto", "holds 70,000, which is no token of uint16"),
    ],
)
def test_columns_that_hold_no_tokens_are_refused(table, column, words, tmp_path, monkeypatch):
    monkeypatch.setenv("SCALAW_DATA_CACHE", str(tmp_path / "cache"))
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(BadOption, match=words):
        load(tmp_path / "a.parquet", column=column)
