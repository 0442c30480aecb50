"""Whether the likeliest continuation is the right one, byte by byte."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workers.tasks.metric import Asked, Item, Metric, lacks

#: Bytes that are asked for of held-back text.
ANSWER_BYTES = 4


class ExactMatch(Metric):
    """Lines ``{"prompt": "2 + 2 = ", "answer": "4"}``; ``accuracy`` of the greedy continuation, ``bits_per_byte``."""

    name = "exact_match"

    def wrong(self, item: Item) -> str | None:
        """Return what is wrong with an item."""
        fault = lacks(item, prompt=str, answer=str)
        return fault or (None if item["prompt"] and item["answer"] else "'prompt' or 'answer' is empty")

    def score(self, model: Asked, items: Sequence[Item]) -> dict[str, float]:
        """Return ``accuracy`` and ``bits_per_byte``."""
        pairs = [(item["prompt"].encode(), item["answer"].encode()) for item in items]
        said = model.greedy([prompt for prompt, _ in pairs], [len(answer) for _, answer in pairs])
        right = sum(found == answer for found, (_, answer) in zip(said, pairs, strict=True))
        nats = -sum(model.log_likelihoods(pairs)) / sum(len(answer) for _, answer in pairs)
        return {"accuracy": right / len(items), "bits_per_byte": nats / math.log(2)}

    def made_of(self, texts: Sequence[bytes]) -> list[Item]:
        """Return items that ask how a text goes on."""
        pieces = [text.decode(errors="ignore") for text in texts]
        return [
            {"prompt": text[:-ANSWER_BYTES], "answer": text[-ANSWER_BYTES:]}
            for text in pieces
            if len(text) > ANSWER_BYTES
        ]
