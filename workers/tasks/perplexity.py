"""How likely some text is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workers.tasks.metric import Asked, Item, Metric, lacks


class Perplexity(Metric):
    """Lines ``{"text": "…"}``; ``bits_per_byte`` over all bytes but the first of each text, and its perplexity."""

    name = "perplexity"

    def wrong(self, item: Item) -> str | None:
        """Return what is wrong with an item."""
        return lacks(item, text=str) or (None if len(item["text"].encode()) > 1 else "'text' has less than two bytes")

    def score(self, model: Asked, items: Sequence[Item]) -> dict[str, float]:
        """Return ``bits_per_byte``, and ``perplexity`` of a byte."""
        pairs = [(text[:1], text[1:]) for item in items if (text := item["text"].encode())]
        nats = -sum(model.log_likelihoods(pairs)) / sum(len(rest) for _, rest in pairs)
        return {"bits_per_byte": nats / math.log(2), "perplexity": math.exp(min(nats, 700.0))}

    def made_of(self, texts: Sequence[bytes]) -> list[Item]:
        """Return the texts."""
        return [{"text": piece} for text in texts if len(piece := text.decode(errors="ignore")) > 1]
