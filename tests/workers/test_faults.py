"""What a worker's exception becomes: the kind that the policy asks for, and the words that a row keeps."""

from __future__ import annotations

import errno

import pytest
import torch

from orchestrator.errors import StoreReplaced, Unreachable
from workers.checkpointer import StateGone
from workers.faults import MOST_CHARACTERS, described, failure_of
from workers.messages import Cause
from workers.training.curve import Diverged


def raised(error, *before):
    """Return an exception as it is caught, raised from others."""
    try:
        if not before:
            raise error
        try:
            raise raised(*before)
        except Exception as cause:
            raise error from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("x"), Cause.RAISED),
        (Diverged.after(3), Cause.DIVERGED),
        (torch.OutOfMemoryError("x"), Cause.OUT_OF_MEMORY),
        (MemoryError(), Cause.OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "x"), Cause.OUT_OF_MEMORY),
        (OSError(errno.ENOENT, "x"), Cause.RAISED),
        (StateGone(("ab",), "x"), Cause.STATE_LOST),
        (Unreachable("x"), Cause.STORE_UNREACHABLE),
        (StoreReplaced("x"), Cause.STORE_REPLACED),
    ],
    ids=repr,
)
def test_a_cause_is_told_by_the_exception_whatever_passed_it_on(error, cause):
    assert failure_of(raised(error)).cause is cause
    if cause not in (Cause.RAISED, Cause.DIVERGED):
        assert failure_of(raised(RuntimeError("passed on"), error)).cause is cause


def test_a_lost_state_names_its_stages():
    assert failure_of(raised(StateGone(("ab", "cd"), "x"))).stages == ("ab", "cd")
    assert failure_of(raised(ValueError("x"))).stages == ()


def test_the_last_line_is_the_deepest_exception_and_the_node_stands_before_it():
    *frames, node, last = described(raised(RuntimeError("outer"), KeyError("deep")), node="n7").splitlines()
    assert last == "KeyError: 'deep'"
    assert node == "on node n7"
    assert any("in raised" in frame for frame in frames)
    assert "outer" not in "".join(frames)


def test_our_own_refusals_say_themselves_what_happened():
    found = described(raised(Unreachable("the store is away"), OSError("errno 5")))
    assert found.splitlines()[-1] == "orchestrator.errors.Unreachable: the store is away"


@pytest.mark.parametrize("message", ["", "\n\n", "\x1b[31m\x1b[0m"])
def test_the_last_line_is_never_empty(message):
    assert described(raised(ValueError(message))).splitlines()[-1] == "ValueError: no message"


def test_messages_lose_colours_and_line_breaks_and_are_not_endless():
    last = described(raised(ValueError("\x1b[1;31mred\x1b[0m\r\n\x00two " + "x" * 100_000))).splitlines()[-1]
    assert last.startswith("ValueError: red two xxx")
    assert len(last) < MOST_CHARACTERS + 50
    assert last.isprintable()


def test_exceptions_that_point_at_each_other_are_told_too():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert described(one).splitlines()[-1] in ("ValueError: one", "ValueError: two")
    assert failure_of(one).cause is Cause.RAISED
