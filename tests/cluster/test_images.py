"""Images and manifests: locked by their text, and their scripts run as plain processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import yaml

from orchestrator.store import open_store

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
BIN = Path(sys.executable).parent
SWEEP = (
    "name: tiny\ndata: {source: simulated, examples: 1M}\nmodel: {family: simulated}\n"
    "grid: {params: [1k, 3k], data_fraction: [0.1, 1.0]}\nfit: {bootstrap: 0, laws: [product]}\n"
)


def load(name: str) -> Any:
    return yaml.safe_load((DOCKER / name).read_text())


def test_the_dockerfile_pins_its_base_drops_root_and_has_no_compiler():
    lines = (DOCKER / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", lines, re.MULTILINE)
    assert [name for _, name in stages] == ["build", "base", "cpu", "cuda"]
    assert re.search(r"^ARG PYTHON=3\.11\.\d+-slim-bookworm$", lines, re.MULTILINE)
    final = lines[lines.index(" AS base") :]
    assert final.index("USER 10001") < final.index("ENTRYPOINT")
    assert "HEALTHCHECK" in final
    assert "-c constraints.txt" in lines
    assert not re.search(
        r"^ADD|apt-get|gcc|g\+\+|build-essential|curl|:latest|--privileged|ARG .*TOKEN", lines, re.MULTILINE
    )
    for source in re.findall(r"^COPY (?!--from)(.*)$", lines, re.MULTILINE):
        for name in [word for word in source.split() if not word.startswith("--")][:-1]:
            assert (ROOT / name).exists(), name


def test_hadolint_has_nothing_to_say_of_the_dockerfile():
    linted = subprocess.run([BIN / "hadolint", DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_opens_ports_on_this_machine_alone_and_hands_secrets_over_as_files(name):
    document = load(name)
    known = {field.alias or name for name, field in compose_spec.Service.model_fields.items()}
    compose_spec.ComposeSpecification.model_validate(document)  # types; it would pass over names that are unknown
    for service in document["services"].values():
        assert set(service) <= known
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert not service.get("privileged")
        assert service.get("network_mode") != "host"
        assert not any(re.search("TOKEN$|PASSWORD$|SECRET|KEY", key) for key in service.get("environment", {}))
        assert not str(service.get("image", "")).endswith(":latest")
        if name == "compose.yaml":
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
    for secret in document.get("secrets", {}).values():
        assert secret["file"].startswith("./secrets/")


def test_the_overlay_changes_services_that_are_there():
    assert set(load("compose.gpu.yaml")["services"]) <= set(load("compose.yaml")["services"])


def test_the_board_and_the_scraping_name_metrics_that_a_sweep_exports():
    board = json.loads((DOCKER / "grafana/boards/scalaw.json").read_text())
    shown = set(re.findall(r"ray_(scalaw_\w+)", " ".join(t["expr"] for p in board["panels"] for t in p["targets"])))
    source = (ROOT / "orchestrator/execution/progress/metrics.py").read_text() + (ROOT / "workers/actor.py").read_text()
    made = {f"scalaw_{name}" for name in re.findall(r'_gauge\("(\w+)"', source)}
    made |= {"scalaw_commit_s_bucket"} if '"scalaw_commit_s"' in source else set()
    assert shown == made
    assert load("prometheus.yaml")["scrape_configs"][0]["file_sd_configs"]
    assert load("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]["uid"] == "prometheus"


#: Fields of KubeRay's RayCluster and RayJob that the manifests may use (API reference of KubeRay 1.6).
CLUSTER = {
    "rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs",
    "gcsFaultToleranceOptions", "headServiceAnnotations", "suspend",
}  # fmt: skip
JOB = {
    "entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit",
    "activeDeadlineSeconds", "runtimeEnvYAML", "rayClusterSpec", "metadata", "jobId", "submitterPodTemplate",
}  # fmt: skip
GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template", "idleTimeoutSeconds"}
KUBERNETES = "1.33"


@pytest.mark.parametrize(
    ("name", "kind"), [("kuberay/raycluster.yaml", "RayCluster"), ("kuberay/rayjob.yaml", "RayJob")]
)
def test_kuberay_manifests_use_known_fields_with_token_limits_and_no_root(name, kind):
    document = load(name)
    assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", kind)
    cluster = document["spec"]
    if kind == "RayJob":
        assert set(cluster) <= JOB
        assert cluster["shutdownAfterJobFinishes"] is True
        assert cluster["ttlSecondsAfterFinished"] > 0
        assert "s3://" in cluster["entrypoint"]
        cluster = cluster["rayClusterSpec"]
    assert set(cluster) <= CLUSTER
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    import ray

    assert cluster["rayVersion"] == ray.__version__
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert any("nvidia.com/gpu" in str(group) for group in groups)
    for group in groups:
        assert set(group) <= GROUP
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        labels = {"name": "pod", **group["template"].get("metadata", {})}
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": labels, "spec": pod}
        kubernetes_validate.validate(whole, KUBERNETES, strict=True)
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert set(container["resources"]["limits"]) >= {"cpu", "memory"}
            for port in container.get("ports", []):
                assert len(port["name"]) <= 15


@pytest.mark.parametrize("script", ["entrypoint.sh", "healthcheck.sh", "slurm/scalaw.sbatch"])
def test_scripts_are_sound_shell(script):
    shell = "bash" if script.endswith("sbatch") else "sh"
    assert subprocess.run([shell, "-n", DOCKER / script], check=False).returncode == 0
    linted = subprocess.run([BIN / "shellcheck", DOCKER / script], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout
    assert re.search(r"^set -euo? ?", (DOCKER / script).read_text(), re.MULTILINE)
    assert os.access(DOCKER / script, os.X_OK) or script.endswith("sbatch")


def test_a_node_without_a_token_does_not_start(tmp_path):
    short = tmp_path / "token"
    short.write_text("short")
    for path in (tmp_path / "nix", short):
        env = {**os.environ, "RAY_AUTH_TOKEN_PATH": str(path)}
        tried = subprocess.run([DOCKER / "entrypoint.sh", "head"], env=env, capture_output=True, text=True, check=False)
        assert tried.returncode == 2
        assert "must hold the cluster's token" in tried.stderr


@pytest.mark.slow
def test_the_entrypoint_runs_head_worker_and_sweep_as_plain_processes(containers, tmp_path):
    assert containers.health(head=True) == 0
    assert containers.health(head=False) == 0
    path, store = tmp_path / "tiny.yaml", tmp_path / "store"
    path.write_text(SWEEP)
    waits_for_the_worker = ("--set", "resources.workers=1")
    sent = containers.run(
        "submit", path, "--address", containers.url, "--store", store, "--wait", *waits_for_the_worker
    )
    assert sent.returncode == 0, sent.stderr
    assert len(open_store(str(store)).results()) == 4


@pytest.mark.nightly
@pytest.mark.slow
def test_the_slurm_script_leads_a_sweep_through_and_takes_its_token_away(tmp_path, port, end_session):
    """With stand-ins for srun and scontrol that run their command here."""
    shims = tmp_path / "bin"
    shims.mkdir()
    (shims / "srun").write_text('#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n')
    (shims / "scontrol").write_text("#!/bin/bash\necho 127.0.0.1\necho 127.0.0.1\n")
    for shim in shims.iterdir():
        shim.chmod(0o755)
    path, store = tmp_path / "tiny.yaml", tmp_path / "store"
    path.write_text(SWEEP)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env = {
        **inherited,
        "PATH": f"{shims}:/usr/bin:/bin",
        "SCALAW_VENV": str(BIN.parent),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_PER_TASK": "1",
        "RAY_PORT": str(port),
    }
    with (tmp_path / "out").open("wb") as out:
        ran = subprocess.Popen(
            ["bash", DOCKER / "slurm/scalaw.sbatch", path, store, "--no-dashboard"],
            cwd=tmp_path, env=env, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
        try:
            code = ran.wait(timeout=200)
        finally:
            end_session(ran.pid)
    assert code == 0, (tmp_path / "out").read_text()[-3000:]
    assert len(open_store(str(store)).results()) == 4
    assert not list(tmp_path.glob(".scalaw-token-*"))
