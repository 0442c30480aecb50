"""Who pays for what goes wrong: every row of the table, and what explains what."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreReplaced, Unreachable
from orchestrator.execution.failure_policy import (
    MOST_STATES_LOST,
    MOST_TOGETHER,
    POISON,
    TABLE,
    TOGETHER_S,
    Fail,
    FailurePolicy,
    Payer,
    Retry,
    policy_table,
)
from workers.messages import Cause, Failure


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now_s = 0.0


@pytest.fixture
def policy():
    return FailurePolicy()


@pytest.fixture
def judge(policy):
    """Judge a cause at a stage; an hour passes between two calls unless told otherwise."""
    clock = Clock()

    def call(cause, stage="a", *, after_s=3600.0, batch_size=8):
        clock.now_s += after_s
        error = f"some frames\non node n\nKind: {cause.name.lower()}"
        return policy.judge(stage, Failure(cause, error), now_s=clock.now_s, batch_size=batch_size)

    return call


def test_the_table_has_a_row_for_every_cause_and_cells_pay_for_what_is_their_own_alone():
    assert TABLE.keys() == set(Cause)
    paid = {cause for cause, rule in TABLE.items() if rule.payer is Payer.CELL}
    assert paid == {Cause.RAISED, Cause.REFUSED, Cause.DIVERGED, Cause.OUT_OF_MEMORY}
    assert [line.count("|") for line in policy_table().splitlines()] == [6] * (2 + len(Cause))


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_what_a_stage_raises_it_may_raise_so_often_and_then_its_cells_fail_with_its_words(max_retries):
    policy = FailurePolicy(max_retries)
    failure = Failure(Cause.RAISED, "frames\nValueError: seven")
    verdicts = [policy.judge("a", failure, now_s=0.0) for _ in range(max_retries + 1)]
    assert verdicts == [*[Retry(0.0)] * max_retries, Fail("frames\nValueError: seven")]
    assert policy.judge("b", failure, now_s=0.0) == (Retry(0.0) if max_retries else Fail(failure.error))


def test_by_default_a_stage_that_raises_is_tried_once_more(judge):
    assert [type(judge(Cause.RAISED)) for _ in range(2)] == [Retry, Fail]


def test_a_loss_that_is_no_number_is_not_tried_again(judge):
    assert judge(Cause.DIVERGED) == Fail("some frames\non node n\nKind: diverged")


def test_a_task_that_a_program_refuses_is_not_tried_again(judge):
    assert judge(Cause.REFUSED) == Fail("some frames\non node n\nKind: refused")


def test_out_of_memory_halves_micro_batches_to_one_example_and_fails_there(policy, judge):
    verdicts = [judge(Cause.OUT_OF_MEMORY, batch_size=12) for _ in range(5)]
    assert [v.micro_batches for v in verdicts[:4]] == [2, 4, 8, 12]
    assert isinstance(verdicts[4], Fail)
    assert policy.micro_batches("a") == 12
    assert policy.micro_batches("b") == 1


def test_out_of_memory_uses_up_no_retry_and_what_was_found_to_fit_is_kept_for_later_tries(policy, judge):
    judge(Cause.OUT_OF_MEMORY)
    assert judge(Cause.RAISED) == Retry(0.0, 2)
    assert judge(Cause.NODE_LOST).micro_batches == 2
    assert judge(Cause.WORKER_DIED).micro_batches == 2


@pytest.mark.parametrize("cause", [Cause.WORKER_DIED, Cause.STALLED])
def test_deaths_in_a_row_that_nothing_else_explains_make_a_stage_poison_with_a_row_that_says_so(judge, cause):
    verdicts = [judge(cause) for _ in range(POISON)]
    waits = [1.0, 2.0] if cause is Cause.WORKER_DIED else [0.0, 0.0]
    assert [v.wait_s for v in verdicts[:-1]] == waits
    how = "died" if cause is Cause.WORKER_DIED else "stood still"
    assert f"the worker {how} 3 times in a row while it ran this stage" in verdicts[-1].error
    assert verdicts[-1].error.splitlines()[-1].endswith(f"(Kind: {cause.name.lower()})")


def test_a_death_and_standstills_are_of_one_row(judge):
    assert isinstance(judge(Cause.STALLED), Retry)
    assert isinstance(judge(Cause.WORKER_DIED), Retry)
    assert isinstance(judge(Cause.STALLED), Fail)


def test_a_stage_that_gets_done_or_further_each_time_is_no_poison(policy, judge):
    for k in range(5):
        assert isinstance(judge(Cause.WORKER_DIED), Retry)
        policy.note_reached("a", (0, False, 10 + k))
    for _ in range(5):
        assert isinstance(judge(Cause.WORKER_DIED), Retry)
        policy.got_done("a")


def test_a_stage_that_is_kept_where_it_was_before_is_poison(policy, judge):
    verdicts = []
    for _ in range(POISON + 1):
        verdicts.append(judge(Cause.WORKER_DIED))
        policy.note_reached("a", (1, False, 10))
        policy.note_reached("a", (0, True, 99))
    assert [type(v) for v in verdicts] == [Retry, Retry, Retry, Fail]


def test_what_another_stage_gets_done_makes_no_stage_less_suspect(policy, judge):
    for _ in range(POISON - 1):
        judge(Cause.WORKER_DIED)
        policy.got_done("b")
    assert isinstance(judge(Cause.WORKER_DIED), Fail)


def test_workers_that_die_together_are_no_stages_fault(judge):
    for _ in range(MOST_TOGETHER - 1):
        verdicts = [
            judge(Cause.WORKER_DIED, stage, after_s=after_s) for stage, after_s in (("a", 3600), ("b", 1), ("c", 1))
        ]
        assert verdicts == [Retry(1.0)] * 3


def test_deaths_of_others_explain_nothing_when_they_are_long_ago(judge):
    for _ in range(POISON - 1):
        judge(Cause.WORKER_DIED, "a")
        judge(Cause.WORKER_DIED, "b", after_s=TOGETHER_S + 1)
    assert isinstance(judge(Cause.WORKER_DIED, "a"), Fail)


def test_where_every_stage_kills_its_worker_they_do_not_explain_each_other_for_ever(judge):
    failed, tries = set(), 0
    while len(failed) < 3:
        for stage in {"a", "b", "c"} - failed:
            tries += 1
            if isinstance(judge(Cause.WORKER_DIED, stage, after_s=1.0), Fail):
                failed.add(stage)
        assert tries < 100


def test_a_lost_node_costs_nobody_a_try_with_growing_waits(policy, judge):
    waits = [judge(Cause.NODE_LOST, after_s=1.0).wait_s for _ in range(20)]
    assert waits[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert set(waits[8:]) == {60}
    assert judge(Cause.WORKER_DIED) == Retry(1.0), "its first death of its own"
    policy.got_done("a")
    assert judge(Cause.NODE_LOST).wait_s == 1
    assert judge(Cause.RAISED) == Retry(0.0), "the cell's own try is still there"


def test_a_lost_state_is_derived_again_at_once_but_not_for_ever(policy, judge):
    for _ in range(2):
        assert {judge(Cause.STATE_LOST) for _ in range(MOST_STATES_LOST - 1)} == {Retry(0.0)}
        policy.got_done("a")
    last = [judge(Cause.STATE_LOST) for _ in range(MOST_STATES_LOST)][-1]
    assert "was lost 8 times in a row" in last.error
    assert last.error.splitlines()[-1] == "Kind: state_lost"


def test_a_store_that_was_given_up_or_replaced_ends_the_run(judge):
    with pytest.raises(Unreachable, match=r"^Kind: store_unreachable; rows and states are kept: run the same command"):
        judge(Cause.STORE_UNREACHABLE)
    with pytest.raises(StoreReplaced, match=r"^Kind: store_replaced$"):
        judge(Cause.STORE_REPLACED)


def test_the_cluster_is_given_up_when_nothing_gets_done_for_the_patience_after_a_loss():
    policy = FailurePolicy(cluster_patience_s=100.0)
    policy.check_patience(now_s=1e9)
    policy.node_lost(now_s=1000.0)
    policy.node_lost(now_s=1090.0)
    policy.check_patience(now_s=1100.0)
    with pytest.raises(Unreachable, match=r"nothing got done for 100 s \(resources.cluster_patience_s\)"):
        policy.check_patience(now_s=1100.5)


@pytest.mark.parametrize("sign", ["done", "further"])
def test_patience_begins_anew_with_every_sign_of_progress(sign):
    policy = FailurePolicy(cluster_patience_s=100.0)
    for k in range(5):
        policy.judge("a", Failure(Cause.NODE_LOST, "gone"), now_s=90.0 * k)
        policy.check_patience(now_s=90.0 * k + 80)
        if sign == "done":
            policy.got_done("another")
        else:
            policy.note_reached("a", (0, False, k))


def test_causes_are_counted(policy, judge):
    judge(Cause.NODE_LOST)
    judge(Cause.NODE_LOST)
    judge(Cause.RAISED)
    assert policy.counts == {Cause.NODE_LOST: 2, Cause.RAISED: 1}
