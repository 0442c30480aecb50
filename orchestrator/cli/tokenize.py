"""``scalaw tokenize``: text → token shards."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, emit_json, say, tell, warn
from orchestrator.errors import BadInput

NAME = "tokenize"


def command(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATHS", help="Text, JSON lines and Parquet files, and folders of them.")
    ],
    out: Annotated[
        str | None, typer.Option("-o", "--out", metavar="SHARDS", help="Folder for shards and manifest.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", metavar="T", help="byte (the default), a tokenizer.json, or hf:NAME[@REVISION]."),
    ] = None,
    train_vocab: Annotated[
        int | None, typer.Option("--train-vocab", metavar="N", help="Train a tokenizer of N tokens on the text.")
    ] = None,
    end_of_text: Annotated[
        str | None, typer.Option("--end-of-text", metavar="TOKEN", help="The token that ends a document.")
    ] = None,
    column: Annotated[
        str, typer.Option("--column", metavar="NAME", help="Field of the text in JSON lines and Parquet.")
    ] = "text",
    held_out: Annotated[
        float | None,
        typer.Option("--held-out", metavar="SHARE", help="Documents for validation, and for test: 0.05 or 0.005."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", metavar="P", min=1, help="At work at once; default: one a core.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: compare the shards in PATHS with their checksums.")
    ] = False,
    json_: Json = False,
) -> None:
    """Turn text into token shards with a manifest, for the data source tokens; safe to repeat.

    Example: scalaw tokenize books/ -o shards --train-vocab 4096
    """
    from workers.tokenizing import job

    if check:
        if len(paths) != 1:
            raise BadInput("--check takes one folder of shards")
        found = job.check(paths[0])
        if json_:
            emit_json(found)
        else:
            say(f"{found['folder']}: {found['shards']:,} shards, {found['tokens']:,} tokens, each as it was written")
        return
    if out is None:
        raise BadInput("name a folder for the shards: -o SHARDS")
    found = job.tokenize(
        paths,
        out,
        tokenizer=tokenizer,
        train_vocab=train_vocab,
        end_of_text=end_of_text,
        column=column,
        held_out=held_out,
        processes=processes,
        tell=tell,
    )
    if json_:
        emit_json(found)
        return
    warn(found["warnings"])
    tokens = found["tokens"]
    say(
        f"{found['folder']}: {tokens['train']:,} tokens to train on, {tokens['val']:,} and {tokens['test']:,} held "
        f"back, of {found['documents']:,} documents; vocabulary {found['vocabulary']:,}, "
        f"{found['bytes_per_token']:.2f} bytes a token\n"
        f"use it as data: {{source: tokens, paths: [{found['folder']}]}}"
    )
