"""“Did you mean …?” for keys and names."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST_WORD = 64


def suggestion(word: object, known: Iterable[str], what: str = "known") -> str:
    """Return ``did you mean 'x'?`` for the nearest of ``known``, or the list of what there is."""
    import difflib

    names = list(known)
    if isinstance(word, str) and len(word) <= _LONGEST_WORD:
        lowered = {name.lower(): name for name in names}
        near = difflib.get_close_matches(word.lower(), lowered, n=1)
        if near:
            return f"did you mean {lowered[near[0]]!r}?"
    return f"{what}: {', '.join(names)}" if names else "it takes no keys"
