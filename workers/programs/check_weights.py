"""What a program with plain weights promises beside the rest: that they are all there, and that a score is theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.programs.exchange import BadAnswer, read_file
from workers.programs.promise import Promise, tried
from workers.programs.state import MOST_BYTES
from workers.programs.trial import Outcome, TrialFailed, Trials, contents
from workers.programs.weights import check_weights, read_weights

#: After so many steps it leaves the state whose weights are scored in the place of the last one's.
EARLY: Final = 2
#: What a score is compared by, where an answer has it.
SCORES: Final = ("val_loss", "test_loss", "bits_per_byte", "accuracy")
_MEND: Final = "; mend it, or take weights out of program.toml"


def weights_tried(trials: Trials, first: Outcome, steps: int, scored: int) -> Iterator[Promise]:
    """Try what a manifest's ``weights`` promises.

    Parameters
    ----------
    first
        What training at once came to, scored.
    steps, scored
        How long it was, and by how many examples it was scored.
    """
    name = trials.program.manifest.weights
    assert name is not None, "the manifest names the file"
    whole_name = f"every state holds the weights in {name}"
    try:
        _, states = trials.run(0, steps, saves=[EARLY, steps])
        early, late = (_weights_in(states / str(step), name) for step in (EARLY, steps))
        for data in (early, late):
            check_weights(data, name, trials.shape)
        kinds = [{k: (v.shape, v.dtype) for k, v in read_weights(data, name).items()} for data in (early, late)]
    except (TrialFailed, BadAnswer) as failure:
        yield Promise(whole_name, None, f"{failure}{_MEND}")
        return
    differ = "" if kinds[0] == kinds[1] else f"two states of one model hold other arrays{_MEND}"
    yield Promise(whole_name, None, differ)
    if differ:
        return
    end, before = states / str(steps), contents(states / str(steps))
    files: list[Path] = []

    def unchanged() -> str:
        outcome, file = trials.score(end, late, scored)
        files.append(file)
        return _scores_differ(outcome, first)

    yield from tried("a score of unchanged weights is that of training", None, unchanged)
    if not files:
        return
    left = contents(end) == before and read_file(files[0], MOST_BYTES) == late
    seen = "" if left else f"a score has changed the weights or the state that it was given{_MEND}"
    yield Promise("a score changes no file that it is given", None, seen)

    def heeds() -> str:
        there, _ = trials.score(end, early, scored)
        own, _ = trials.score(states / str(EARLY), early, scored)
        if not _scores_differ(there, first) and early != late:
            return f"other weights have the same score: the file that a score names has no effect{_MEND}"
        return _scores_differ(there, own)

    yield from tried("a score is that of the weights that it is given, whatever state is with them", None, heeds)


def _weights_in(state: Path, name: str) -> bytes:
    try:
        return read_file(state / name, MOST_BYTES)
    except FileNotFoundError:
        raise BadAnswer(f"the state {state.name} holds no {name}") from None


def _scores_differ(found: Outcome, wanted: Outcome) -> str:
    for score in SCORES:
        if found.scores.get(score) != wanted.scores.get(score):
            return f"{score} is {found.scores.get(score)!r} and not {wanted.scores.get(score)!r}{_MEND}"
    return ""
