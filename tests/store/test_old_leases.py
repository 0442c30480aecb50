"""Leases that others have taken the place of: they may go, and whoever held one notices all the same."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreReplaced
from orchestrator.store import open_store
from orchestrator.store.heartbeat import old_leases, take_lease


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"), create=True)


def test_a_driver_that_slept_through_two_successors_knows_that_it_was_taken_over(store):
    slept = take_lease(store, "a")
    slept.give_back()  # as far as the others can see
    for _ in range(2):
        take_lease(store, "a").give_back()
    with pytest.raises(StoreReplaced, match="another driver has taken a over"):
        slept.beat({})


def test_of_each_sweep_the_last_lease_stays_so_that_numbers_go_on(store):
    for sweep, last in (("a", 3), ("b.lease-7", 1)):
        for number in range(1, last + 1):
            store.blobs.replace(f"logs/{sweep}.lease-{number:06d}", b"{}")
    assert sorted(old_leases(store)) == ["logs/a.lease-000001", "logs/a.lease-000002"]
