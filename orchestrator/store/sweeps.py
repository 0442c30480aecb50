"""The sweeps that were run into a store, every version of each: ``sweeps/NAME/VERSION.json``, the newest counts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.errors import BadInput, Unreachable
from orchestrator.store.blobs import Blobs, UnreadableBlob
from orchestrator.store.damage import Damage
from orchestrator.store.documents import DamagedDocument, decode_document, encode_document

FOLDER: Final = "sweeps"
#: Entry that a run adds to a version, which makes no new one of it: what was chosen of its cells.
_ANNOTATION: Final = "selection"
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_KEY = re.compile(rf"{FOLDER}/(?P<name>{_NAME})/(?P<version>[1-9][0-9]{{0,8}})\.json")
#: Where a scalaw that kept one version lays it.
_OLDER = re.compile(rf"{FOLDER}/(?P<name>{_NAME})\.json")
_ASKED = re.compile(rf"(?P<name>{_NAME})(@(?P<version>[0-9]{{1,9}}))?")
#: What verbs read of a document.
_SHAPE: Final = {"sweep": dict, "recipes": dict, "tasks": list, "task": str, "data_digest": str}
_FIT: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("target", "noise", "resample", "epsilon"), (str,)),
    "laws": (list, type(None)),
    "bootstrap": (int,),
    "hold_out": (str, int, float),
}
_JSON: Final = {dict: "object", list: "list", str: "text"}
#: How often a version is written anew because another driver took its number.
_ATTEMPTS: Final = 8


@dataclass(frozen=True)
class SweepChange:
    """What a recorded sweep changes about the one of its name before.

    Attributes
    ----------
    version
        The version that now counts.
    before
        The one that counted before; ``None`` where there was none, or nothing changed.
    added, kept, dropped
        Cells that only the new one has, both have, and only the old one has.
    """

    version: int
    before: int | None = None
    added: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()


class Sweeps:
    """Resolved sweeps by name and version.

    Guarantees: a version once written keeps its cells; a document that is damaged is named and hides no other.
    """

    def __init__(self, blobs: Blobs, damage: Damage) -> None:
        self.blobs = blobs
        self.damage = damage

    def save(self, name: str, document: Mapping[str, Any]) -> SweepChange:
        """Record a sweep: as a new version where it differs from the newest in anything but what was chosen of it.

        Damaged versions of the sweep are set aside.

        Raises
        ------
        BadInput
            If the name can't be a file name.
        Unreachable
            If it can't be written.
        """
        if re.fullmatch(_NAME, name) is None:
            raise BadInput(f"{name!r} can't name a sweep: use letters, digits, dots, dashes and underscores")
        said = json.loads(json.dumps(document))
        for _ in range(_ATTEMPTS):
            sound = self._sound(name)
            newest = max(sound, default=None)
            if newest is not None and _content(sound[newest]) == _content(said):
                if sound[newest] != said:
                    self.blobs.replace(self._keys(name)[newest], encode_document(said))
                return SweepChange(newest)
            version = max(self._keys(name), default=0) + 1
            key = f"{FOLDER}/{name}/{version}.json"
            if self.blobs.put_new(key, encode_document(said)) or self._says(key, said):
                old = frozenset(sound[newest]["cells"]) if newest is not None else frozenset()
                new = frozenset(said.get("cells", ()))
                return SweepChange(version, newest, new - old, new & old, old - new)
        raise Unreachable(f"another driver records {name} in {self.blobs.uri} over and over: run one of them at a time")

    def load(self, asked: str) -> dict[str, Any]:
        """Return a recorded sweep: ``NAME``, which is its newest version, or ``NAME@VERSION``.

        Raises
        ------
        BadInput
            If there is none.
        DamagedDocument
            If it is damaged.
        """
        name, version = split(asked)
        keys = self._keys(name)
        if not keys:
            raise BadInput(f"{self.blobs.uri} has no sweep {name!r}; it has {', '.join(self.names()) or 'none'}")
        if version is not None and version not in keys:
            there = ", ".join(f"{name}@{number}" for number in sorted(keys))
            raise BadInput(f"{self.blobs.uri} has no {asked}; of this sweep it has {there}")
        try:
            return self.read(keys[max(keys) if version is None else version])
        except DamagedDocument as reason:
            raise DamagedDocument(reason.name, reason.reason, "run the sweep again to write it anew") from reason

    def resolve(self, asked: str) -> str:
        """Return what a sweep is called among others: ``NAME`` where its newest version is meant.

        Raises
        ------
        BadInput
            As `load`.
        """
        self.load(asked)
        name, version = split(asked)
        return name if version in (None, self.version(name)) else asked

    def version(self, asked: str) -> int:
        """Return the number of the version that is asked for; 0 where there is none."""
        name, version = split(asked)
        return max(self._keys(name), default=0) if version is None else version

    def names(self) -> list[str]:
        """Return the names of the sweeps, sorted; files that can't be one are passed over."""
        keys = self.blobs.list(FOLDER)
        return sorted({match["name"] for key in keys if (match := _match(key)) is not None})

    def all(self, *, every_version: bool = False) -> dict[str, dict[str, Any]]:
        """Return the sound sweeps by name, or all their versions by ``NAME@VERSION``; damaged ones are named."""
        found: dict[str, dict[str, Any]] = {}
        for name in self.names():
            keys = self._keys(name)
            for version in sorted(keys) if every_version else [max(keys)]:
                try:
                    found[f"{name}@{version}" if every_version else name] = self.read(keys[version])
                except DamagedDocument as reason:
                    self.damage.name(keys[version], reason.reason, "run the sweep again to write it anew")
        return found

    def keys(self) -> list[str]:
        """Return the keys of all versions of all sweeps."""
        return [key for key in self.blobs.list(FOLDER) if _match(key) is not None]

    def _sound(self, name: str) -> dict[int, dict[str, Any]]:
        """Return the sound versions of a sweep, and set the others aside."""
        found = {}
        for version, key in self._keys(name).items():
            try:
                found[version] = self.read(key)
            except DamagedDocument as reason:
                target = f"damaged/{key.replace('/', '-')}"
                self.blobs.move(key, target)
                self.damage.name(key, reason.reason, f"moved to {target}")
        return found

    def _says(self, key: str, document: Mapping[str, Any]) -> bool:
        """Return whether a version is there with such a content, as where the answer to who wrote it was lost."""
        try:
            return self.read(key) == document
        except (DamagedDocument, FileNotFoundError):
            return False

    def _keys(self, name: str) -> dict[int, str]:
        """Return the keys of a sweep's versions by number."""
        there: dict[int, str] = {}
        for key in self.blobs.list(FOLDER):
            match = _match(key)
            if match is not None and match["name"] == name:
                there[int(match.groupdict().get("version") or 1)] = key
        return there

    def read(self, key: str) -> dict[str, Any]:
        """Return the document under a key.

        Raises
        ------
        DamagedDocument
            If it can't be read, or is no record of a sweep.
        """
        name = f"{self.blobs.uri}/{key}"
        try:
            document = decode_document(self.blobs.get(key), name, must_be_sealed=_KEY.fullmatch(key) is not None)
        except UnreadableBlob as failure:
            raise DamagedDocument(name, str(failure)) from failure
        wrong = _wrong_shape(document)
        if wrong:
            raise DamagedDocument(name, f"it is no record of a sweep, {wrong}")
        return document


def split(asked: str) -> tuple[str, int | None]:
    """Return the name and the version of ``NAME`` or ``NAME@VERSION``.

    Raises
    ------
    BadInput
        If it is neither.
    """
    match = _ASKED.fullmatch(asked)
    if match is None:
        raise BadInput(
            f"{asked!r} can't name a sweep: write NAME, or NAME@2 for its second version; a name has letters, digits, "
            "dots, dashes and underscores"
        )
    return match["name"], None if match["version"] is None else int(match["version"])


def sweep_name(asked: str) -> str:
    """Return the name in ``NAME`` or ``NAME@VERSION``: all versions of a sweep have one driver and one log."""
    return split(asked)[0]


def _wrong_shape(document: Mapping[str, Any]) -> str:
    """Return what about a document is not as readers of it take for granted; empty where all is."""
    cells = document.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, str) for cell in cells):
        return "as it lists no cells"
    for key, kind in _SHAPE.items():
        if not isinstance(document.get(key, kind()), kind):
            return f"as its {key!r} is no {_JSON[kind]}"
    fit = document.get("sweep", {}).get("fit", {})
    if not isinstance(fit, dict):
        return "as its 'fit' is no object"
    for key, kinds in _FIT.items():
        if key in fit and not (isinstance(fit[key], kinds) and not isinstance(fit[key], bool)):
            return f"as its 'fit' has an unknown kind of {key!r}"
    texts = [*document.get("tasks", ()), *(fit.get("laws") or ())]
    return "" if all(isinstance(text, str) for text in texts) else "as its names are no texts"


def _match(key: str) -> re.Match[str] | None:
    return _KEY.fullmatch(key) or _OLDER.fullmatch(key)


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != _ANNOTATION}
