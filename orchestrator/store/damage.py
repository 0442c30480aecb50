"""What was found damaged in a store: each thing is named once, in one line, and the rest goes on (I5)."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)


class Damage:
    """Keys that were found damaged through one store object.

    Parameters
    ----------
    uri
        The store's.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.keys: list[str] = []

    def name(self, key: str, reason: str, fate: str) -> None:
        """Say that what lies under a key is damaged, unless that was said.

        Parameters
        ----------
        fate
            What became of it.
        """
        if key not in self.keys:
            self.keys.append(key)
            _log.warning("%s/%s is damaged (%s); %s", self.uri, key, reason, fate)
