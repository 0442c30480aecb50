"""Ray's own autoscaler, with nodes that are processes of this machine: from nothing to what the plan uses, and back."""

from __future__ import annotations

import json
import time

import pytest

from orchestrator.store import open_store

from .conftest import ray_address
from .nodes import Nodes, free_port

pytestmark = pytest.mark.slow

SWEEP = """
name: elastic
data: {source: simulated, examples: 1M}
model: {family: simulated, stage_s: 0.7}
grid: {params: [1k, 3k, 10k, 30k], data_fraction: [0.1, 0.3, 1.0], epochs: [1, 2]}
fit: {bootstrap: 0, laws: [product]}
"""
#: What a cluster of machines would have, and processes have not.
COMMANDS = (
    "setup_commands", "head_setup_commands", "worker_setup_commands", "initialization_commands",
    "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude", "rsync_filter",
)  # fmt: skip
#: Nodes go after six seconds without work.
CONFIG = {
    **{name: [] for name in COMMANDS},
    "auth": {},
    "file_mounts": {},
    "cluster_name": "elastic",
    "max_workers": 4,
    "provider": {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "launch_multiple": True,
        "head_node_id": "f" * 51 + "00000",
    },
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "small": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 4},
    },
    "head_node_type": "ray.head.default",
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 0.1,
}


@pytest.fixture
def growing(short_folder):
    """A head without CPUs, whose autoscaler may start four nodes."""
    folder = short_folder()
    port, head = free_port(), CONFIG["provider"]["head_node_id"]
    provider = {**CONFIG["provider"], "gcs_address": f"{ray_address()}:{port}"}
    (folder / "autoscaler.json").write_text(json.dumps({**CONFIG, "provider": provider}))
    found = Nodes(
        folder,
        *("--num-cpus=0", f"--autoscaling-config={folder / 'autoscaler.json'}"),
        gcs_port=port,
        AUTOSCALER_UPDATE_INTERVAL_S="1",
        RAY_FAKE_CLUSTER="1",
        RAY_enable_autoscaler_v2="1",
        RAY_CLOUD_INSTANCE_ID=head,
        RAY_OVERRIDE_NODE_ID_FOR_TESTING=head,
    )
    try:
        yield found
    finally:
        found.close()


@pytest.mark.nightly
def test_the_autoscaler_adds_what_the_plan_uses_and_takes_it_away_at_the_end(growing):
    path, store, most = growing.folder / "elastic.yaml", growing.folder / "store", 0
    path.write_text(SWEEP)
    wanted = ("--set", "resources.workers=2", "--set", "resources.cpu_workers=1")
    sent = growing.scalaw("submit", path, "--address", growing.url, "--store", store, "--json", *wanted)
    assert sent.returncode == 0, sent.stderr
    job = json.loads(sent.stdout)["job_id"]
    late = time.monotonic() + 150
    while not (store.is_dir() and len(open_store(str(store)).done()) == 24):
        assert time.monotonic() < late, growing.scalaw("logs", job, "--address", growing.url).stdout
        most = max(most, growing.alive())
        time.sleep(0.5)
    assert most == 1 + 3  # two that train, one that evaluates
    late = time.monotonic() + 60
    while growing.alive() > 1:
        assert time.monotonic() < late, "idle nodes are still there"
        time.sleep(0.5)
