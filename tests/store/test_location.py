"""What an address that is wrong, taken or out of reach is answered with."""

from __future__ import annotations

import time

import pytest

from orchestrator.errors import BadInput, Unreachable
from orchestrator.store import open_store
from orchestrator.store.local_blobs import LocalBlobs
from orchestrator.store.object_blobs import _reason


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("", "address is empty"),
        ("ftp://host/store", "unknown kind of store"),
        ("s3://", "s3://BUCKET/PREFIX"),
        ("s3://bucket/prefix?region=x", "nothing more"),
        ("file://store", "three slashes"),
        ("~no-such-user-here/store", "no such user"),
    ],
)
def test_a_wrong_address_is_bad_input(uri, says):
    with pytest.raises(BadInput, match=says) as refusal:
        open_store(uri, create=True)
    assert refusal.value.exit_code == 2


def test_credentials_in_the_address_are_refused_and_not_repeated():
    with pytest.raises(BadInput, match="carries credentials") as refusal:
        open_store("s3://key:secret@bucket/prefix", create=True)
    assert "secret" not in str(refusal.value)


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b")
    with pytest.raises(BadInput, match=r"rows\.csv is a file"):
        open_store(str(tmp_path / "rows.csv"), create=True)


def test_what_is_not_there_is_named_and_not_made(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(BadInput, match="there is no store at"):
            open_store(str(path))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(BadInput, match=r"thesis\.tex"):
        open_store(str(tmp_path), create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_uri_is_its_folder(tmp_path, row):
    open_store(f"file://{tmp_path}/a%20store", create=True).commit_row(row(1))
    assert open_store(str(tmp_path / "a store")).done() == {row(1)["cell_id"]: "ok"}


def test_below_a_file_nothing_can_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unreachable, match="is a file") as refusal:
        open_store(str(tmp_path / "file/store"), create=True)
    assert refusal.value.exit_code == 3


def test_where_nothing_can_be_written_the_probe_says_so_in_one_line():
    store = open_store("/proc/scalaw-store", create=True)
    with pytest.raises(Unreachable, match="can't write") as refusal:
        store.probe()
    assert "\n" not in str(refusal.value)


def test_a_name_that_is_too_long_is_unreachable(tmp_path):
    with pytest.raises(Unreachable, match="can't be reached"):
        open_store(str(tmp_path / ("x" * 300)), create=True)


def test_keys_stay_below_the_root(tmp_path):
    blobs = LocalBlobs(tmp_path)
    for key in ("../outside", "/etc/passwd", "", "results/.hidden"):
        with pytest.raises(ValueError, match="not a key"):
            blobs.put_new(key, b"x")


def test_a_refused_s3_endpoint_is_unreachable_soon(monkeypatch):
    settings = {"ENDPOINT_URL": "http://127.0.0.1:9", "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "REGION": "x"}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="s3://bucket/prefix"):
        open_store("s3://bucket/prefix", create=True)
    assert time.monotonic() - begun < 10


def test_missing_credentials_are_called_so_and_not_a_machine_that_nobody_named():
    asked = "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 5s - timed out\n\nmore"
    said = _reason(OSError(asked))
    assert said.startswith("the environment has no credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    assert said.endswith("timed out)")
    assert _reason(OSError("connection refused\nat 1")) == "connection refused"


def test_an_azure_store_without_an_account_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(BadInput, match=r"[Aa]ccount"):
        open_store("az://container/prefix")
