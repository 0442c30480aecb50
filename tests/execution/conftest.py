"""One Ray for the tests of this folder that need a cluster; runs join it, as they would join any cluster."""

from __future__ import annotations

import io
import os
import time

import pytest
from rich.console import Console


@pytest.fixture(scope="session")
def cluster():
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def pid_of(cluster):
    """Return the process of a worker by its name, once it has started and finished what it is doing."""

    def find(name, within_s=60.0):
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            for known in cluster.util.list_named_actors(all_namespaces=True):
                if known["name"] == name:
                    worker = cluster.get_actor(name, namespace=known["namespace"])
                    return cluster.get(worker.__ray_call__.remote(lambda self: os.getpid()))
            time.sleep(0.05)
        raise AssertionError(f"no worker {name} came within {within_s:g} s")

    return find
