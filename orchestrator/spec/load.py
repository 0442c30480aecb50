"""YAML to :class:`~orchestrator.spec.sweep.Sweep`, or every error in it at once."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pydantic import ValidationError

from orchestrator.errors import BadInput
from orchestrator.spec.plugins.admission import admit
from orchestrator.spec.quantities import named
from orchestrator.spec.sweep import Sweep
from orchestrator.spec.validation_errors import complaints_of
from orchestrator.spec.yaml.document import Document
from orchestrator.spec.yaml.key_path import shown
from orchestrator.spec.yaml.line_numbers import LineNumbers
from orchestrator.spec.yaml.overrides import overridden
from orchestrator.spec.yaml.parser import parse_document
from orchestrator.spec.yaml.read_file import read_text

MAX_ERRORS = 10


def load_sweep(
    path: str | os.PathLike[str], *, overrides: Sequence[str] = (), plugins: Sequence[str | os.PathLike[str]] = ()
) -> Sweep:
    """Read a sweep file.

    Parameters
    ----------
    path
        The YAML file, at most 1 MB of UTF-8.
    overrides
        Values set over the file's, such as ``train.batch_size=16``.
    plugins
        Python files or folders of people's own families, sources and so on, which the sweep may name. To give one is
        the consent to run it.

    Raises
    ------
    BadInput
        One line an error, at most ten: ``sweep.yaml:12: grid.params[2]: what is wrong; the likely fix``.
    """
    admit(plugins)
    return parse_sweep(read_text(path), name=os.fspath(path), overrides=overrides)


def parse_sweep(text: str, *, name: str = "<string>", overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep from a text; ``name`` is what messages call it. Otherwise as :func:`load_sweep`.

    Raises
    ------
    BadInput
        As :func:`load_sweep`.
    """
    document = parse_document(text, name)
    if document.data is None:
        raise BadInput(f"{name}:1: the file is empty; `scalaw init` writes a sweep to start from")
    if not isinstance(document.data, dict):
        place, _ = document.place(())
        raise BadInput(f"{place}: expected a mapping that begins with `name: NAME`, not {named(document.data)}")
    for override in overrides:
        document = overridden(document, override)
    try:
        return Sweep.model_validate(document.data).read_from(LineNumbers(document))
    except ValidationError as error:
        raise BadInput(_listed(document, error)) from None


def _listed(document: Document, error: ValidationError) -> str:
    found = dict.fromkeys((document.written(c.location), c.sentence) for c in complaints_of(error))
    first = sorted(found, key=lambda one: document.place(one[0])[1])[:MAX_ERRORS]
    lines = [f"{document.place(path)[0]}: {f'{shown(path)}: ' if path else ''}{sentence}" for path, sentence in first]
    more = len(found) - len(first)
    return "\n".join(lines + ([f"… and {more} more"] if more else []))
