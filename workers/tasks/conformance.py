"""What every kind of task promises; it runs on kinds of other people, too.

>>> from workers.tasks.conformance import broken_promises
>>> from workers.tasks.perplexity import Perplexity
>>> broken_promises(Perplexity())
[]
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from workers.tasks.metric import Metric

#: Pieces of text of which a kind that can is to make questions.
TEXTS = tuple(f"the {number}th of some pieces of text, whose end is {number * number}".encode() for number in range(9))


class _Guesser:
    """A model that finds every byte as likely as any other."""

    def log_likelihoods(self, pairs: Sequence[tuple[bytes, bytes]]) -> list[float]:
        return [-len(text) * math.log(256) for _, text in pairs]

    def greedy(self, beginnings: Sequence[bytes], lengths: Sequence[int]) -> list[bytes]:
        return [b"a" * length for length in lengths]


def broken_promises(metric: Metric) -> list[str]:
    """Return a sentence for each promise that is broken."""
    found = []
    if metric.wrong({}) is None:
        found.append("a question without anything in it is wrong: it is taken")
    try:
        items = metric.made_of(TEXTS)
    except NotImplementedError:
        return found
    if not items:
        return [*found, "questions are made of text: none of these pieces"]
    wrong = [sentence for item in items if (sentence := metric.wrong(json.loads(json.dumps(item))))]
    if wrong:
        found.append(f"questions that it makes are right: {wrong[0]}")
    scores = metric.score(_Guesser(), items)
    if scores != metric.score(_Guesser(), items):
        found.append("scores depend on model and questions alone: others when asked again")
    if not scores or not all(isinstance(value, float) and math.isfinite(value) for value in scores.values()):
        found.append(f"scores are finite numbers by name: {scores}")
    if "bits_per_byte" in scores and not math.isclose(scores["bits_per_byte"], 8.0):
        found.append(f"bits_per_byte of a guesser is 8: {scores['bits_per_byte']}")
    return found
