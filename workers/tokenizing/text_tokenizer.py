"""What turns text into tokens: bytes as they are, or a tokenizer of the ``tokenizers`` library."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from orchestrator.errors import BadInput, Unreachable

#: What ends a document in tokenizers that people use, in the order in which they are looked for.
ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "<|bos|>", "[SEP]")
#: The one of the tokenizers that are trained here.
OWN_END = ENDS[0]
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


class TextTokenizer(Protocol):
    """Turns documents into tokens, the same in every process.

    Attributes
    ----------
    kind, name, sha256
        What it is, for the manifest; the SHA-256 is of its definition.
    vocabulary
        Tokens that there are; each is below it.
    end_of_text
        The token that ends a document.
    """

    kind: str
    name: str
    sha256: str
    vocabulary: int
    end_of_text: int

    def encode(self, documents: Sequence[bytes]) -> list[npt.NDArray[np.uint32]]:
        """Return the tokens of each document, without the end."""

    def token_bytes(self) -> npt.NDArray[np.uint16]:
        """Return how many bytes of text each token stands for, (vocabulary,); of an end none."""


class ByteTokenizer:
    """Each byte is a token; 256 ends a document."""

    kind, name, vocabulary, end_of_text = "byte", "byte", 257, 256
    sha256 = hashlib.sha256(b"scalaw byte tokenizer 1").hexdigest()

    def encode(self, documents: Sequence[bytes]) -> list[npt.NDArray[np.uint32]]:
        """Return the bytes of each document."""
        return [np.frombuffer(text, np.uint8).astype(np.uint32) for text in documents]

    def token_bytes(self) -> npt.NDArray[np.uint16]:
        """Return 1 for each byte."""
        table = np.ones(self.vocabulary, np.uint16)
        table[self.end_of_text] = 0
        return table


class LibraryTokenizer:
    """A ``tokenizer.json``.

    Parameters
    ----------
    kind, name
        Where it is from.
    definition
        Its JSON.
    end
        The token that ends a document, as text; ``None``: the first of the usual ones that it has.

    Raises
    ------
    BadInput
        If the library isn't installed, the JSON is no tokenizer, or it has no such end.
    """

    def __init__(self, kind: str, name: str, definition: str, end: str | None) -> None:
        library = tokenizers_library()
        self.kind, self.name = kind, name
        self.sha256 = hashlib.sha256(definition.encode()).hexdigest()
        try:
            self._tokenizer: Any = library.Tokenizer.from_str(definition)
        except Exception as error:  # the library raises the bare class
            raise BadInput(f"`tokenizer` {name} is no tokenizer.json: {_line(error)}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        known: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        found = [token for token in ((end,) if end else ENDS) if token in known]
        if not found:
            what = f"has no token {end!r}" if end else f"has none of the usual ends of a document ({', '.join(ENDS)})"
            raise BadInput(f"`tokenizer` {name} {what}: name the one that ends a document as `end_of_text`")
        self.end_of_text = known[found[0]]
        self.vocabulary = max(known.values()) + 1
        self._known = known

    def encode(self, documents: Sequence[bytes]) -> list[npt.NDArray[np.uint32]]:
        """Return the tokens of each document; bytes that are no UTF-8 are replaced as Unicode says."""
        texts = [text.decode("utf-8", errors="replace") for text in documents]
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [np.array(one.ids, np.uint32) for one in encoded]

    def token_bytes(self) -> npt.NDArray[np.uint16]:
        """Return the bytes behind each token, as well as its spelling tells them."""
        table = np.zeros(self.vocabulary, np.uint16)
        added = self._tokenizer.get_added_tokens_decoder()
        byte_level = "ByteLevel" in str(type(self._tokenizer.decoder).__name__)
        for token, number in self._known.items():
            if number in added:
                table[number] = 0 if added[number].special else len(token.encode())
            elif byte_level:  # its alphabet has a character for each byte
                table[number] = len(token)
            else:
                table[number] = 1 if _BYTE.fullmatch(token) else len(token.replace("▁", " ").encode())
        return table


def tokenizer_named(name: str, *, end: str | None = None) -> TextTokenizer:
    """Return ``byte``, the tokenizer in a file or folder, or ``hf:NAME`` or ``hf:NAME@REVISION`` from the hub.

    Raises
    ------
    BadInput
        If there is none.
    Unreachable
        If the hub doesn't answer.
    """
    if name == "byte":
        return ByteTokenizer()
    if name.startswith("hf:"):
        return LibraryTokenizer("hf", name, _from_hub(name[3:]), end)
    path = Path(name).expanduser()
    path = path / "tokenizer.json" if path.is_dir() else path
    try:
        return LibraryTokenizer("file", path.name, path.read_text(), end)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadInput(f"`tokenizer` {path} can't be read: {why}; give byte, a tokenizer.json, or hf:NAME") from error


def trained(documents: Iterable[bytes], vocabulary: int) -> str:
    """Return the JSON of a byte-level BPE tokenizer with so many tokens, of which the first ends a document.

    Raises
    ------
    BadInput
        If the library isn't installed, or the text has too few pairs for so many.
    """
    library = tokenizers_library()
    if vocabulary < 257:
        raise BadInput(f"`train_vocab` must be at least 257, not {vocabulary}: 256 bytes and the end of a document")
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[OWN_END],
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text.decode("utf-8", errors="replace") for text in documents), trainer)
    if tokenizer.get_vocab_size() < vocabulary:
        raise BadInput(
            f"`train_vocab` is {vocabulary:,}, and the text has pairs for {tokenizer.get_vocab_size():,} tokens only: "
            "lower it or add text"
        )
    return str(tokenizer.to_str())


def tokenizers_library() -> Any:
    """Return the library, which is not among the usual dependencies.

    Raises
    ------
    BadInput
        If it isn't installed.
    """
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise BadInput(
            "a tokenizer other than byte needs the library tokenizers: pip install 'scalaw[tokenize]'"
        ) from error
    return tokenizers


def _from_hub(name: str) -> str:
    """Return a tokenizer's JSON: of a local folder, or of the hub."""
    tokenizers_library()
    name, _, revision = name.partition("@")
    import huggingface_hub  # comes with tokenizers, and takes a second to load

    try:
        path = huggingface_hub.hf_hub_download(name, "tokenizer.json", revision=revision or None)
        return Path(path).read_text()
    except (ValueError, huggingface_hub.errors.RepositoryNotFoundError, huggingface_hub.errors.EntryNotFoundError) as e:
        raise BadInput(f"`tokenizer` hf:{name} has no tokenizer.json: {_line(e)}") from e
    except Exception as error:  # a dozen classes of several libraries, for one thing
        raise Unreachable(f"`tokenizer` hf:{name} can't be fetched: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
