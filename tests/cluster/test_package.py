"""What goes with a job is small, complete, without secrets, and the same for the same folder."""

from __future__ import annotations

import subprocess
import zipfile

import pytest

from orchestrator.errors import BadInput, Unreachable
from orchestrator.submission import package
from orchestrator.submission.client import server_address
from orchestrator.submission.package import JOB_FILE, pack

FILES = """
sweep.yaml texts/a.txt mine/a.py .env .ssh/id mine/__pycache__/a.pyc
venv/pyvenv.cfg venv/lib/x.py env2/pyvenv.cfg env2/lib/y.py runs/s/results/r.parquet runs/s/sweeps/s.json
"""


@pytest.fixture
def folder(tmp_path):
    for name in FILES.split():
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "work"


def names(archive):
    with zipfile.ZipFile(archive.path) as opened:
        return {
            name
            for name in opened.namelist()
            if not name.startswith(("scalaw/", "orchestrator/", "workers/", JOB_FILE))
        }


def test_hidden_files_environments_stores_and_caches_stay_here(folder, tmp_path):
    made = pack(folder, tmp_path / "a.zip", "job-1")
    assert names(made) == {"sweep.yaml", "texts/a.txt", "mine/a.py"}
    assert (made.files, made.size_bytes) == (3, made.path.stat().st_size)


def test_scalaw_itself_goes_along_and_each_job_has_an_archive_of_its_own(folder, tmp_path):
    first, again, other = (pack(folder, tmp_path / f"{k}.zip", f"job-{k // 2}").path.read_bytes() for k in range(3))
    assert first == again != other
    with zipfile.ZipFile(tmp_path / "0.zip") as opened:
        assert {"scalaw/__init__.py", "orchestrator/cli/job.py", "workers/actor.py"} <= set(opened.namelist())
    assert len(first) < 1e6


def test_in_a_git_tree_what_git_ignores_stays_here(folder, tmp_path):
    (folder / ".gitignore").write_text("texts/\n")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    assert names(pack(folder, tmp_path / "a.zip", "job-1")) == {"sweep.yaml", "mine/a.py"}


def test_patterns_leave_files_out(folder, tmp_path):
    assert names(pack(folder, tmp_path / "a.zip", "job-1", ["texts/*", "*.py"])) == {"sweep.yaml"}


def test_a_folder_that_is_too_large_is_refused_with_its_largest_file(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(package, "LIMIT_BYTES", 3_000_000)
    (folder / "big.bin").write_bytes(b"x" * 4_000_000)
    with pytest.raises(Unreachable, match=r"holds 4 MB in 4 files.*largest: big\.bin 4 MB.*`working_dir`"):
        pack(folder, tmp_path / "a.zip", "job-1")
    assert not (tmp_path / "a.zip").exists()
    assert "big.bin" not in names(pack(folder, tmp_path / "a.zip", "job-1", ["*.bin"]))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"`working_dir` .*nix: there is no such folder"):
        pack(tmp_path / "nix", tmp_path / "a.zip", "job-1")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://head:8265", "http://head:8265"),
        ("http://head", "http://head:8265"),
        ("https://head/ray/", "https://head:443/ray"),
    ],
)
def test_an_address_without_a_port_means_the_usual_one(given, meant):
    assert server_address(given) == meant


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("ray://head:10001", "Ray Client"),
        ("head:8265", "in full"),
        ("http://u:secret@head:8265", r"head:8265: expected http"),
        ("http://head:port", "expected http"),
        ("ftp://head", "expected http"),
    ],
)
def test_another_kind_of_address_is_refused_with_the_right_one(given, words):
    with pytest.raises(Unreachable, match=words) as refusal:
        server_address(given)
    assert "secret" not in str(refusal.value)


def test_the_environment_names_the_address_where_no_flag_does(monkeypatch):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://other:9000")
    assert server_address(None) == "http://other:9000"
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS")
    with pytest.raises(BadInput, match="`address` is missing"):
        server_address(None)
