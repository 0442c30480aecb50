"""Which of some continuations is likeliest, per byte."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workers.tasks.metric import Asked, Item, Metric, lacks

#: Pieces of held-back text of which items are made, and the bytes of an answer.
CHOICES, ANSWER_BYTES = 4, 12


class MultipleChoice(Metric):
    """Lines ``{"question": "2 + 2 = ", "choices": ["4", "5"], "answer": 0}``.

    ``accuracy``: the share in which the right choice has the highest log-likelihood per byte; ``bits_per_byte``: of the
    right choices, over all their bytes, which is smooth where accuracy is still at chance.
    """

    name = "multiple_choice"

    def wrong(self, item: Item) -> str | None:
        """Return what is wrong with an item."""
        fault = lacks(item, question=str, choices=list, answer=int)
        if fault:
            return fault
        choices = item["choices"]
        if len(choices) < 2 or not all(isinstance(choice, str) and choice for choice in choices):
            return "'choices' are at least two texts, none of them empty"
        if len(set(choices)) < len(choices):
            return "'choices' has one of them twice"
        if not 0 <= item["answer"] < len(choices):
            return f"'answer' is the number of a choice, 0 to {len(choices) - 1}, not {item['answer']}"
        return None

    def score(self, model: Asked, items: Sequence[Item]) -> dict[str, float]:
        """Return ``accuracy``, ``bits_per_byte`` and ``chance``, the accuracy of a guess."""
        pairs = [(item["question"].encode(), choice.encode()) for item in items for choice in item["choices"]]
        logs = iter(model.log_likelihoods(pairs))
        right, nats, size = 0, 0.0, 0
        for item in items:
            sizes = [len(choice.encode()) for choice in item["choices"]]
            found = [next(logs) for _ in sizes]
            each = [log / size_bytes for log, size_bytes in zip(found, sizes, strict=True)]
            right += each.index(max(each)) == item["answer"]
            nats -= found[item["answer"]]
            size += sizes[item["answer"]]
        chance = sum(1 / len(item["choices"]) for item in items) / len(items)
        return {"accuracy": right / len(items), "bits_per_byte": nats / size / math.log(2), "chance": chance}

    def made_of(self, texts: Sequence[bytes]) -> list[Item]:
        """Return items that ask how a text goes on; the wrong choices are how others go on."""
        pieces = [piece for text in texts if len(piece := text.decode(errors="ignore")) > 2 * ANSWER_BYTES]
        found: list[Item] = []
        for k, piece in enumerate(pieces):
            others = [pieces[(k + step) % len(pieces)] for step in range(1, CHOICES)]
            choices = [text[-ANSWER_BYTES:] for text in (piece, *others)]
            if len(set(choices)) == CHOICES:
                place = k % CHOICES
                choices[0], choices[place] = choices[place], choices[0]
                found.append({"question": piece[:-ANSWER_BYTES], "choices": choices, "answer": place})
        return found
