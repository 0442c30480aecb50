"""Anybody's table as axes and a target: which columns they are, in which unit, and which rows count."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from orchestrator.analysis.column_arithmetic import Arithmetic
from orchestrator.analysis.table_files import SUFFIXES, read_table
from orchestrator.errors import BadInput
from orchestrator.fitting.axes import AXES, FloatArray
from orchestrator.fitting.check import check_names
from orchestrator.fitting.table_words import GROUP, ROW, missing_column, source_of
from orchestrator.fitting.text_numbers import as_numbers

__all__ = ["FLOPS", "SUFFIXES", "Columns", "map_columns", "parse_map", "read_table"]

#: Name under which a table's own training FLOPs go.
FLOPS: Final = "flops"
#: Column that says which rows were compressed alike.
VARIANT: Final = "variant"


def parse_map(text: str) -> dict[str, str]:
    """Return ``{"n": "size", "loss": "l"}`` for ``"n=size,loss=l"``; quotes and brackets keep their commas.

    Raises
    ------
    BadInput
        If a part is not NAME=COLUMN, or a name comes twice.
    """
    mapping: dict[str, str] = {}
    for part in _parts(text):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not (name and equals and column):
            raise BadInput(
                f"`mapping` {text!r}: {part.strip()!r} is not NAME=COLUMN; write n=size,d=tokens,loss=val_loss"
            )
        if name in mapping:
            raise BadInput(f"`mapping` {text!r}: {name} is named twice")
        mapping[name] = column
    return mapping


@dataclass(frozen=True)
class Columns:
    """Axes and target of a table under their own names.

    Attributes
    ----------
    table
        Columns among the axes, the target, and ``flops``; the kept and the grouping column where they were asked for.
    stated
        Axes that a person gave by arithmetic, so that their unit is meant.
    notes
        What a person should know of the choice.
    """

    table: pa.Table
    stated: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def map_columns(
    table: pa.Table,
    mapping: Mapping[str, str],
    target: str = "loss",
    keep: str | None = None,
    group: str | None = None,
) -> Columns:
    """Return the axes and the target of a table under their own names; other columns are dropped.

    Parameters
    ----------
    mapping
        Axis, target or ``flops`` to a column, or to arithmetic of columns (``params_m*1e6``). Where it is empty, axes
        are the columns of their names; else nothing is an axis that isn't in it. The target is the column of its name
        where it isn't in it.
    keep
        A column that is kept beside them under its own name.
    group
        A column that tells which rows hang together, such as a run's name; kept under `check.GROUP`.

    Raises
    ------
    BadInput
        For a name that is neither axis nor target, a column that isn't there, or no axis or target.
    """
    known = (*AXES, target, FLOPS)
    chosen: dict[str, pa.ChunkedArray | pa.Array] = {}
    stated = set()
    for name, column in mapping.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise BadInput(f"unknown axis {name!r} in the column map: {hint}")
        plain = _plain(table, column, name)
        if plain is None:
            stated.add(name)
            chosen[name] = pa.array(_calculated(table, column))
        else:
            chosen[name] = plain
    for name in known:
        if name not in chosen and (not mapping or name == target):
            found = _named(table, name)
            if found is not None:
                chosen[name] = found
    if not mapping and "eps" in chosen and table.column_names.count(VARIANT) == 1:
        chosen[VARIANT] = table[VARIANT]
    notes = _with_data_from_flops(chosen, target)
    chosen = {name: chosen[name] for name in (*known, VARIANT) if name in chosen}
    if keep is not None:
        if table.column_names.count(keep) != 1:
            raise BadInput(missing_column(table, keep))
        chosen.setdefault(keep, table[keep])
    if group is not None:
        if table.column_names.count(group) != 1:
            raise BadInput(missing_column(table, group, "groups"))
        chosen[GROUP] = table[group]
    if ROW in table.column_names:
        chosen[ROW] = table[ROW]
    check_names(table, list(chosen), target)
    return Columns(pa.table(chosen).replace_schema_metadata(table.schema.metadata), frozenset(stated), notes)


def _parts(text: str) -> list[str]:
    """The parts between commas that stand in no quotes and no brackets."""
    parts, quote, depth = [""], "", 0
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in '"`':
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        if letter == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _plain(table: pa.Table, text: str, name: str) -> pa.ChunkedArray | None:
    """The column of just that name, quotes or not; None where the text is arithmetic."""
    bare = text[1:-1] if len(text) > 2 and text[0] == text[-1] and text[0] in '"`' else text
    for column in (text, bare):
        found = _named(table, column)
        if found is not None:
            return found
    if bare != text or not any(sign in text for sign in "+-*/^()"):
        raise BadInput(missing_column(table, bare, name))
    return None


def _named(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    count = table.column_names.count(name)
    if count > 1:
        raise BadInput(f"{source_of(table)}: {count} columns are named {name!r}; keep one")
    return table[name] if count else None


def _calculated(table: pa.Table, text: str) -> FloatArray:
    def column(name: str) -> FloatArray:
        found = _named(table, name)
        if found is None:
            raise BadInput(missing_column(table, name, text))
        return as_numbers(pa.table({name: found}).replace_schema_metadata(table.schema.metadata), name)

    values = Arithmetic(text, column).value()
    return np.broadcast_to(values, (table.num_rows,)).astype(np.float64)


def _with_data_from_flops(chosen: dict[str, pa.ChunkedArray | pa.Array], target: str) -> tuple[str, ...]:
    """Add d = flops / (6·n) where FLOPs and sizes are given and data aren't."""
    if "d" in chosen or FLOPS not in chosen or "n" not in chosen or target == FLOPS:
        return ()
    pair = pa.table({name: chosen[name] for name in ("n", FLOPS)})
    n, flops = (as_numbers(pair, name) for name in ("n", FLOPS))
    with np.errstate(all="ignore"):
        chosen["d"] = pa.array(flops / (6.0 * n))
    return ("d is taken as flops / (6·n), as no column of data is named; name one with `mapping` where there is one",)
