"""Source ``tokens``: shards of any size, in the type, vocabulary and split that they were written with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import BadOption
from orchestrator.planning.manifest import DataManifest
from workers.sources.keyed_order import KEYED_ORDER, KeyedOrder
from workers.sources.source import Dataset
from workers.sources.tokens.options import TokensOptions
from workers.sources.tokens.ranges import Ranges, split_ranges
from workers.sources.tokens.shard_set import ShardSet, find_shards
from workers.sources.tokens.windows import TokenWindows


class Tokens:
    """Windows of ``model.context`` tokens, mapped from their files; the order of training takes no memory."""

    name = "tokens"
    Options = TokensOptions

    @staticmethod
    def manifest(options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Return sizes and identity, within a second whatever the size.

        Raises
        ------
        BadOption
            If a file is missing, cut off, of another type than the rest, or holds a token beyond the vocabulary.
        """
        chosen = TokensOptions.model_validate(options)
        found = find_shards(chosen)
        return _manifest(chosen, found, split_ranges(found, context), context)

    @staticmethod
    def load(options: Mapping[str, Any], *, context: int) -> Dataset:
        """Return the windows, none of them read yet; raises as :meth:`manifest`."""
        chosen = TokensOptions.model_validate(options)
        found = find_shards(chosen)
        ranges = split_ranges(found, context)
        splits = {
            name: TokenWindows(part.reader, context, first=part.first, count=part.count, vocabulary=found.vocabulary)
            for name, part in ranges.items()
        }
        return Dataset(
            manifest=_manifest(chosen, found, ranges, context),
            **splits,
            ordered=KeyedOrder,
            token_bytes=found.token_bytes(),
        )


def _manifest(options: TokensOptions, found: ShardSet, ranges: Ranges, context: int) -> DataManifest:
    end = found.end_of_text
    if options.document_mask and end is None:
        raise BadOption(
            "data", "document_mask", "needs to know where a document ends: write end_of_text, the tokenizer's token"
        )
    identity = {
        "tokens": 1,
        "order": KEYED_ORDER,
        "context": context,
        "vocabulary": found.vocabulary,
        "document_end": end if options.document_mask else None,
        "shards": {name: list(digests) for name, digests in found.digests.items()},
        "ranges": {name: [part.of, part.first, part.count] for name, part in ranges.items()},
    }
    return DataManifest(
        task="tokens",
        digest=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        train_examples=ranges["train"].count,
        val_examples=ranges["val"].count,
        test_examples=ranges["test"].count,
        tokens_per_example=context,
        input_shape=(context,),
        classes=found.vocabulary,
        document_end=end if options.document_mask else None,
        notes=found.notes,
    )
