"""The command as people run it: a process of its own, a Ray of its own, Ctrl-C, and the store afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow
SCALAW = (sys.executable, "-m", "orchestrator.cli.main")


def run(*arguments):
    return subprocess.run([*SCALAW, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_a_sweep_runs_is_queried_and_fitted(simulated, tmp_path, scalaw):
    store = tmp_path / "store"
    done = run("run", simulated, "--store", store, "--json", "--no-dashboard")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document.keys() >= {"rows", "failed", "wall_s", "flops_spent", "fits", "best"}
    assert (document["rows"], document["failed"]) == (27, 0)
    fits = scalaw("query", store, "select parameter, value, lo, hi from fits where law = 'product'", "--json").document
    alpha = next(row for row in fits if row["parameter"] == "alpha")
    assert alpha["lo"] <= 0.3 <= alpha["hi"]
    counted = scalaw("query", store, "select count(*) n from fits", "--json").document
    again = scalaw("run", simulated, "--store", store)
    assert again.code == 0
    assert "alpha" in again.out
    assert scalaw("query", store, "select count(*) n from fits", "--json").document == counted
    status = scalaw("status", store, "--json").document["sweeps"]
    assert [(s["sweep"], s["state"], s["done"], s["missing"]) for s in status] == [("simulated", "done", 27, 0)]
    predicted = scalaw("predict", store, "--n", "30k", "--d", "1M", "--e", "4", "--law", "product", "--json").document
    assert predicted["value"] == pytest.approx(20 * 3e4**-0.3 * 1e6**-0.25 * 4**-0.1, rel=0.05)
    assert scalaw("plot", store, "-o", tmp_path / "f.svg").code == 0
    assert scalaw("fit", store, "--json").document["fits"]["product"]["n_rows"] == 27


def started(path, store, **options):
    process = subprocess.Popen(
        [*SCALAW, "run", str(path), "--store", str(store), "--no-dashboard", "--set", "model.stage_s=0.2"],
        stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not list((store / "results").glob("*.parquet")) if (store / "results").exists() else True:
        assert time.monotonic() < deadline, "no row came"
        assert process.poll() is None
        time.sleep(0.1)
    return process


def rows(store):
    return {path.name for path in (store / "results").glob("[!.]*.parquet")}


@pytest.mark.nightly
def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(simulated, tmp_path, scalaw):
    store = tmp_path / "store"
    process = started(simulated, store)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command again" in err
    before = rows(store)
    assert 0 < len(before) < 27
    assert scalaw("status", store, "--json").document["sweeps"][0]["state"].startswith("incomplete")
    again = run("run", simulated, "--store", store, "--no-dashboard", "--set", "model.stage_s=0.2", "--json")
    assert json.loads(again.stdout)["rows"] == 27
    assert before < rows(store)


@pytest.mark.nightly
def test_ctrl_c_twice_stops_now_and_says_how_to_go_on(simulated, tmp_path):
    process = started(simulated, tmp_path / "store")
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.count("run the same command again to go on") == 1, err
    assert "Traceback" not in err


def test_an_address_without_a_cluster_is_unreachable(simulated, tmp_path):
    answer = run("run", simulated, "--store", tmp_path / "s", "--address", "127.0.0.1:9")
    assert answer.returncode == 3
    assert "Traceback" not in answer.stderr
    assert "127.0.0.1:9" in answer.stderr


def test_doctor_tries_torch_ray_and_the_store(tmp_path, scalaw):
    answer = run("doctor", "--store", tmp_path / "s", "--json")
    document = json.loads(answer.stdout)
    assert answer.returncode == 0, document
    checked = {check["check"] for check in document["checks"]}
    machine = {"shared memory", "ports", "token", "ray's folder"}
    assert checked == {"python", "torch", "devices", "data", "ray", "store"} | machine
