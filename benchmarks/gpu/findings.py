"""What a step finds, written down as soon as it is known: a step that is ended early has not run for nothing."""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


class Findings:
    """Facts and checks of one step, in a JSON file that is whole at any time.

    Parameters
    ----------
    path
        Where they go.
    dry
        Whether this is a trial at tiny sizes on the CPU.
    """

    def __init__(self, path: Path, *, dry: bool) -> None:
        self.path, self.dry = path, dry
        self.device = torch.device("cpu" if dry else "cuda")
        self.found: dict[str, Any] = {"facts": {}, "tables": {}, "checks": [], "errors": []}

    def fact(self, name: str, value: Any) -> None:
        """Note one fact."""
        self.found["facts"][name] = value
        self._write(f"{name}: {value}")

    def row(self, table: str, **cells: Any) -> None:
        """Add a row to a table."""
        self.found["tables"].setdefault(table, []).append(cells)
        self._write(f"{table}: " + ", ".join(f"{k} {v}" for k, v in cells.items()))

    def check(self, name: str, ok: bool, found: str) -> None:
        """Note whether a promise was kept, and what was found."""
        self.found["checks"].append({"check": name, "ok": bool(ok), "found": found})
        self._write(f"{'ok  ' if ok else 'MISS'} {name}: {found}")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Let one part of a step fail without the others."""
        begun = time.perf_counter()
        try:
            yield
        except Exception as error:
            last = "".join(traceback.format_exception(error)[-4:])
            self.found["errors"].append({"part": name, "error": f"{type(error).__name__}: {error}"[:500]})
            self._write(f"FAILED {name}\n{last}")
        finally:
            self.found["facts"][f"seconds, {name}"] = round(time.perf_counter() - begun, 1)
            self._write(None)

    def _write(self, said: str | None) -> None:
        if said is not None:
            print(said, flush=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.found, indent=1, default=str), "utf-8")
        temporary.replace(self.path)


def step(run: Callable[[Findings, list[str], Path], None], description: str | None) -> None:
    """Run a step's function with what the command line says: its findings, further words, the folder for traces."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--ahead", action="store_true", help="compile only")
    parser.add_argument("--dry", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--findings", type=Path, default=Path("/tmp/findings.json"))
    parser.add_argument("--traces", type=Path, default=Path("/tmp"))
    options = parser.parse_args()
    if options.dry:
        torch.set_num_threads(1)
    findings = Findings(options.findings, dry=options.dry)
    words = [*(["--ahead"] if options.ahead else []), *options.words]
    with findings.part("all"):
        run(findings, words, options.traces)
