"""What Ray needs of a machine is worked around where that can be done, else said in one sentence with exit code 3."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from orchestrator.errors import Unreachable
from orchestrator.execution.cluster import ray_needs
from orchestrator.execution.cluster.ray_needs import (
    SOCKET_BYTES,
    check_token,
    free_bytes,
    is_too_long,
    ray_folder,
    surroundings,
)

ROOT = Path(__file__).parents[2]
START = """
import json, sys
from orchestrator.execution.cluster.connect import connected

with connected(None, cpus=1, dashboard=True) as cluster:
    import ray

    state = ray.put(b"x" * 2_000_000)
    length = ray.get(ray.remote(num_cpus=0)(lambda data: len(data)).remote(state), timeout=60)
    print(json.dumps([length, cluster["dashboard_url"], ray._private.worker._global_node.get_session_dir_path()]))
"""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    """A home of its own and none of the variables that these tests set."""
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def deep(tmp_path):
    """A folder as deep as batch systems make them."""
    folder = tmp_path / ("job-" + "7" * 60) / ("node-" + "3" * 40)
    folder.mkdir(parents=True)
    assert len(str(folder)) > 80
    return folder


def short_names():
    return {path for place in ray_needs.SHORT for path in Path(place).glob("scalaw-ray-*")}


def test_a_deep_folder_is_used_under_a_short_name_that_is_gone_afterwards(deep, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = short_names()
    with surroundings() as found:
        assert len(os.environ["TMPDIR"]) < 40
        assert Path(os.environ["TMPDIR"]).resolve() == deep
        folder = Path(found["_temp_dir"])
        assert not is_too_long(folder)
        (folder / "session").write_text("logs")
        assert (deep / "ray" / "session").read_text() == "logs"
    assert os.environ["TMPDIR"] == str(deep)
    assert short_names() == before
    assert (deep / "ray" / "session").read_text() == "logs"


def test_the_longest_name_that_sockets_allow_is_used_as_it_is():
    room = SOCKET_BYTES - len(ray_needs._SESSION)
    assert not is_too_long(Path("/" + "x" * (room - 1)))
    assert is_too_long(Path("/" + "x" * room))


def test_where_no_short_name_can_be_had_the_mend_is_said(deep, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(deep))
    monkeypatch.setattr(ray_needs, "SHORT", ("/nowhere", "/proc"))
    with pytest.raises(Unreachable, match="none of /nowhere, /proc can be written: set RAY_TMPDIR to"), surroundings():
        pass


def test_a_folder_that_cannot_be_written_or_is_full_is_named_with_the_mend(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file"))
    with pytest.raises(Unreachable, match=f"Ray's folder {tmp_path}/file/ray can't be written .*: set RAY_TMPDIR"):
        free_bytes(ray_folder())
    monkeypatch.setenv("RAY_TMPDIR", "/proc/1")
    with pytest.raises(Unreachable, match="Ray's folder /proc/1/ray can't be written"):
        free_bytes(ray_folder())
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 10**5, 10**5))
    with pytest.raises(Unreachable, match=r"Ray's folder .*/ray is full \(0\.1 MB are free\): set RAY_TMPDIR"):
        free_bytes(ray_folder())


def test_without_shared_memory_the_object_store_lies_in_rays_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    with surroundings() as found:
        assert found == {"_temp_dir": "/tmp/ray"}
    monkeypatch.setattr(ray_needs, "SHARED_MEMORY", tmp_path / "shm")
    with surroundings() as found:
        assert found == {"_temp_dir": "/tmp/ray", "_plasma_directory": "/tmp/ray"}


def test_a_token_that_cannot_be_read_or_kept_is_named_with_the_mend(tmp_path, monkeypatch):
    check_token()
    monkeypatch.setenv("HOME", "/proc/nothing")
    with pytest.raises(
        Unreachable, match=r"can't keep its token in /proc/nothing/\.ray .*: set RAY_AUTH_TOKEN_PATH to"
    ):
        check_token()
    token = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    with pytest.raises(Unreachable, match=r"RAY_AUTH_TOKEN_PATH names .*/token, which can't be read \(No such file"):
        check_token()
    token.write_text("\n")
    with pytest.raises(Unreachable, match=r"the token in .* is empty"):
        check_token()
    token.write_text("abcdefghijklmnopqrstuvwxyz0123456789")
    check_token()


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{}, {"TMPDIR": "/var/tmp"}, {"RAY_TMPDIR": "/var/tmp", "TMPDIR": "/dev/shm"}])
def test_the_folder_is_the_one_that_ray_would_take(variables, monkeypatch):
    from ray._common.utils import get_default_ray_temp_dir

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(ray_folder()) == get_default_ray_temp_dir()


@pytest.mark.slow
def test_rays_start_up_time_out_is_one_sentence(monkeypatch):
    import ray

    from orchestrator.execution.cluster.connect import connected

    def timed_out(*arguments, **settings):
        raise Exception("The current node timed out during startup. This could happen because of\nmany things.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", timed_out)
    said = "Ray can't be started on this machine: The current node timed out during startup.*; 'scalaw doctor' tries"
    with pytest.raises(Unreachable, match=said) as refused, connected(None, cpus=1, dashboard=False):
        pass
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_deep_folder_a_stale_address_a_taken_port_and_a_home_that_is_not_there_do_not_matter(deep, tmp_path):
    token = tmp_path / "token"
    token.write_text("abcdefghijklmnopqrstuvwxyz0123456789")
    variables = {
        "TMPDIR": str(deep), "RAY_ADDRESS": "127.0.0.1:1", "HOME": "/proc/nothing", "RAY_AUTH_TOKEN_PATH": str(token),
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    before = short_names()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # taken by somebody else, which is as good
            taken.bind(("127.0.0.1", 8265))
            taken.listen()
        ended = subprocess.run(
            [sys.executable, "-c", START], env={**os.environ, **variables}, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 0, ended.stderr
    assert '[2000000, "127.0.0.1:' in ended.stdout
    assert short_names() == before
    assert list((deep / "ray").glob("session_2*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"RAY_AUTH_TOKEN_PATH": "/nowhere/token"}, "RAY_AUTH_TOKEN_PATH names /nowhere/token, which can't be read"),
        ({"HOME": "/proc/nothing"}, "Ray can't keep its token in /proc/nothing/.ray"),
        ({"RAY_TMPDIR": "/proc/1"}, "Ray's folder /proc/1/ray can't be written"),
    ],
)
def test_a_run_says_it_in_one_sentence_with_exit_code_3_and_writes_nothing(variables, said, tmp_path, simulated_yaml):
    (tmp_path / "s.yaml").write_text(simulated_yaml)
    ended = subprocess.run(
        [sys.executable, "-m", "scalaw", "run", str(tmp_path / "s.yaml"), "--store", str(tmp_path / "store")],
        env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f"scalaw: {said}")
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_doctor_tries_each(deep, monkeypatch):
    from orchestrator.execution import doctor

    monkeypatch.setattr(doctor, "_ray", lambda address: "left out")
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere/token")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**8, 0, 64 * 10**6))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(doctor, "USUAL_PORTS", (taken.getsockname()[1],))
        found = {finding["check"]: finding for finding in doctor.checkup(None, None)}
        assert found["ports"]["found"] == f"{taken.getsockname()[1]} taken, Ray takes others"
    assert found["ray's folder"]["found"].endswith("GB free, too long for sockets: used under a short name")
    assert (found["token"]["ok"], found["RAY_ADDRESS"]["ok"]) == (False, False)
    assert found["RAY_ADDRESS"]["found"].startswith("no Ray cluster answers at 127.0.0.1:1")
    assert found["shared memory"]["found"].startswith("64 MB, less than the 537 MB of Ray's object store: it lies in")
