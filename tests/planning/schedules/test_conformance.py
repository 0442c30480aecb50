"""What every registered schedule guarantees, and that the suite sees what is broken."""

from __future__ import annotations

import pytest

from orchestrator.planning.schedules.conformance import broken_promises
from orchestrator.planning.schedules.constant import Constant
from orchestrator.planning.schedules.cosine import Cosine
from orchestrator.planning.schedules.schedule import schedule_named
from orchestrator.planning.schedules.wsd import WarmupStableDecay
from orchestrator.planning.schedules.wsm import WarmupStableMerge
from orchestrator.spec.registries import SCHEDULES


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_every_registered_schedule_keeps_its_promises(name):
    assert broken_promises(schedule_named(name)) == []


class SharesACosine(Cosine):
    shares = True


class Silent(WarmupStableDecay):
    uses = ()


class Alone(WarmupStableDecay):
    shares = False


class MergesNothing(Constant):
    ending = "merge"


class EndsEarly(WarmupStableMerge):
    @staticmethod
    def snapshot_steps(keys, total_steps):
        return (total_steps - 1,)


class Doubles(Constant):
    @staticmethod
    def rate(keys, step, total_steps):
        return 2.0


class Reads(Constant):
    uses = ("batch_size",)


class ForksBeyond(WarmupStableDecay):
    @staticmethod
    def fork_step(keys, total_steps):
        return total_steps + 1


class Forgets(Constant):
    def rate(self, keys, step, total_steps):
        self.calls = getattr(self, "calls", 0) + 1
        return 1 / self.calls


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (SharesACosine, "before the fork the rate is 1: "),
        (Silent, "what is read is named in uses: cooldown_fraction"),
        (Alone, "only cells that share a trunk have an ending of their own: cooldown"),
        (MergesNothing, "a merge, and it alone, has snapshots: 0 in 1 steps"),
        (EndsEarly, "snapshots rise, from 1 at least to the cell's end: (0,) of 1"),
        (Doubles, "rates lie between 0 and 1: 2.0 at step 0 of 1"),
        (Reads, "uses names keys of train that a schedule may read: ('batch_size',)"),
        (ForksBeyond, "a fork is a step of the cell: 2 of 1"),
        (Forgets, "the same step has the same rate: "),
    ],
)
def test_a_broken_promise_is_told_with_its_first_case(broken, promise):
    found = [sentence for sentence in broken_promises(broken()) if sentence.startswith(promise)]
    assert len(found) == 1, broken_promises(broken())
