"""All shards of a data set, opened and compared with each other and with the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from orchestrator.errors import BadOption
from workers.sources.staging import on_this_node
from workers.sources.tokens.fingerprint import WHOLE_BYTES, looked_at
from workers.sources.tokens.flat_copy import flat_copy
from workers.sources.tokens.listing import by_split, files_of
from workers.sources.tokens.options import TokensOptions
from workers.sources.tokens.shard_file import COLUMNS, Shard, flat_shard
from workers.sources.tokens.shards_manifest import NAME, ShardsManifest, read_manifest

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """The shards of each split, and what is known of all.

    Parameters
    ----------
    shards, digests
        By split: the files in their order, and what identifies the content of each.
    vocabulary
        Every token is below it.
    end_of_text
        The token that ends a document, where it is known.
    notes
        What a person should know before it is trained on.
    manifest
        Where ``scalaw tokenize`` made them.
    """

    shards: Mapping[str, tuple[Shard, ...]]
    digests: Mapping[str, tuple[str, ...]]
    vocabulary: int
    end_of_text: int | None
    notes: tuple[str, ...] = ()
    manifest: ShardsManifest | None = None

    def token_bytes(self) -> npt.NDArray[np.uint16] | float | None:
        """Return the bytes of text behind each token, or in the mean of the validation shards, where they are known."""
        if self.manifest is None:
            return None
        if not self.manifest.table_sha256:
            return self.manifest.bytes_per_token("val")
        table = np.zeros(self.vocabulary, np.uint16)
        known = self.manifest.table()[: self.vocabulary]
        table[: len(known)] = known
        return table


def find_shards(options: TokensOptions) -> ShardSet:
    """Return the shards that the options name.

    Raises
    ------
    BadOption
        If they aren't there, are damaged, differ in type, or hold a token beyond the vocabulary.
    """
    manifest = _only_manifest(options)
    found = _unnamed(options) if manifest is None else _named(options, manifest)
    types = {shard.dtype: shard.path for shards in found.shards.values() for shard in shards}
    if len(types) > 1:
        (one, here), (other, there) = list(types.items())[:2]
        raise BadOption(
            "data",
            "paths",
            f"{here} holds {one} and {there} {other}: shards of one data set are of one type; write them anew, or make "
            "two sweeps",
        )
    return found


def _only_manifest(options: TokensOptions) -> ShardsManifest | None:
    """Return the manifest of the one folder that is named, if it has one."""
    if len(options.paths) == 1 and not options.val and not options.test:
        return read_manifest(on_this_node(options.paths[0], key="paths"))
    with_manifest = [path for path in options.paths if (on_this_node(path, key="paths") / NAME).is_file()]
    if with_manifest:
        raise BadOption(
            "data",
            "paths",
            f"{with_manifest[0]} has a {NAME}, which speaks for that folder alone: name it alone, or name its files",
        )
    return None


def _named(options: TokensOptions, manifest: ShardsManifest) -> ShardSet:
    opened = {split: manifest.opened(split) for split in SPLITS}
    if not opened["train"]:
        raise BadOption("data", "paths", f"{manifest.folder / NAME} names no train shard: tokenize anew")
    vocabulary = options.vocabulary or manifest.vocabulary
    worst = max((entry for pairs in opened.values() for _, entry in pairs), key=lambda entry: entry.largest_token)
    _check_vocabulary(vocabulary, worst.largest_token, manifest.folder / worst.file)
    whole = manifest.check()
    note = f"{manifest.folder}: too large to compare all bytes with their checksums each time: blocks are"
    return ShardSet(
        shards={split: tuple(shard for shard, _ in pairs) for split, pairs in opened.items()},
        digests={split: tuple(entry.sha256 for _, entry in pairs) for split, pairs in opened.items()},
        vocabulary=vocabulary,
        end_of_text=manifest.end_of_text if options.end_of_text is None else options.end_of_text,
        notes=() if whole else (f"{note}; the check of scalaw tokenize reads everything",),
        manifest=manifest,
    )


def _unnamed(options: TokensOptions) -> ShardSet:
    files = by_split(files_of(options.paths, key="paths"))
    for split, paths in (("val", options.val), ("test", options.test)):
        if paths:
            files["train"] = [file for file in files["train"] if not _is_among(file, paths)]
            files[split] = [file.path for file in files_of(paths, key=split)]
    if not files["train"]:
        raise BadOption("data", "paths", f"{', '.join(options.paths)} holds no file to train on, by their names")
    if options.vocabulary is None:
        raise BadOption(
            "data",
            "vocabulary",
            f"isn't known: {files['train'][0]} comes without {NAME}, so write how many tokens the tokenizer has "
            "(GPT-2's has 50257)",
        )
    dtype = options.dtype
    if dtype == "auto":
        dtype = "uint16" if options.vocabulary <= 2**16 else "uint32"
    shards = {split: tuple(_open(file, options, dtype) for file in paths) for split, paths in files.items()}
    digests, notes = _looked_at(shards, options.vocabulary)
    return ShardSet(
        shards=shards,
        digests=digests,
        vocabulary=options.vocabulary,
        end_of_text=options.end_of_text,
        notes=notes,
    )


def _open(file: Path, options: TokensOptions, dtype: str) -> Shard:
    if file.suffix in COLUMNS:
        return flat_copy(file, options.column, dtype, options.end_of_text)
    return flat_shard(file, dtype)


def _is_among(file: Path, paths: Sequence[str]) -> bool:
    return any(file == Path(path).expanduser() or Path(path).expanduser() in file.parents for path in paths)


def _looked_at(
    shards: Mapping[str, tuple[Shard, ...]], vocabulary: int
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    flat = [shard for split in SPLITS for shard in shards[split]]
    seen = dict(zip(flat, looked_at(flat), strict=True))
    for shard, what in seen.items():
        _check_vocabulary(vocabulary, what.largest, shard.path)
    notes = () if all(what.whole for what in seen.values()) else (_sampled(flat),)
    return {split: tuple(seen[shard].digest for shard in shards[split]) for split in SPLITS}, notes


def _sampled(shards: Sequence[Shard]) -> str:
    size = sum(shard.nbytes for shard in shards)
    return (
        f"{shards[0].path} and the other shards ({size:,} bytes) are more than {WHOLE_BYTES:,} bytes without a {NAME}: "
        "they are known by their sizes and by samples, so a change between the samples would not be seen"
    )


def _check_vocabulary(vocabulary: int, largest: int, path: Path) -> None:
    if largest >= vocabulary:
        raise BadOption(
            "data",
            "vocabulary",
            f"is {vocabulary:,}, and {path} holds token {largest:,}: write the tokenizer's, or look at data.dtype",
        )
