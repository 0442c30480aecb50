"""Small JSON documents of a store: the resolved sweeps, and the heartbeat of who runs one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import BadInput
from orchestrator.store.blobs import Blobs
from orchestrator.store.json_object import NoObject, read_object

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class DamagedDocument(BadInput):
    """A document of a store that can't be read, with its name and the reason."""


class Documents:
    """JSON documents ``FOLDER/NAME.json``, replaced as a whole."""

    def __init__(self, blobs: Blobs, folder: str) -> None:
        self.blobs = blobs
        self.folder = folder

    def save(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a document over the one of that name.

        Raises
        ------
        BadInput
            If the name can't be a file name.
        """
        self.blobs.replace(self._key(name), json.dumps(document, indent=1).encode())

    def load(self, name: str) -> dict[str, Any] | None:
        """Return a document, or ``None`` where there is none.

        Raises
        ------
        DamagedDocument
            If it is no JSON object.
        """
        key = self._key(name)
        try:
            return read_object(self.blobs.get(key))
        except FileNotFoundError:
            return None
        except NoObject as reason:
            raise DamagedDocument(
                f"{self.blobs.uri}/{key} is {reason}: run its sweep again to write it anew"
            ) from reason

    def names(self) -> list[str]:
        """Return the names of the documents, sorted; files that can't be one are passed over."""
        keys = (key.removeprefix(f"{self.folder}/") for key in self.blobs.list(self.folder))
        names = sorted(key.removesuffix(".json") for key in keys if key.endswith(".json"))
        return [name for name in names if _NAME.fullmatch(name)]

    def _key(self, name: str) -> str:
        if _NAME.fullmatch(name) is None:
            raise BadInput(f"{name!r} can't name a sweep: use letters, digits, dots, dashes and underscores")
        return f"{self.folder}/{name}.json"
