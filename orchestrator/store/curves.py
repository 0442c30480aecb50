"""What training looked like: the points of each stage, kept once, and which stages make up a cell's path."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store.blobs import Blobs
from orchestrator.store.damage import Damage
from orchestrator.store.part import DamagedPart, Part, as_table, encode_part
from orchestrator.store.part_reader import PartReader
from orchestrator.store.schema import CURVES_SCHEMA

FOLDER = "curves"
#: What of a point is counted from the beginning of its phase, and goes on from the end of the phase before.
COUNTED = ("step", "examples", "tokens", "flops")

PATHS_SCHEMA = pa.schema(
    [
        ("cell_id", pa.string()),
        ("stage_id", pa.string()),
        ("place", pa.int64()),
        *((f"before_{name}", CURVES_SCHEMA.field(name).type) for name in (*COUNTED, "seconds")),
    ]
)


class Curves:
    """Points of stages as parts below ``curves/``, one a chain of stages, named by the stages in it.

    Guarantees: a stage that was trained twice, as its state was lost, is read once.
    """

    def __init__(self, blobs: Blobs, damage: Damage) -> None:
        self.blobs = blobs
        self.reader = PartReader(blobs, CURVES_SCHEMA, check_curve, damage)

    def save(self, tables: Sequence[pa.Table]) -> bool:
        """Write the points of some stages; return False if they are there already.

        Parameters
        ----------
        tables
            One a stage, in ``CURVES_SCHEMA``.
        """
        table = pa.concat_tables(tables)
        if not table.num_rows:
            return False
        stages = dict.fromkeys(table["stage_id"].to_pylist())
        name = hashlib.sha256("\n".join(stages).encode()).hexdigest()[:32]
        return self.blobs.put_new(f"{FOLDER}/{name}.parquet", encode_part(table))

    def read(self) -> pa.Table:
        """Return all points; each stage is that of one part.

        Raises
        ------
        BadInput
            If a newer scalaw wrote one of the parts.
        """
        keys = [key for key in self.blobs.list(FOLDER) if key.endswith(".parquet")]
        found = self.reader.read(keys).parts
        seen: set[str] = set()
        tables = [CURVES_SCHEMA.empty_table()]
        for key in keys:
            if key not in found:
                continue
            table = as_table([found[key]], CURVES_SCHEMA)
            stages = table["stage_id"].unique().to_pylist()
            if twice := [stage for stage in stages if stage in seen]:
                table = table.filter(pc.invert(pc.is_in(table["stage_id"], pa.array(twice))))
            tables.append(table)
            seen.update(stages)
        return pa.concat_tables(tables).combine_chunks()


def paths_of(cells: Mapping[str, str | None], points: pa.Table) -> pa.Table:
    """Return which stages lead to each cell, in their order, and what was counted before each.

    A cell of which a stage on the way has no points (an older scalaw trained it) is left out.

    Parameters
    ----------
    cells
        Cell id to the last stage that took steps for it.
    points
        Of all stages.
    """
    ends = _ends(points)
    rows = []
    for cell, leaf in cells.items():
        path = _path(leaf, ends)
        before: dict[str, Any] = dict.fromkeys((*COUNTED, "seconds"), 0)
        for place, stage in enumerate(path):
            end = ends[stage]
            if place and ends[path[place - 1]]["phase"] != end["phase"]:
                last = ends[path[place - 1]]
                before |= {name: before[name] + last[name] for name in COUNTED if last[name] is not None}
            rows.append(
                {
                    "cell_id": cell,
                    "stage_id": stage,
                    "place": place,
                    **{f"before_{name}": value for name, value in before.items()},
                }
            )
            before["seconds"] += end["seconds"] or 0.0
    return pa.Table.from_pylist(rows, PATHS_SCHEMA)


def check_curve(key: str, part: Part) -> None:
    """Look whether a part is one of points.

    Raises
    ------
    DamagedPart
        If it is not.
    """
    if None in part.column("stage_id") or None in part.column("step"):
        raise DamagedPart("a point names its stage and its step")


def _ends(points: pa.Table) -> dict[str, dict[str, Any]]:
    """Return the last point of each stage."""
    codes = points["stage_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.lexsort((points["step"].to_numpy(), codes))
    last = order[np.flatnonzero(np.diff(codes[order], append=-1))]  # the last of each run of one stage
    ends = points.select(["stage_id", "parent_id", "phase", *COUNTED, "seconds"]).take(last).to_pylist()
    return {end["stage_id"]: end for end in ends}


def _path(leaf: str | None, ends: Mapping[str, Mapping[str, Any]]) -> list[str]:
    path: list[str] = []
    stage = leaf
    while stage is not None:
        if stage not in ends or stage in path:
            return []
        path.append(stage)
        parent = ends[stage]["parent_id"]
        stage = None if parent is None else str(parent)
    return path[::-1]
