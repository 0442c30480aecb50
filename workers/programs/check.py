"""What a program promises, tried in its smallest size: it is shared only as far as it passes.

Losses and scores are compared to the bit. Each promise guards a level: what training in common needs, what going on
from a state needs, what a figure needs at all.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.programs.exchange import BadAnswer
from orchestrator.programs.manifest import Sharing
from orchestrator.programs.process import SAVED
from workers.programs.check_weights import weights_tried
from workers.programs.promise import Promise, tried
from workers.programs.trial import Outcome, TrialFailed, Trials, contents, copied, steps_in

#: Half of the steps that are compared.
HALF: Final = 4
SCORED: Final = 64
#: The levels from the one that promises most to the one that promises least.
LEVELS: Final = (Sharing.EXACT, Sharing.RESUME, Sharing.NONE)


@dataclass(frozen=True)
class Verdict:
    """How far a program's cells may share.

    Parameters
    ----------
    level
        What is left of what it promises; ``None``: it can't be swept at all.
    promises
        All that was tried, in order.
    """

    level: Sharing | None
    promises: tuple[Promise, ...]

    @property
    def broken(self) -> list[Promise]:
        """What was not kept."""
        return [promise for promise in self.promises if promise.broken]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able document."""
        return {"level": self.level.value if self.level else None, "promises": [p.to_json() for p in self.promises]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Verdict:
        """Return the verdict that a document tells of."""
        promises = tuple(
            Promise(
                each["promise"],
                None if each["needed_for"] == "any figure" else Sharing(each["needed_for"]),
                each["seen"] or "",
            )
            for each in document["promises"]
        )
        return cls(Sharing(document["level"]) if document["level"] else None, promises)


def check_promises(trials: Trials, tell: Callable[[str], None] = lambda sentence: None) -> Verdict:
    """Try what a program promises, as far as its manifest says that it does.

    Parameters
    ----------
    tell
        Takes the name of each promise once it is tried.
    """
    declared = trials.program.manifest.sharing
    found: list[Promise] = []
    for promise in _tried(trials, declared):
        tell(f"{promise.name}: {promise.broken or 'kept'}")
        found.append(promise)
        if promise.broken and promise.level is None:
            return Verdict(None, tuple(found))
    level = declared
    for promise in found:
        if promise.broken and promise.level is not None:
            lower = LEVELS[min(LEVELS.index(promise.level) + 1, len(LEVELS) - 1)]
            level = max(level, lower, key=LEVELS.index)
    return Verdict(level, tuple(found))


def _tried(trials: Trials, declared: Sharing) -> Iterator[Promise]:
    half, whole, batch = HALF, 2 * HALF, trials.recipe.batch_size
    try:
        first, _ = trials.run(0, whole, scored=SCORED)
    except TrialFailed as failure:
        yield Promise("it trains, scores and counts what it described", None, str(failure))
        return
    seen = _first_faults(first, whole)
    yield Promise("it trains, scores and counts what it described", None, seen)
    if seen:
        return
    yield from tried(
        "the same task again has the same losses",
        Sharing.RESUME,
        lambda: _differs(trials.run(0, whole, scored=SCORED), first),
    )
    few = batch * (half - 1)
    try:
        epochs, epoch_states = trials.run(0, whole, stream=few, saves=[half], scored=SCORED)
    except TrialFailed as failure:
        yield Promise("its data are the first examples of the stream, over and over", None, str(failure))
        return
    heeds = (
        ""
        if epochs.losses != first.losses
        else (
            f"passes over {few} examples have the losses of one over {trials.data.train_examples:,}: stream_examples "
            "has no effect, so the number of examples would mean nothing"
        )
    )
    yield Promise("its data are the first examples of the stream, over and over", None, heeds)
    if trials.program.manifest.weights is not None:
        yield from weights_tried(trials, first, whole, SCORED)
    if declared is Sharing.NONE:
        return
    yield from tried(
        "it goes on inside the second epoch as if it had not stopped",
        Sharing.RESUME,
        lambda: _differs(
            trials.run(half, whole, stream=few, state=epoch_states / str(half), scored=SCORED), epochs, half
        ),
    )
    try:
        saving, states = trials.run(0, whole, saves=[2, half, whole], scored=SCORED)
    except TrialFailed as failure:
        yield Promise("saving changes nothing", Sharing.RESUME, str(failure))
        return
    yield Promise("saving changes nothing", Sharing.RESUME, _difference(saving, first))
    fork = states / str(half)
    try:
        before = contents(fork)
    except BadAnswer as bad:
        yield Promise("a state is a folder of plain files", Sharing.RESUME, str(bad))
        return
    yield from tried(
        f"{half} steps and {half} more are {whole} at once",
        Sharing.RESUME,
        lambda: _differs(trials.run(half, whole, state=fork, scored=SCORED), first, half),
    )
    yield from _interruptions(trials)
    if declared is Sharing.EXACT:
        yield from _sharing(trials, first, states, before)


def _sharing(trials: Trials, first: Outcome, states: Any, before: list[tuple[str, bytes]]) -> Iterator[Promise]:
    half, end = HALF, HALF + 2
    fork = states / str(half)
    knots = [(0, 1.0), (half - 1, 1.0), (half, 0.6), (end - 1, 0.2)]

    def another_end() -> str:
        alone, _ = trials.run(0, end, knots=knots, scored=SCORED)
        child = trials.run(half, end, knots=knots, state=copied(fork, states.parent / "travelled"), scored=SCORED)
        if alone.losses == first.until(end):
            return "a falling rate has the losses of a constant one: rate_knots has no effect"
        return _differs(child, alone, half)

    yield from tried("a second child of a state, with another end, is what it is alone", Sharing.EXACT, another_end)
    changed = "" if contents(fork) == before else "a child has changed the state that it started from"
    yield Promise("a parent's state stays as it was", Sharing.EXACT, changed)
    if trials.program.manifest.data_prefix:
        fewer = trials.recipe.batch_size * half

        def prefix() -> str:
            short, _ = trials.run(0, half, stream=fewer)
            if short.losses == first.until(half):
                return ""
            return "over fewer examples the first epoch is another one; write data_prefix = false"

        yield from tried("the first epoch over D examples begins every longer one", Sharing.EXACT, prefix)


def _interruptions(trials: Trials) -> Iterator[Promise]:
    """Stop it by SIGTERM, and kill it; both times it goes on from what it left."""
    left = []
    for number, name, every_s in (
        (signal.SIGTERM, "after SIGTERM it saves, exits with 75 and goes on", 1e9),
        (signal.SIGKILL, "killed, it goes on from the last state that it left by checkpoint_interval_s", 0.05),
    ):
        try:
            _, code, states = trials.interrupted(number, every_s=every_s)
        except TrialFailed as failure:
            yield Promise(name, Sharing.RESUME, str(failure))
            continue
        there = steps_in(states)
        if number == signal.SIGTERM and code != SAVED:
            grace_s = trials.program.manifest.grace_s
            how = f"it did not end within {grace_s:g} s (grace_s)" if code is None else f"it ended with exit {code}"
            yield Promise(name, Sharing.RESUME, how)
        elif not there:
            yield Promise(name, Sharing.RESUME, "it left no state")
        else:
            left.append((name, there[-1], states / str(there[-1])))
    if not left:
        return
    last = max(step for _, step, _ in left) + 2
    try:
        straight, _ = trials.run(0, last)
    except TrialFailed as failure:
        yield Promise("it trains on", Sharing.RESUME, str(failure))
        return
    for name, step, state in left:
        yield from tried(
            name,
            Sharing.RESUME,
            lambda step=step, state=state: _differs(trials.run(step, step + 2, state=state), straight, step, step + 2),  # type: ignore[misc]
        )


def _first_faults(first: Outcome, steps: int) -> str:
    if sorted(first.losses) != list(range(1, steps + 1)):
        return f"it wrote metrics of the steps {sorted(first.losses)[:20]} where 1 to {steps} were done"
    return "" if "val_loss" in first.scores else "its val_loss is null, though eval_examples asks for a score"


def _differs(run: tuple[Outcome, Any], wanted: Outcome, start: int = 0, stop: int | None = None) -> str:
    return _difference(run[0], wanted, start, stop)


def _difference(found: Outcome, wanted: Outcome, start: int = 0, stop: int | None = None) -> str:
    """Return how losses and scores differ from those wanted after a step, or nothing."""
    expected = {step: loss for step, loss in wanted.after(start).items() if stop is None or step <= stop}
    for step, loss in expected.items():
        if found.losses.get(step) != loss:
            return f"the training loss of step {step} is {found.losses.get(step)!r} and not {loss!r}"
    if stop is None:
        for name, value in wanted.scores.items():
            if found.scores.get(name) != value:
                return f"{name} is {found.scores.get(name)!r} and not {value!r}"
    return ""
