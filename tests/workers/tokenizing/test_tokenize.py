"""Text becomes the same shards whatever is killed on the way, and what is read is what was written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.errors import BadInput, BadOption
from workers.sources.tokens.source import Tokens
from workers.tokenizing.documents import documents_of, work_of
from workers.tokenizing.job import check, tokenize
from workers.tokenizing.text_tokenizer import LibraryTokenizer

tokenizers = pytest.importorskip("tokenizers")
WORDS = ["law", "loss", "token", "data", "model", "größe", "大小", "compute", "scale", "fit"]


def text(documents: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 120)) + "\n" for _ in range(documents)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 documents in JSON lines, 100 in Parquet, and a file of plain text."""
    root = tmp_path_factory.mktemp("corpus")
    with (root / "a.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": one}) + "\n" for one in text(400))
    pq.write_table(pa.table({"id": range(100), "text": text(100, 1)}), root / "b.parquet", row_group_size=30)
    (root / "c.txt").write_text("".join(text(200, 2)))
    return root


def written(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def documents(folder: Path) -> list[bytes]:
    """Return the documents of byte shards, sorted."""
    tokens = np.concatenate([np.fromfile(path, "<u2") for path in sorted(folder.glob("*.bin"))])
    assert tokens[-1] == 256
    return sorted(bytes(run[:-1].astype(np.uint8)) for run in np.split(tokens, np.flatnonzero(tokens == 256) + 1)[:-1])


def test_every_document_is_written_once_as_its_bytes(corpus, tmp_path):
    found = tokenize([str(corpus / "a.jsonl"), str(corpus / "b.parquet")], str(tmp_path / "s"), processes=1)
    assert documents(tmp_path / "s") == sorted(one.encode() for one in text(400) + text(100, 1))
    assert (found["documents"], found["vocabulary"]) == (500, 257)
    assert found["text_bytes"] == sum(len(one.encode()) for one in text(400) + text(100, 1))
    assert sum(found["tokens"].values()) == found["text_bytes"] + 500


def test_plain_text_is_cut_at_ends_of_lines_and_loses_nothing(corpus):
    for work_bytes in (1_000, 7_777, 10**9):
        pieces = [piece for some in work_of([str(corpus / "c.txt")], work_bytes) for piece in some]
        cut = list(documents_of(pieces, "text", 2_000))
        assert b"".join(cut).decode() == "".join(text(200, 2))
        assert all(one.endswith(b"\n") for one in cut)


def test_pieces_of_work_do_not_change_what_is_written(corpus, tmp_path):
    for name, work_bytes in (("one", 10**9), ("many", 20_000)):
        tokenize([str(corpus / "a.jsonl")], str(tmp_path / name), processes=1, work_bytes=work_bytes)
    assert len(list((tmp_path / "many").glob("train-*.bin"))) > 5
    assert documents(tmp_path / "one") == documents(tmp_path / "many")


def test_a_trained_tokenizer_gives_the_text_back_and_counts_its_bytes(corpus, tmp_path):
    found = tokenize([str(corpus)], str(tmp_path / "s"), train_vocab=300, processes=1)
    assert found["vocabulary"] == 300
    assert found["bytes_per_token"] > 3
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "s" / "tokenizer.json"))
    tokens = np.concatenate([np.fromfile(p, "<u2") for p in sorted((tmp_path / "s").glob("*.bin"))])
    assert "größe" in tokenizer.decode(tokens[:2_000].tolist())
    assert int(np.load(tmp_path / "s" / "token_bytes.npy")[tokens].sum()) == found["text_bytes"]
    data = Tokens.load({"paths": [str(tmp_path / "s")]}, context=32)
    assert data.manifest.classes == 300
    assert data.manifest.digest == Tokens.manifest({"paths": [str(tmp_path / "s")]}, context=32).digest


def test_a_finished_folder_is_left_as_it_is_and_a_damaged_one_written_again(corpus, tmp_path):
    first = tokenize([str(corpus)], str(tmp_path / "s"), processes=1)
    before, times = written(tmp_path / "s"), (tmp_path / "s" / "train-00000.bin").stat().st_mtime_ns
    again = tokenize([str(corpus)], str(tmp_path / "s"), processes=1)
    assert {**again, "skipped": 0} == first
    assert (tmp_path / "s" / "train-00000.bin").stat().st_mtime_ns == times
    (tmp_path / "s" / "train-00000.bin").write_bytes(b"??")
    tokenize([str(corpus)], str(tmp_path / "s"), processes=1)
    assert written(tmp_path / "s") == before


KILLED = """\
import sys
from workers.tokenizing.job import tokenize
if __name__ == "__main__":
    tokenize([sys.argv[1]], sys.argv[2], processes=2, work_bytes=8_000, tell=lambda s: print(s, flush=True))
"""


@pytest.mark.slow
def test_a_killed_call_is_gone_on_from_and_ends_in_the_same_bytes(corpus, tmp_path):
    tokenize([str(corpus)], str(tmp_path / "whole"), processes=1, work_bytes=8_000)
    (tmp_path / "run.py").write_text(KILLED)
    command = [sys.executable, str(tmp_path / "run.py"), str(corpus), str(tmp_path / "s")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    for line in process.stdout:
        if line.startswith("5 of"):
            break
    process.send_signal(signal.SIGKILL)  # the parent alone: its pool must find out by itself
    process.wait()
    until = time.monotonic() + 20
    while _session(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not _session(process.pid)
    assert not (tmp_path / "s" / "tokens.json").exists()
    found = tokenize([str(corpus)], str(tmp_path / "s"), processes=1, work_bytes=8_000)
    assert found["skipped"] >= 5
    left = written(tmp_path / "s")
    assert {name for name in left if not name.startswith(".half-")} == set(written(tmp_path / "whole"))
    assert all(left[name] == data for name, data in written(tmp_path / "whole").items())


def _session(pid: int) -> list[str]:
    found = subprocess.run(["ps", "-o", "pid=", "-s", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.split()


def test_a_shard_that_was_changed_is_refused(corpus, tmp_path):
    tokenize([str(corpus)], str(tmp_path / "s"), processes=1)
    assert check(str(tmp_path / "s"))["shards"] == 3
    shard = tmp_path / "s" / "train-00000.bin"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    for refuse in (
        lambda: Tokens.manifest({"paths": [str(tmp_path / "s")]}, context=32),
        lambda: check(str(tmp_path / "s")),
    ):
        with pytest.raises(BadOption, match=r"train-00000\.bin differs from its checksum"):
            refuse()
    shard.write_bytes(data[:-2])
    with pytest.raises(BadOption, match=r"train-00000\.bin doesn't hold .* tokens of uint16"):
        Tokens.manifest({"paths": [str(tmp_path / "s")]}, context=32)


def test_a_vocabulary_below_the_largest_token_of_the_manifest_is_refused(corpus, tmp_path):
    tokenize([str(corpus)], str(tmp_path / "s"), processes=1)
    with pytest.raises(BadOption, match=r"vocabulary: is 200, and .* holds token 256"):
        Tokens.manifest({"paths": [str(tmp_path / "s")], "vocabulary": 200}, context=32)


def refused(tmp_path: Path) -> dict[str, tuple[dict, str]]:
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    (tmp_path / "no.json").write_text("{}")
    return {
        "no tokenizer": ({"tokenizer": str(tmp_path / "none.json")}, "none.json can't be read: No such file"),
        "no definition": ({"tokenizer": str(tmp_path / "no.json")}, "is no tokenizer.json"),
        "two tokenizers": ({"tokenizer": "byte", "train_vocab": 300}, "leave `tokenizer` out"),
        "few tokens": ({"train_vocab": 100}, "at least 257"),
        "many tokens": ({"train_vocab": 60_000}, "has pairs for"),
        "a share": ({"held_out": 0.7}, "`held_out` must be"),
        "a column": ({"column": "texts"}, "column|field"),
        "other things": ({"out": str(other)}, "holds other things"),
        "nothing held back": ({"held_out": 1e-9}, "no document is left for val"),
    }


def test_what_cannot_be_done_is_one_line(corpus, tmp_path):
    for why, (options, words) in refused(tmp_path).items():
        with pytest.raises(BadInput, match=words) as refusal:
            tokenize([str(corpus)], **{"out": str(tmp_path / why), "processes": 1, **options})
        assert "\n" not in str(refusal.value)


def test_shards_of_another_text_are_not_written_over(corpus, tmp_path):
    tokenize([str(corpus / "a.jsonl")], str(tmp_path / "s"), processes=1)
    with pytest.raises(BadInput, match="shards of other text or another tokenizer"):
        tokenize([str(corpus / "c.txt")], str(tmp_path / "s"), processes=1)


def test_a_tokenizer_that_changes_text_is_told_by_mean_bytes(corpus, tmp_path):
    found = tokenize([str(corpus / "a.jsonl")], str(tmp_path / "own"), train_vocab=300, processes=1)
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "own" / "tokenizer.json"))
    tokenizer.normalizer = tokenizers.normalizers.Replace("ö", "oe-and-more")
    tokenizer.save(str(tmp_path / "t.json"))
    found = tokenize([str(corpus / "a.jsonl")], str(tmp_path / "s"), tokenizer=str(tmp_path / "t.json"), processes=1)
    assert "changes text" in found["warnings"][0]
    data = Tokens.load({"paths": [str(tmp_path / "s")]}, context=32)
    manifest = json.loads((tmp_path / "s" / "tokens.json").read_text())
    (val,) = [shard for shard in manifest["shards"] if shard["split"] == "val"]
    assert data.token_bytes == val["text_bytes"] / val["tokens"]


def test_an_end_of_text_is_found_by_its_usual_names_or_named():
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "</s>": 1, "STOP": 2, "[UNK]": 3}, "[UNK]"))
    assert LibraryTokenizer("file", "t", library.to_str(), None).end_of_text == 1
    assert LibraryTokenizer("file", "t", library.to_str(), "STOP").end_of_text == 2
    with pytest.raises(BadInput, match="has no token 'HALT'"):
        LibraryTokenizer("file", "t", library.to_str(), "HALT")
