"""Plug-in code → modules of this process, without a file: a worker elsewhere has the text alone."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import traceback
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import Any

from orchestrator.errors import BadInput
from orchestrator.spec.plugins.code import ENTRY, PluginCode


class _Modules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads the modules of the plug-ins that this process was given."""

    def __init__(self) -> None:
        self.text: dict[str, str] = {}
        self.shown: dict[str, str] = {}
        self.packages: set[str] = set()

    def take(self, code: PluginCode) -> None:
        """Make a plug-in's modules known."""
        self.packages.add(code.package)
        for path, text in code.files:
            parts = path.removesuffix(".py").split("/")
            for depth in range(1, len(parts)):
                self.packages.add(".".join([code.package, *parts[:depth]]))
            name = ".".join([code.package, *parts])
            if parts[-1] == "__init__":
                name = name.rpartition(".")[0]
                self.packages.add(name)
            self.text[name], self.shown[name] = text, code.shown(path)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module of a plug-in."""
        if fullname not in self.text and fullname not in self.packages:
            return None
        return importlib.machinery.ModuleSpec(
            fullname, self, origin=self.shown.get(fullname), is_package=fullname in self.packages
        )

    def is_package(self, fullname: str) -> bool:
        """Return whether a module has others below it."""
        return fullname in self.packages

    def get_source(self, fullname: str) -> str:
        """Return a module's text; tracebacks show its lines by this."""
        return self.text.get(fullname, "")

    def get_code(self, fullname: str) -> CodeType:
        """Return a module's code, its file named as the person knows it."""
        code: CodeType = compile(
            self.get_source(fullname), self.shown.get(fullname, fullname), "exec", dont_inherit=True
        )
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Run a module."""
        module.__file__ = self.shown.get(module.__name__, module.__name__)
        super().exec_module(module)


_MODULES = _Modules()


def import_plugin(code: PluginCode) -> ModuleType:
    """Run a plug-in's code in this process, once, and return the module that is looked through for plug-ins.

    Raises
    ------
    BadInput
        If it can't be imported, with its line.
    """
    if _MODULES not in sys.meta_path:
        sys.meta_path.append(_MODULES)
    _MODULES.take(code)
    try:
        return importlib.import_module(f"{code.package}.{ENTRY.removesuffix('.py')}")
    except Exception as error:  # whatever a person's module raises while it is imported is theirs to mend
        for name in [name for name in sys.modules if name.split(".")[0] == code.package]:
            del sys.modules[name]  # a half-run module would be taken for a whole one
        hint = ""
        if isinstance(error, ModuleNotFoundError) and error.name:
            hint = (
                f"; install it, or where {error.name}.py lies beside the plug-in, give the folder and write "
                f"`from .{error.name} import …`"
            )
        raise BadInput(f"{blamed(code, error)}{hint}") from error


def import_target(target: str) -> Any:
    """Return ``module:object`` of an installed package."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def blamed(code: PluginCode, error: BaseException, doing: str = "can't be imported") -> str:
    """Return a sentence that names the plug-in's own line at which an error came up.

    Parameters
    ----------
    doing
        What failed.
    """
    names = {code.shown(path) for path, _ in code.files}
    if isinstance(error, SyntaxError) and error.filename in names:
        place: str = f"{error.filename}:{error.lineno}"
    else:
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in names]
        place = f"{lines[-1].filename}:{lines[-1].lineno}" if lines else code.name
    why = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split()) or "no message"
    return f"{place}: {doing} ({type(error).__name__}: {why[:300]})"
