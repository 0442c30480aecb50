"""What a run says: to the person at the terminal, and kept in the store for ``scalaw logs``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from rich.console import Console

from orchestrator.execution.store_writer import StoreWriter
from orchestrator.printable import printable
from orchestrator.store import Store

#: Lines kept; older ones are dropped.
MOST_LINES: Final = 5_000
#: Seconds that the end of a run waits for its last words to be saved.
END_S: Final = 10.0


class Journal:
    """The sentences of one run.

    Parameters
    ----------
    console
        Where they are printed.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._lines: deque[str] = deque(maxlen=MOST_LINES)

    def say(self, sentence: str, *, style: str | None = None) -> None:
        """Print a sentence and keep it."""
        sentence = printable(sentence)
        self.console.print(sentence, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)
        self.note(sentence)

    def note(self, sentence: str) -> None:
        """Keep a sentence, with the time (UTC)."""
        self._lines.append(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {sentence}")

    @contextmanager
    def kept(self, store: Store, sweep: str, writer: StoreWriter) -> Iterator[None]:
        """Save at the end of a ``with`` block, however it ends."""
        try:
            yield
        except Exception as failure:
            self.note(f"ended by {type(failure).__name__}: {failure}")
            raise
        finally:
            writer.put(lambda: self.save(store, sweep), key="log")
            writer.close(within_s=END_S)

    def save(self, store: Store, sweep: str) -> None:
        """Write what was said over what the last run of the sweep said."""
        store.save_run_log(sweep, "".join(f"{line}\n" for line in self._lines))
