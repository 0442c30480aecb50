"""``train.batch_size=16``: one value of a sweep set from the command line."""

from __future__ import annotations

import re
from typing import Any

from orchestrator.errors import BadInput
from orchestrator.spec.yaml.document import Document, Mark
from orchestrator.spec.yaml.key_path import KeyPath, quoted, shown
from orchestrator.spec.yaml.parser import parse_document

_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*", re.ASCII)


def overridden(document: Document, override: str) -> Document:
    """Return the document with one value replaced; the value is YAML, lists in brackets.

    Keys on the way are made where they are missing; whether they are known is asked when the sweep is validated.

    Raises
    ------
    BadInput
        If it isn't ``KEY=VALUE``, the value isn't YAML, or a key on the way holds no mapping.
    """
    label = f"override {quoted(override, 60)}"
    dotted, equals, text = override.partition("=")
    if not equals or not _KEY.fullmatch(dotted.strip()):
        raise BadInput(f"{label}: expected KEY=VALUE such as train.batch_size=16")
    path: KeyPath = tuple(dotted.strip().split("."))
    value = parse_document(text, label, path).data if text.strip() else None
    data: dict[str, Any] = dict(document.data)
    holder = data
    for depth, part in enumerate(path[:-1], start=1):
        below = holder.get(str(part), {})
        if not isinstance(below, dict):
            raise BadInput(f"{label}: {shown(path[:depth])} holds no mapping, so nothing in it can be set")
        holder[str(part)] = holder = dict(below)
    holder[str(path[-1])] = value
    marks: dict[KeyPath, Mark | str] = {p: m for p, m in document.marks.items() if p[: len(path)] != path}
    return Document(document.name, data, {**marks, path: label})
