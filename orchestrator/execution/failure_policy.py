"""Who pays when something goes wrong, how often it may be tried again, and after what wait: one table, no Ray.

A cell pays for what is its own: an exception, a loss that is no number, a model that doesn't fit. Machines, network,
store and Ray are nobody's fault and cost nobody a try (I2). Ray Tune, Train and Core keep two budgets likewise.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from orchestrator.errors import StoreReplaced, Unreachable
from workers.messages import Cause, Failure


class Payer(Enum):
    """Whose tries a failure uses up."""

    CELL = "the cell"
    STAGE = "the stage"
    NOBODY = "nobody"
    RUN = "nobody: the run ends with exit 3"


@dataclass(frozen=True)
class Rule:
    """A row of the table.

    Parameters
    ----------
    told
        How the cause is told.
    payer
        Whose tries it uses up.
    tries
        How often, in words.
    first_wait_s, longest_wait_s
        Wait before the next try, doubled with each in a row.
    """

    told: str
    payer: Payer
    tries: str
    first_wait_s: float = 0.0
    longest_wait_s: float = 0.0


#: Deaths and standstills in a row, explained by nothing else, after which a stage is taken to kill its workers.
POISON: Final = 3
#: Starts of workers that may raise one after another before the sweep gives up.
MOST_FAILED_STARTS: Final = 3
#: Causes that one seed may have brought on others that trained with it as one model; they train alone from then on.
SHARED_WITH_OTHERS: Final = frozenset({Cause.RAISED, Cause.OUT_OF_MEMORY, Cause.WORKER_DIED, Cause.STALLED})
#: Seconds within which deaths at several stages are one event.
TOGETHER_S: Final = 5.0
#: Deaths in a row together with others, from which on they count as a stage's own: where every stage kills its worker,
#: each would otherwise explain the others for ever.
MOST_TOGETHER: Final = 10
#: States lost in a row, after which something must be wrong with the stage that asks for them.
MOST_STATES_LOST: Final = 8

TABLE: Final[dict[Cause, Rule]] = {
    Cause.RAISED: Rule("its own exception", Payer.CELL, "`max_retries` (1)"),
    Cause.REFUSED: Rule("a program's exit 2 or 78, or an answer against the protocol", Payer.CELL, "not at all"),
    Cause.DIVERGED: Rule("its own `ArithmeticError`", Payer.CELL, "not at all: it would end the same way"),
    Cause.OUT_OF_MEMORY: Rule(
        "`OutOfMemoryError`", Payer.CELL, "with micro-batches halved (same global batch), to one example"
    ),
    Cause.WORKER_DIED: Rule("actor died, its node is alive", Payer.STAGE, f"{POISON} in a row", 1.0, 4.0),
    Cause.STALLED: Rule(
        "no step for max(60 s, 10 times what steps took); its worker is killed", Payer.STAGE, f"{POISON} in a row"
    ),
    Cause.NODE_LOST: Rule(
        "node dead or pre-empted, or nothing was in flight on the worker",
        Payer.NOBODY,
        "without end, while something gets done within `cluster_patience_s` (600)",
        1.0,
        60.0,
    ),
    Cause.STATE_LOST: Rule("object lost, or a checkpoint gone or damaged", Payer.NOBODY, "it is derived again"),
    Cause.STORE_UNREACHABLE: Rule(
        "any of the store's errors, also in heartbeats, drops, logs, fits",
        Payer.RUN,
        "after the write was tried again for `store_patience_s` (300)",
        0.25,
        30.0,
    ),
    Cause.STORE_REPLACED: Rule("`STORE/store.json` is gone, or names another store", Payer.RUN, "at once"),
}


@dataclass(frozen=True)
class Retry:
    """Try the stage again after a wait."""

    wait_s: float = 0.0
    micro_batches: int = 1


@dataclass(frozen=True)
class Fail:
    """The stage's cells fail, with these words in their rows."""

    error: str


@dataclass
class _Record:
    """What has happened to one stage."""

    raised: int = 0
    deaths_in_a_row: int = 0
    deaths_together_in_a_row: int = 0
    losses_in_a_row: int = 0
    states_lost_in_a_row: int = 0
    micro_batches: int = 1
    reached: tuple[int, bool, int] | None = None


@dataclass
class FailurePolicy:
    """Judges failures by the table; it knows what happened before, and no clock but the one that it is told.

    Parameters
    ----------
    max_retries
        Further attempts at a stage that raised.
    cluster_patience_s
        Longest time after the loss of a node in which nothing gets done.
    """

    max_retries: int = 1
    cluster_patience_s: float = 600.0
    counts: Counter[Cause] = field(default_factory=Counter)
    _records: dict[str, _Record] = field(default_factory=dict)
    _lost_since_s: float | None = None
    _deaths: list[tuple[float, str]] = field(default_factory=list)

    def micro_batches(self, stage_id: str) -> int:
        """Return the parts in which a stage's batches must pass the device."""
        return self._record(stage_id).micro_batches

    def judge(self, stage_id: str, failure: Failure, *, now_s: float, batch_size: int = 1) -> Retry | Fail:
        """Return what becomes of a stage that failed.

        Parameters
        ----------
        batch_size
            Examples of a batch that one rank takes: the most parts that it can be halved into.

        Raises
        ------
        Unreachable
            Where the run has to end: the store was given up, or no node came back in time.
        """
        record, cause, rule = self._record(stage_id), failure.cause, TABLE[failure.cause]
        self.counts[cause] += 1
        if cause is Cause.STORE_REPLACED:
            raise StoreReplaced(_last_line(failure.error))
        if cause is Cause.STORE_UNREACHABLE:
            raise Unreachable(f"{_last_line(failure.error)}; rows and states are kept: run the same command again")
        if cause in (Cause.DIVERGED, Cause.REFUSED):
            return Fail(failure.error)
        if cause is Cause.RAISED:
            record.raised += 1
            return Fail(failure.error) if record.raised > self.max_retries else Retry(0.0, record.micro_batches)
        if cause is Cause.OUT_OF_MEMORY:
            if record.micro_batches >= batch_size:
                return Fail(failure.error)
            record.micro_batches = min(2 * record.micro_batches, batch_size)
            return Retry(0.0, record.micro_batches)
        if cause is Cause.WORKER_DIED and self._others_died(stage_id, now_s):
            record.deaths_together_in_a_row += 1
            if record.deaths_together_in_a_row < MOST_TOGETHER:
                return Retry(_wait_s(rule, 1), record.micro_batches)
        if cause in (Cause.WORKER_DIED, Cause.STALLED):
            record.deaths_in_a_row += 1
            if record.deaths_in_a_row >= POISON:
                return Fail(_poisoned(failure, record.deaths_in_a_row))
            return Retry(_wait_s(rule, record.deaths_in_a_row), record.micro_batches)
        if cause is Cause.STATE_LOST:
            record.states_lost_in_a_row += 1
            if record.states_lost_in_a_row >= MOST_STATES_LOST:
                return Fail(
                    f"the state before this stage was lost {record.states_lost_in_a_row} times in a row, each time "
                    f"after it was derived again\n{failure.error}"
                )
            return Retry(0.0, record.micro_batches)
        record.losses_in_a_row += 1
        self.node_lost(now_s=now_s)
        return Retry(_wait_s(rule, record.losses_in_a_row), record.micro_batches)

    def node_lost(self, *, now_s: float) -> None:
        """Note a loss that is nobody's fault; from the first one on something must get done within the patience."""
        if self._lost_since_s is None:
            self._lost_since_s = now_s

    def got_done(self, *stage_ids: str) -> None:
        """Note that stages are finished: deaths before that explain themselves, and the cluster does work."""
        self._lost_since_s = None
        for stage_id in stage_ids:
            record = self._records.get(stage_id)
            if record is not None:
                record.deaths_in_a_row = record.deaths_together_in_a_row = 0
                record.losses_in_a_row = record.states_lost_in_a_row = 0

    def note_reached(self, stage_id: str, reached: tuple[int, bool, int]) -> None:
        """Note how far a chain was kept when its worker was lost: one that comes further each time kills no worker.

        Parameters
        ----------
        stage_id
            The chain's first stage.
        reached
            Which stage of the chain was kept, whether as done, and at which step.
        """
        record = self._record(stage_id)
        if record.reached is None or reached > record.reached:
            record.reached = reached
            record.deaths_in_a_row = record.deaths_together_in_a_row = record.losses_in_a_row = 0
            self._lost_since_s = None

    def check_patience(self, *, now_s: float) -> None:
        """Give the cluster up where nothing got done for too long after a loss.

        Raises
        ------
        Unreachable
            As said.
        """
        if self._lost_since_s is not None and now_s - self._lost_since_s > self.cluster_patience_s:
            raise Unreachable(
                f"nodes were lost and nothing got done for {self.cluster_patience_s:g} s "
                "(resources.cluster_patience_s); what is finished is kept: run the same command again when they are "
                "back"
            )

    def _others_died(self, stage_id: str, now_s: float) -> bool:
        """Return whether workers at other stages died at about the same time, which no single stage explains."""
        near = [each for each in self._deaths if now_s - each[0] <= TOGETHER_S]
        self._deaths = [*near, (now_s, stage_id)]
        others = {other for _, other in near if other != stage_id}
        for record in map(self._record, others):
            if record.deaths_together_in_a_row < MOST_TOGETHER:
                record.deaths_in_a_row = 0
        return bool(others)

    def _record(self, stage_id: str) -> _Record:
        return self._records.setdefault(stage_id, _Record())


def policy_table() -> str:
    """Return the table as the docs show it."""
    lines = ["| cause | how it is told | who pays | how often | wait |", "|---|---|---|---|---|"]
    for cause, rule in TABLE.items():
        wait = "none"
        if rule.longest_wait_s:
            wait = f"{rule.first_wait_s:g}, doubled to {rule.longest_wait_s:g} s"
        lines.append(f"| {cause.value} | {rule.told} | {rule.payer.value} | {rule.tries} | {wait} |")
    return "\n".join(lines) + "\n"


def _wait_s(rule: Rule, times: int) -> float:
    return min(rule.first_wait_s * 2.0 ** (times - 1), rule.longest_wait_s)


def _poisoned(failure: Failure, times: int) -> str:
    how = "stood still" if failure.cause is Cause.STALLED else "died"
    return (
        f"{failure.error}\nthe worker {how} {times} times in a row while it ran this stage, and nothing else explains "
        f"it: the stage is taken to be the reason ({_last_line(failure.error)})"
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason is known"])[-1]
