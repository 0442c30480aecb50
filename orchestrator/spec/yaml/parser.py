"""Our YAML loader: events to plain data, one pass, no recursion, nothing evaluated (I8).

It works on PyYAML's event stream (libyaml where PyYAML has it) instead of its constructors, because those keep the
last of duplicate keys, read ``1e9`` as text, expand aliases without limit and recurse with the document's depth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from orchestrator.errors import BadInput
from orchestrator.spec.yaml.document import Document, Mark
from orchestrator.spec.yaml.key_path import KeyPath, keys_alone, quoted, shown
from orchestrator.spec.yaml.scalars import resolve
from orchestrator.spec.yaml.syntax_errors import fault

MAX_DEPTH = 32
MAX_VALUES = 2_000
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAB_INDENT = re.compile(r"^ *\t[ \t]*[^\s#]", re.MULTILINE)


def parse_document(text: str, name: str, within: KeyPath = ()) -> Document:
    """Parse one YAML document of at most 2,000 values (aliases expanded) and 32 levels; an empty one is ``None``.

    What is refused is named by its key below ``within``.

    Raises
    ------
    BadInput
        With ``name``, line, key and the likely fix, for what isn't YAML and for what we don't take: duplicate keys,
        keys that aren't text, tags, merge keys, several documents, tabs as indentation, alias bombs.
    """
    _check_characters(text, name)
    builder = _Builder(name, within)
    events = yaml.parse(text, Loader=_Loader)
    while True:
        try:
            event = next(events, None)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise BadInput(fault(error, text, name, keys_alone(builder.here))) from None
        if event is None:
            break
        builder.take(event)
    return Document(name, builder.root, builder.marks)


def _check_characters(text: str, name: str) -> None:
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput(f"{name}:{line}: a NUL byte; this is no text file, save it as UTF-8")
    tab = _TAB_INDENT.search(text) if "\t" in text else None
    if tab:
        line = text.count("\n", 0, tab.start()) + 1
        raise BadInput(f"{name}:{line}: a tab in the indentation; indent with spaces")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise BadInput(f"{name}:{line}: a character that UTF-8 can't hold; remove it") from None


@dataclass
class _Open:
    """A mapping or list whose end hasn't come yet; ``size`` and ``height`` count what is inside, aliases expanded."""

    holder: dict[str, Any] | list[Any]
    path: KeyPath
    anchor: str | None
    key: str | None = None
    size: int = 1
    height: int = 1


class _Builder:
    def __init__(self, name: str, within: KeyPath) -> None:
        self.name, self.within = name, within
        self.root: Any = None
        self.documents = 0
        self.marks: dict[KeyPath, Mark | str] = {}
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._unfinished: set[str] = set()
        self._values = 0

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._refuse(event, (), "a second document begins here; keep one sweep in a file, without `---`")

    def _scalar(self, event: Any) -> None:
        path = self.here
        self._no_tag(event, path)
        value: Any = event.value
        if event.implicit[0]:
            try:
                value = resolve(event.value)
            except ValueError as error:
                self._refuse(event, path, str(error))
        if self._awaits_key():
            self._open_key(event, value)
        else:
            self._put(event, value, path, 1, 0)
            if event.anchor:
                self._anchors[event.anchor] = (value, 1, 0)

    def _begin(self, event: Any) -> None:
        path = self.here
        self._no_tag(event, path)
        if self._awaits_key():
            self._refuse(event, path, "a mapping or list as a key; keys are words")
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(
                event, keys_alone(path), f"nested deeper than {MAX_DEPTH} levels; a sweep needs no more than eight"
            )
        holder: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._put(event, holder, path, 1, 0)
        if event.anchor:
            self._unfinished.add(event.anchor)
        self._stack.append(_Open(holder, path, event.anchor))

    def _end(self) -> None:
        done = self._stack.pop()
        if done.anchor:
            self._unfinished.discard(done.anchor)
            self._anchors[done.anchor] = (done.holder, done.size, done.height)
        if self._stack:
            self._stack[-1].size += done.size - 1
            self._stack[-1].height = max(self._stack[-1].height, done.height + 1)

    def _alias(self, event: Any) -> None:
        path = self.here
        label = quoted(f"*{event.anchor}")
        if self._awaits_key():
            self._refuse(event, path, f"the alias {label} as a key; write the key out")
        if event.anchor in self._unfinished:
            self._refuse(event, path, f"the alias {label} repeats what it stands in; write the value out")
        if event.anchor not in self._anchors:
            self._refuse(event, path, f"the alias {label} has no anchor before it; write the value out")
        value, size, height = self._anchors[event.anchor]
        if len(self._stack) + height > MAX_DEPTH:
            self._refuse(event, path, f"the alias {label} nests deeper than {MAX_DEPTH} levels; write the value out")
        self._put(event, value, path, size, height)

    def _put(self, event: Any, value: Any, path: KeyPath, size: int, height: int) -> None:
        self._values += size
        if self._values > MAX_VALUES:
            self._refuse(event, path, f"more than {MAX_VALUES:,} values, aliases expanded; a sweep needs far fewer")
        if not self._stack:
            self.root = value
            self.marks[()] = _mark(event)
            return
        top = self._stack[-1]
        top.size += size
        top.height = max(top.height, height + 1)
        if isinstance(top.holder, dict):
            assert top.key is not None, "a mapping's value comes after its key"
            top.holder[top.key] = value
            top.key = None
        else:
            top.holder.append(value)
            self.marks[path] = _mark(event)

    def _open_key(self, event: Any, key: Any) -> None:
        top = self._stack[-1]
        if not isinstance(key, str):
            self._refuse(event, top.path, f"the key {quoted(event.value)} isn't text; put it in quotes")
        if key == "<<" and event.implicit[0]:
            self._refuse(event, top.path, "merge keys (<<) aren't taken; write the keys out")
        path = (*top.path, key)
        if key in top.holder:
            first = self.marks[path]
            before = f" (first on line {first.line})" if isinstance(first, Mark) else ""
            self._refuse(event, path, f"the key is given twice{before}; keep one of the two")
        self.marks[path] = _mark(event)
        top.key = key

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].holder, dict) and self._stack[-1].key is None

    @property
    def here(self) -> KeyPath:
        """The path of the value that comes next, or of the mapping whose next key does."""
        if not self._stack:
            return ()
        top = self._stack[-1]
        if isinstance(top.holder, dict):
            return top.path if top.key is None else (*top.path, top.key)
        return (*top.path, len(top.holder))

    def _no_tag(self, event: Any, path: KeyPath) -> None:
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(event, path, f"the tag {quoted(tag)} isn't taken; remove it (quotes make a value text)")

    def _refuse(self, event: Any, path: KeyPath, what: str) -> None:
        path = (*self.within, *path)
        key = f"{shown(path)}: " if path else ""
        raise BadInput(f"{self.name}:{event.start_mark.line + 1}: {key}{what}")


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)
