"""One Ray for the tests of this folder that need a cluster; runs join it, as they would join any cluster."""

from __future__ import annotations

import io
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from orchestrator.execution.driver import Driver
from orchestrator.execution.pool.ray_pool import RayPool


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
def started(cluster, monkeypatch):
    """Every gang that a run starts, as references to its ranks' process ids."""
    gangs, start = [], RayPool._start

    def noting(pool, name, role):
        start(pool, name, role)
        gangs.append([rank.__ray_call__.remote(lambda worker: os.getpid()) for rank in pool._gangs[name].ranks])

    monkeypatch.setattr(RayPool, "_start", noting)
    return gangs


@pytest.fixture
def drivers(monkeypatch):
    """The drivers of the runs so far."""
    found, run = [], Driver.run

    def noting(driver, gangs, scorers):
        found.append(driver)
        run(driver, gangs, scorers)

    monkeypatch.setattr(Driver, "run", noting)
    return found


@pytest.fixture
def when():
    """Do something in a thread as soon as a moment has come; the future that this returns tells how it went."""

    def wait_and_do(moment, action):
        wait_for(moment)
        action()

    with ThreadPoolExecutor(1) as thread:
        yield lambda moment, action: thread.submit(wait_and_do, moment, action)


def wait_for(moment, within_s=120):
    """Return once something has come about."""
    end = time.monotonic() + within_s
    while not moment():
        assert time.monotonic() < end
        time.sleep(0.005)
