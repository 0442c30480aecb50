"""Starts a program at tasks: as children of a warm interpreter where it preloads, else as processes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.programs.guardian import Guardian
from orchestrator.programs.preload import CannotPreload, Preloaded
from orchestrator.programs.process import ProgramProcess, TaskProcess, environment
from orchestrator.programs.program import Program


class CannotStart(Exception):
    """The command can't be run, with the reason."""


@dataclass
class Launcher:
    """What starts one program's processes for one worker.

    Parameters
    ----------
    scratch
        Folder below which all tasks are.
    threads
        Threads of each process.
    """

    program: Program
    scratch: Path
    guardian: Guardian
    threads: int
    _warm: Preloaded | None = None

    def start(self, task: Path, ranks: Mapping[str, str] | None = None) -> ProgramProcess:
        """Start the program at the task in a file.

        Parameters
        ----------
        ranks
            Variables of one rank among several.

        Raises
        ------
        CannotStart
            If the command isn't there, or what it preloads can't be imported.
        SourcesChanged
            If its sources are not the planned ones.
        """
        manifest = self.program.manifest
        variables = environment(manifest, threads=self.threads)
        place = self.program.place(self.scratch / "code")
        try:
            if not manifest.preload:
                return TaskProcess(manifest.command, place, task, {**variables, **(ranks or {})}, self.guardian)
            if self._warm is None:
                self._warm = Preloaded(manifest.preload, place, variables, self.scratch, self.guardian)
            return self._warm.start(manifest.command[1:], task, {**variables, **(ranks or {})})
        except CannotPreload as error:
            self.close()  # it was killed, as where memory runs out, or never was: the next try starts another one
            raise CannotStart(str(error)) from error
        except OSError as error:
            raise CannotStart(f"{error.strerror} ({error.filename})") from error

    def close(self) -> None:
        """End the warm interpreter."""
        if self._warm is not None:
            self._warm.close()
            self._warm = None
