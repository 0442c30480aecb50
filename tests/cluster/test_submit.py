"""A sweep goes to a cluster from outside, is watched, stopped and taken up again, while nodes come and go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.store import open_store

BIN = Path(sys.executable).parent
pytestmark = pytest.mark.slow

SLOW = """\
name: {name}
data: {{source: simulated, examples: 1M}}
model: {{family: simulated, noise: 0.01, stage_s: {stage_s}}}
grid: {{params: [1k, 3k, 10k], data_fraction: [0.1, 0.3, 1.0], epochs: [1, 2, 4]}}
fit: {{bootstrap: 20, laws: [product]}}
"""
#: Columns of a row that training decides.
TRAINED = ("cell_id", "train_loss", "val_loss", "test_loss", "flops", "params_total", "steps")


def written(nodes, name, stage_s=0.0, text=SLOW):
    path = nodes.folder / f"{name}.yaml"
    path.write_text(text.format(name=name, stage_s=stage_s))
    return path


def submitted(nodes, path, store):
    """Submit a sweep and wait for it, in a process of its own."""
    command = [BIN / "scalaw", "submit", path, "--address", nodes.url, "--store", store, "--wait"]
    (cwd := nodes.folder / "laptop").mkdir(exist_ok=True)
    return subprocess.Popen(
        [str(word) for word in command], cwd=cwd, env=nodes.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def until(come, seconds=120):
    late = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < late
        time.sleep(0.3)


def measured(store):
    """Return the cells that a store has, also while it is only being made."""
    return open_store(str(store)).done() if (store / "store.json").exists() else set()


def rows(store):
    return [{c: row[c] for c in TRAINED} for row in open_store(str(store)).results().to_pylist()]


@pytest.mark.nightly
def test_a_sweep_outlives_a_lost_node_uses_a_new_one_and_has_the_rows_of_a_local_run(nodes, transformer_yaml):
    path = nodes.folder / "small.yaml"
    path.write_text(transformer_yaml.replace("params: [2k]", "params: [2k, 4k, 8k]"))
    store, local = nodes.folder / "store", nodes.folder / "local"
    sent = nodes.scalaw("submit", path, "--address", nodes.url, "--store", store, "--json")
    assert sent.returncode == 0, sent.stderr
    job = json.loads(sent.stdout)
    assert (job["sweep"], job["attached"], job["begun"]) == ("small", False, True)
    assert 0 < job["package_bytes"] < 2e6

    until(lambda: len(measured(store)) >= 2)
    nodes.kill("second")
    nodes.add("third")
    followed = nodes.scalaw("logs", job["job_id"], "--address", nodes.url, "--follow")
    assert followed.returncode == 0, followed.stderr
    assert "small: 18 of 18 cells to train, 3 at a time" in followed.stdout
    assert "small: 18 rows, 0 failed, 0 missing" in followed.stdout

    here = nodes.scalaw("run", path, "--store", local, "--no-dashboard")
    assert here.returncode == 0, here.stderr
    assert rows(store) == rows(local)
    listed = json.loads(nodes.scalaw("list", "--address", nodes.url, "--json").stdout)
    (ended,) = [one for one in listed if one["job_id"] == job["job_id"]]
    assert (ended["status"], ended["exit_code"]) == ("SUCCEEDED", 0), ended["message"]


def test_a_submit_again_attaches_and_a_stopped_sweep_goes_on_without_repeating_a_cell(nodes):
    path, store = written(nodes, "again", 0.4), nodes.folder / "again-store"
    first = json.loads(nodes.scalaw("submit", path, "--address", nodes.url, "--store", store, "--json").stdout)
    second = json.loads(nodes.scalaw("submit", path, "--address", nodes.url, "--store", store, "--json").stdout)
    assert (second["job_id"], second["attached"], second["package_bytes"]) == (first["job_id"], True, 0)

    other = nodes.scalaw("submit", path, "--address", nodes.url, "--store", store, "--set", "seed=5")
    assert other.returncode == 2
    assert f"again is running into {store} as {first['job_id']}, from another YAML" in other.stderr

    until(lambda: len(open_store(str(store)).done()) >= 3)
    running = json.loads(nodes.scalaw("status", store, "--json").stdout)["sweeps"][0]
    assert running["state"] == "running"
    stopped = nodes.scalaw("stop", first["job_id"], "--address", nodes.url)
    assert stopped.returncode == 0, stopped.stderr
    before = {row["cell_id"]: row["finished_at"] for row in open_store(str(store)).results().to_pylist()}
    assert 3 <= len(before) < 27
    assert "27 cells to train" in nodes.scalaw("logs", store).stdout

    third = nodes.scalaw("submit", path, "--address", nodes.url, "--store", store, "--wait", "--json")
    assert third.returncode == 0, third.stderr
    assert json.loads(third.stdout)["job_id"].endswith("-2")
    after = {row["cell_id"]: row["finished_at"] for row in open_store(str(store)).results().to_pylist()}
    assert len(after) == 27
    assert before.items() <= after.items()


@pytest.mark.nightly
def test_a_new_node_is_used_within_seconds_and_the_metrics_show_it(nodes):
    path, store = written(nodes, "grows", 1.5), nodes.folder / "grows-store"
    before = nodes.alive()
    job = json.loads(nodes.scalaw("submit", path, "--address", nodes.url, "--store", store, "--json").stdout)
    nodes.add("fourth")

    def workers():
        return {row["worker"] for row in open_store(str(store)).results().to_pylist()}

    until(lambda: store.is_dir() and len(workers()) > before, 60)

    def busy():
        lines = [one for one in nodes.metrics().splitlines() if one.startswith("ray_scalaw_workers{")]
        return [float(one.split()[-1]) for one in lines if 'state="busy"' in one and 'sweep="grows"' in one]

    until(lambda: sum(busy()) >= 2, 60)  # Ray passes metrics on every ten seconds
    until(lambda: "ray_scalaw_commit_s_count" in nodes.metrics(), 60)
    assert nodes.scalaw("stop", job["job_id"], "--address", nodes.url).returncode == 0


@pytest.mark.nightly
def test_gpus_train_while_workers_without_one_evaluate(nodes):
    nodes.add("box", "--num-gpus=1")
    path, store = written(nodes, "mixed", 0.3), nodes.folder / "mixed-store"
    wanted = ("--set", "resources.gpus_per_worker=1", "--set", "resources.cpu_workers=1")
    sent = nodes.scalaw("submit", path, "--address", nodes.url, "--store", store, "--json", *wanted)
    assert sent.returncode == 0, sent.stderr
    until(lambda: len(measured(store)) >= 2)
    listed = nodes.get("/api/v0/actors?limit=1000")["data"]["result"]["result"]
    at_work = {a["name"]: a["node_id"] for a in listed if "scalaw" in (a["name"] or "") and a["state"] == "ALIVE"}
    assert at_work["scalaw-worker-0"] == nodes.ids["box"] != at_work["scalaw-cpu-worker-0"]
    assert {row["worker"] for row in open_store(str(store)).results().to_pylist()} == {"scalaw-cpu-worker-0"}
    nodes.scalaw("stop", json.loads(sent.stdout)["job_id"], "--address", nodes.url)


@pytest.mark.nightly
def test_workers_go_to_nodes_with_the_labels_that_are_asked_for(nodes):
    path, store = written(nodes, "labelled", 0.5), nodes.folder / "labelled-store"
    to = ("--address", nodes.url, "--store", store, "--json", "--set")
    refused = nodes.scalaw("submit", path, *to, "resources.labels={pool: blue}")
    assert refused.returncode == 2
    assert "too few for one worker (1 CPUs, 0 GPUs, label pool: blue each, on one node)" in refused.stderr
    assert "resources.workers to wait for nodes" in refused.stderr

    nodes.add("blue", "--labels=pool=blue")
    sent = nodes.scalaw("submit", path, *to, "resources.labels={pool: blue}")
    assert sent.returncode == 0, sent.stderr
    job = json.loads(sent.stdout)
    until(lambda: len(measured(store)) >= 2)
    listed = nodes.get("/api/v0/nodes?limit=1000&detail=1")["data"]["result"]["result"]
    (blue,) = [node["node_id"] for node in listed if node["state"] == "ALIVE" and node["labels"].get("pool") == "blue"]
    actors = nodes.get("/api/v0/actors?limit=1000")["data"]["result"]["result"]
    at_work = [a for a in actors if (a["name"] or "").startswith("scalaw-worker") and a["state"] == "ALIVE"]
    assert {actor["node_id"] for actor in at_work} == {blue}
    nodes.scalaw("stop", job["job_id"], "--address", nodes.url)


@pytest.mark.nightly
def test_working_files_go_along_and_relative_paths_mean_the_same_there(nodes):
    laptop = nodes.folder / "lab"
    (laptop / "texts").mkdir(parents=True)
    for k in range(40):
        (laptop / "texts" / f"{k}.txt").write_text(f"{k} quick brown foxes jump over the lazy dog. " * 60)
    (laptop / ".env").write_text("SECRET=1")
    path = laptop / "words.yaml"
    path.write_text(
        "name: words\ndata: {source: text, paths: [texts], eval_examples: 32, max_examples: 128}\n"
        "model: {family: transformer}\n"
        "grid: {params: [2k], data_fraction: [0.5, 1.0]}\ntrain: {batch_size: 16, warmup_steps: 2}\n"
    )
    store = nodes.folder / "words-store"
    sent = nodes.scalaw("submit", path, "--address", nodes.url, "--store", store, "--wait", cwd=laptop)
    assert sent.returncode == 0, sent.stderr
    assert "sending 41 files" in sent.stderr
    assert [row["status"] for row in open_store(str(store)).results().to_pylist()] == ["ok", "ok"]


@pytest.mark.nightly
def test_ctrl_c_leaves_the_job_and_says_how_to_stop_it_by_its_store(nodes):
    path, store = written(nodes, "waited", 1.0), nodes.folder / "waited-store"
    waiting = submitted(nodes, path, store)
    until(lambda: measured(store))
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert "scalaw: the job goes on; stop it with: scalaw stop scalaw-waited-" in said
    again = submitted(nodes, path, store)
    until(lambda: nodes.scalaw("status", store, "--json").stdout.find('"running"') > 0)
    stopped = nodes.scalaw("stop", store)
    assert (stopped.returncode, stopped.stdout) == (0, f"{store}: stopped\n")
    _, said = again.communicate(timeout=60)
    assert again.returncode == 130, said
    assert "was stopped; submit the sweep again to go on" in said


def test_a_killed_driver_is_told_to_whoever_waits(nodes):
    path, store = written(nodes, "killed", 1.0), nodes.folder / "killed-store"
    waiting = submitted(nodes, path, store)
    until(lambda: measured(store))
    (job,) = [one for one in nodes.get("/api/jobs/") if (one["metadata"] or {}).get("scalaw_sweep") == "killed"]
    os.kill(int(job["driver_info"]["pid"]), signal.SIGKILL)
    _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 3, said
    assert said.splitlines()[-1] == (
        f"scalaw: the driver of {job['submission_id']} was ended by a signal; submit the sweep again to go on"
    )


@pytest.mark.nightly
def test_ray_client_is_a_way_in_for_run(nodes):
    path, store = written(nodes, "client"), nodes.folder / "client-store"
    ran = nodes.scalaw("run", path, "--store", store, "--address", f"ray://127.0.0.1:{nodes.client_port}")
    assert ran.returncode == 0, ran.stderr
    assert len(open_store(str(store)).results()) == 27


def test_a_sweep_that_the_cluster_refuses_is_refused_here_with_its_line(nodes):
    path = nodes.folder / "wrong.yaml"
    path.write_text(
        "name: wrong\ndata: {source: text, paths: [nowhere]}\nmodel: {family: transformer}\ngrid: {params: [2k]}\n"
    )
    sent = nodes.scalaw("submit", path, "--address", nodes.url, "--store", nodes.folder / "wrong-store")
    assert sent.returncode == 2
    assert "scalaw: wrong.yaml:2: data.paths: nowhere" in sent.stderr
    assert "Traceback" not in sent.stderr
    assert not (nodes.folder / "wrong-store").exists()


ELSEWHERE = """
import sys
from orchestrator.cli.main import main
from orchestrator.submission import submit as submission

prove = submission._prove

def elsewhere(uri, tell):
    where, (store, key) = prove(uri, tell)
    store.blobs.delete(key)
    return where, (store, key)

submission._prove = elsewhere
main(sys.argv[1:])
"""


def test_a_store_on_this_machine_s_disk_is_told_from_one_that_the_cluster_sees(nodes):
    """The cluster's machine is this one, so what was put into the folder is taken away before the cluster looks."""
    path, store = written(nodes, "hidden"), nodes.folder / "hidden-store"
    sent = nodes.call(sys.executable, "-c", ELSEWHERE, "submit", path, "--address", nodes.url, "--store", store)
    assert sent.returncode == 3
    assert f"scalaw: the cluster does not see the store {store} that this machine has: name a bucket" in sent.stderr
    assert not store.exists()
    listed = json.loads(nodes.scalaw("list", "--address", nodes.url, "--json").stdout)
    assert {job["status"] for job in listed if job["sweep"] == "hidden"} == {"FAILED"}


def test_a_node_that_does_not_see_the_store_is_named_before_anything_is_trained(nodes):
    """A store below /proc/self is another one in each process."""
    path = written(nodes, "unseen")
    code = "import os; os.makedirs('s', exist_ok=True)"
    ran = nodes.call(
        "bash", "-c", f"{sys.executable} -c \"{code}\" && exec {BIN}/scalaw run {path} --store /proc/self/cwd/s "
        f"--address 127.0.0.1:{nodes.gcs_port}",
    )  # fmt: skip
    assert ran.returncode == 3
    assert "nodes can't use the store /proc/self/cwd/s" in ran.stderr
    assert "name a bucket (s3://…), or a folder that all nodes have mounted" in ran.stderr
