"""Nobody without the token gets in, and the token gets out nowhere."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
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


def test_a_driver_gets_in_with_the_token_and_not_without(nodes):
    """By GCS and by Ray Client; those that are refused try for a while, so all try at once."""
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
    with ThreadPoolExecutor(len(cases)) as threads:
        found = dict(zip(cases, threads.map(try_it, cases), strict=True))
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
    said += [p.read_text(errors="replace") for p in (nodes.folder / "ray").rglob("*.log")]
    said += [p.read_text(errors="replace") for p in (nodes.folder / "ray").rglob("*.out")]
    assert nodes.token.encode() not in arguments
    assert not [text[:200] for text in said if nodes.token in text]
    assert len(open_store(str(store)).results()) == 4
