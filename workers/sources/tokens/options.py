"""The YAML keys of source ``tokens``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from orchestrator.spec.bounds import Token, Vocabulary
from orchestrator.spec.options import Options


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Paths = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class TokensOptions(Options):
    """YAML keys beside ``source: tokens``."""

    paths: Annotated[Paths, Field(min_length=1)] = Field(
        description="token files (.bin, .npy, .parquet, .arrow) and folders of them, here or in a bucket"
    )
    val: Paths = Field((), description="validation files; left out: those whose names say so, else the last windows")
    test: Paths = Field((), description="test files; left out: those whose names say so, else half of validation")
    vocabulary: Vocabulary | None = Field(None, description="tokens of the tokenizer; left out: as tokens.json says")
    dtype: Literal["auto", "uint16", "uint32"] = Field(
        "auto", description="of files that don't say; auto: uint16 where the vocabulary allows"
    )
    column: str = Field("auto", description="token column of Parquet and Arrow files; auto: tokens, input_ids or ids")
    end_of_text: Token | None = Field(None, description="the token that ends a document")
    document_mask: bool = Field(False, description="a token attends to its own document alone; needs end_of_text")
