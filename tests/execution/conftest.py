"""One Ray for the tests of this folder that need a cluster; runs join it, as they would join any cluster."""

from __future__ import annotations

import io

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
