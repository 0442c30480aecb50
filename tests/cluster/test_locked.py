"""Nobody without the token gets in, and the token gets out nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest

from orchestrator.store import open_store

pytestmark = pytest.mark.slow

CONNECT = "import ray; ray.init({address!r}, logging_level='ERROR'); print('in with', ray.cluster_resources())"


@pytest.mark.parametrize("token", [None, "wrong" * 10])
@pytest.mark.parametrize("path", ["/api/version", "/api/jobs/", "/nodes?view=summary", "/api/cluster_status"])
def test_reading_the_dashboard_s_api_needs_the_token(nodes, path, token):
    with pytest.raises(urllib.error.HTTPError) as refusal:
        nodes.get(path, token=token)
    assert refusal.value.code in (401, 403)


@pytest.mark.parametrize("token", [None, "wrong" * 10])
def test_a_job_without_the_token_is_refused_and_does_not_run(nodes, token):
    made = nodes.folder / "made-by-a-stranger"
    request = urllib.request.Request(
        nodes.url + "/api/jobs/",
        data=json.dumps({"entrypoint": f"touch {made}"}).encode(),
        headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})},
    )
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=10)
    assert refusal.value.code in (401, 403)
    assert not made.exists()


@pytest.mark.nightly
def test_a_driver_gets_in_with_the_token_and_not_without(nodes):
    """By GCS and by Ray Client; those that are refused try for a while, so they try at once."""
    ways = {"gcs": f"127.0.0.1:{nodes.gcs_port}", "client": f"ray://127.0.0.1:{nodes.client_port}"}
    hands = {
        "none": {"RAY_AUTH_MODE": "disabled"},
        "wrong": {"RAY_AUTH_TOKEN": "wrong" * 10, "RAY_AUTH_TOKEN_PATH": "/dev/null"},
        "right": {},
    }

    def try_it(case):
        way, hand = case
        return nodes.call(sys.executable, "-c", CONNECT.format(address=ways[way]), **hands[hand])

    cases = list(product(ways, hands))
    strangers = [case for case in cases if case[1] != "right"]
    sweep = Path(__file__).parents[2] / "sweeps/simulated.yaml"
    run = ("run", sweep, "--store", nodes.folder / "stranger", "--address", ways["gcs"])
    with ThreadPoolExecutor(len(strangers) + 1) as threads:
        by_run = threads.submit(lambda: nodes.scalaw(*run, **hands["wrong"]))
        found = dict(zip(strangers, threads.map(try_it, strangers), strict=True))
    found.update({case: try_it(case) for case in cases if case not in found})
    assert by_run.result().returncode == 3
    assert by_run.result().stderr.startswith(f"scalaw: the cluster at {ways['gcs']} refuses our token: set")
    assert by_run.result().stderr.count("\n") == 1
    inside = {case for case, tried in found.items() if tried.returncode == 0 and "in with" in tried.stdout}
    assert inside == {("gcs", "right"), ("client", "right")}, {c: t.stderr[-500:] for c, t in found.items()}


def test_the_token_stands_in_no_argument_log_row_or_metadata(nodes):
    path, store = nodes.folder / "secret.yaml", nodes.folder / "secret-store"
    path.write_text(
        "name: secret\ndata: {source: simulated, examples: 1M}\nmodel: {family: simulated, stage_s: 0.1}\n"
        "grid: {params: [1k, 3k], data_fraction: [0.1, 1.0]}\n"
    )
    sent = nodes.scalaw("submit", path, "--address", nodes.url, "--store", store, "--wait", "--json")
    assert sent.returncode == 0, sent.stderr
    job = json.loads(sent.stdout)["job_id"]
    arguments = b"".join(p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists())
    said = [sent.stdout, sent.stderr, nodes.scalaw("logs", job, "--address", nodes.url).stdout]
    said.append(json.dumps(nodes.get(f"/api/jobs/{job}")) + json.dumps(nodes.get("/nodes?view=summary")))
    said.append(str(open_store(str(store)).results().to_pylist()))
    said += [p.read_text(errors="replace") for p in store.rglob("*") if p.is_file()]
    said += [p.read_text(errors="replace") for p in nodes.folder.rglob("*.log")]
    said += [p.read_text(errors="replace") for p in nodes.folder.rglob("*.out")]
    assert nodes.token.encode() not in arguments
    assert not [text[:200] for text in said if nodes.token in text]
    assert len(open_store(str(store)).results()) == 4


def _listening(session):
    """Return the addresses on which the processes of a session listen, as /proc/net/tcp and tcp6 write them."""
    inodes = set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(path.name)) == session:
                inodes |= {str(fd.readlink()) for fd in (path / "fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (line.split()[k] for k in (1, 3, 9))
            if state == "0A" and f"socket:[{inode}]" in inodes:
                found.add(local.split(":")[0])
    return found


def test_a_cluster_that_a_run_starts_listens_on_loopback_alone(tmp_path, end_session):
    path, store = tmp_path / "s.yaml", tmp_path / "store"
    path.write_text(
        "name: local\ndata: {source: simulated, examples: 1M}\nmodel: {family: simulated, stage_s: 1}\n"
        "grid: {params: [1k, 3k], data_fraction: [0.1, 1.0], epochs: [1, 2]}\n"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "orchestrator.cli.main", "run", str(path), "--store", str(store)]
    ran = subprocess.Popen(command, env=inherited, stdout=-3, stderr=-3, start_new_session=True)
    try:
        late = time.monotonic() + 90
        while not (store.is_dir() and open_store(str(store)).done()):
            assert ran.poll() is None
            assert time.monotonic() < late
            time.sleep(0.3)
        # 127.0.0.1, by itself and within IPv6
        assert _listening(ran.pid) == {"0100007F", "0000000000000000FFFF00000100007F"}
    finally:
        end_session(ran.pid)
