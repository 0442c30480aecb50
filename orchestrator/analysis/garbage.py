"""What a store holds that nothing needs any more: found by planning its sweeps, listed with sizes, dropped.

Checkpoints are what takes room. One is needed where a cell without a row, of a sweep that is recorded, would start from
it; which it starts from says the sweep's stage tree, so sweeps that are not finished are planned anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.analysis.inputs import opened
from orchestrator.errors import BadInput
from orchestrator.planning import Plan, make_plan
from orchestrator.planning.tree import StageTree
from orchestrator.spec import parse_sweep
from orchestrator.store import Store
from orchestrator.store.blobs import Stored
from orchestrator.store.checkpoints import Progress, is_older_layout, read_key
from orchestrator.store.heartbeat import check_free, driver_at_work, old_leases, take_lease

#: Age from which a temporary file or a mark is no writer's any more.
KILLED_S: Final = 86_400.0
UNNEEDED: Final = "checkpoints that nothing needs"
ABANDONED: Final = "checkpoints of an unfinished sweep"
OLDER: Final = "checkpoints of an older scalaw"
TEMPORARY: Final = "files of killed writers"
LEASES: Final = "old leases"
WEIGHTS: Final = "kept weights"


@dataclass(frozen=True)
class Garbage:
    """Blobs of one kind.

    Parameters
    ----------
    sweep
        The unfinished sweep whose checkpoints they are.
    flops, hours
        Training that they hold, by the sweep's plan.
    """

    what: str
    sizes: Mapping[str, int]
    sweep: str | None = None
    flops: int = 0
    hours: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return what is listed."""
        return {
            "what": self.what,
            "sweep": self.sweep,
            "files": len(self.sizes),
            "bytes": sum(self.sizes.values()),
            "training_flops": self.flops,
            "training_hours": self.hours,
        }


@dataclass
class _Survey:
    """What a store's sweeps need of its checkpoints."""

    kept: Mapping[str, Progress]
    trees: dict[str, set[str]] = field(default_factory=dict)
    needed: dict[str, set[str]] = field(default_factory=dict)
    plans: dict[str, list[Plan]] = field(default_factory=dict)
    at_work: dict[str, str] = field(default_factory=dict)
    left_alone: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, document: Mapping[str, Any], missing: Collection[str]) -> bool:
        """Plan a sweep; return whether that can be done here."""
        try:
            plans = _plans(document, self.kept)
        except BadInput as refusal:
            self.left_alone[name] = f"it can't be planned here: {refusal}"
            return False
        self.plans[name] = plans
        self.trees[name] = {stage_id for plan in plans for stage_id in plan.tree.stages if stage_id in self.kept}
        self.needed[name] = {stage_id for plan in plans for stage_id in needed_by(plan.tree, missing, self.kept)}
        return True


def gc(
    store: str | Store,
    *,
    sweep: str | None = None,
    weights: bool = False,
    dry_run: bool = False,
    ask: Callable[[str], bool] | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Any]:
    """Drop what nothing needs any more: checkpoints, files of killed writers, old leases.

    Parameters
    ----------
    sweep
        Only checkpoints of this sweep, those of the sweep itself included where it is not finished and nobody is at
        work on it; without a name those of unfinished sweeps stay.
    weights
        Also the final weights that were kept on request, all of them; else none.
    dry_run
        Only list.
    ask
        Asked in a sentence before each kind is dropped, and then for unfinished sweeps that were not named too.
    tell
        Takes a sentence of progress.

    Returns
    -------
    dict
        ``found``: kinds with ``what, sweep, files, bytes, training_flops, training_hours, dropped``; ``left_alone``:
        sweeps with the reason ``why``; ``dropped_files, dropped_bytes``.

    Raises
    ------
    BadInput
        If there is no store, or no such sweep in it.
    """
    target = opened(store)
    found, left_alone = _found(target, sweep, tell)
    if weights:
        inventory = target.blobs.inventory()
        sizes = {one.key: inventory[one.key].size_bytes for one in target.weights.files() if one.key in inventory}
        found += [Garbage(WEIGHTS, sizes)] if sizes else []
    entries = []
    for garbage in found:
        entry = {**garbage.to_json(), "dropped": False}
        if not dry_run and _agreed(garbage, sweep, ask):
            try:
                _drop(target, garbage)
                entry["dropped"] = True
            except BadInput as refusal:  # somebody has begun to work on it in the meantime
                left_alone[str(garbage.sweep)] = str(refusal)
        entries.append(entry)
    dropped = [entry for entry in entries if entry["dropped"]]
    return {
        "store": target.uri,
        "found": entries,
        "left_alone": [{"sweep": name, "why": why} for name, why in sorted(left_alone.items())],
        "dropped_files": sum(entry["files"] for entry in dropped),
        "dropped_bytes": sum(entry["bytes"] for entry in dropped),
    }


def tidy_after_run(store: Store) -> int:
    """Drop all checkpoints where every recorded sweep is finished; return of how many stages.

    The driver drops what it knows; this drops what an edited grid, cells that were not chosen or a killed driver left.
    While another sweep is unfinished, nothing is dropped: what it needs only its plan tells.
    """
    kept = store.checkpoints.kept()  # before the sweeps, so that one that begins meanwhile has none among these
    if not kept or any(_missing(document, store.done()) for document in store.sweeps().values()):
        return 0
    if _unreadable(store):
        return 0
    for stage_id in kept:
        store.checkpoints.drop(stage_id)
    return len(kept)


def drop_older_layout(store: Store) -> int:
    """Drop checkpoints of an older scalaw, whose files stand where folders are wanted; return how many."""
    older = [key for key in store.blobs.list("checkpoints") if is_older_layout(key)]
    for key in older:
        store.blobs.delete(key)
    return len(older)


def needed_by(tree: StageTree, missing: Collection[str], kept: Mapping[str, Progress]) -> set[str]:
    """Return the stages from whose checkpoints some cells would start: of each path the last one that is kept."""
    needed: set[str] = set()
    seen: set[str] = set()
    for leaf in tree:
        stage = leaf if leaf.cell is not None and leaf.cell.id in missing else None
        while stage is not None and stage.id not in seen:
            seen.add(stage.id)
            if kept.get(stage.id) is Progress.BEGUN:
                needed.add(stage.id)
                break
            if stage.parent is not None and kept.get(stage.parent) is Progress.DONE:
                needed.add(stage.parent)
                break
            stage = tree.stages.get(stage.parent or "")
    return needed


def _found(store: Store, only: str | None, tell: Callable[[str], None]) -> tuple[list[Garbage], dict[str, str]]:
    """Return what may be dropped, and the sweeps that are left alone with the reason."""
    inventory = store.blobs.inventory()
    sizes: dict[str, dict[str, int]] = {}
    kept: dict[str, Progress] = {}
    steps: dict[str, int] = {}
    for key, stored in inventory.items():
        about = read_key(key)
        if about is not None:
            stage_id, progress, step = about
            sizes.setdefault(stage_id, {})[key] = stored.size_bytes
            if kept.get(stage_id) is not Progress.DONE:
                kept[stage_id], steps[stage_id] = progress, max(step, steps.get(stage_id, 0))
    documents = store.sweeps()  # after the inventory: a driver records its sweep before it writes a checkpoint
    if only is not None:
        store.sweep(only)
        if only not in documents:
            raise BadInput(f"`sweep` {only}: checkpoints are kept for a sweep's newest version: name it without @")
    survey, all_known = _surveyed(store, documents, kept, only, tell)
    claimed = {stage_id for needed in survey.needed.values() for stage_id in needed}
    claimed |= {stage_id for name in survey.at_work for stage_id in survey.trees.get(name, ())}
    loose = set(kept) - claimed
    if only is not None:
        loose &= survey.trees.get(only, set()) if only not in survey.at_work else set()
    elif not all_known:  # a sweep that can't be planned may need any checkpoint that belongs to no other
        loose &= {stage_id for tree in survey.trees.values() for stage_id in tree}
    found = [_checkpoints(UNNEEDED, loose, sizes)]
    for name in [only] if only is not None else sorted(survey.needed):
        if name in survey.needed and name not in survey.at_work:
            others = {s for other in survey.at_work for s in survey.trees.get(other, ())}
            mine = survey.needed[name] - others
            found.append(_checkpoints(ABANDONED, mine, sizes, name, *_training(survey.plans[name], mine, kept, steps)))
    if only is None:
        found += _debris(store, inventory)
    return [garbage for garbage in found if garbage.sizes], {**survey.left_alone, **survey.at_work}


def _surveyed(
    store: Store,
    documents: Mapping[str, Mapping[str, Any]],
    kept: Mapping[str, Progress],
    only: str | None,
    tell: Callable[[str], None],
) -> tuple[_Survey, bool]:
    """Plan the sweeps that are not finished, and all of them where it matters whose a checkpoint is."""
    survey, done, all_known = _Survey(kept), store.done(), True
    if not kept:
        return survey, True
    for key in _unreadable(store):
        survey.left_alone[key], all_known = "it can't be read", False
    missing = {name: _missing(document, done) for name, document in documents.items()}
    for name in sorted(documents):
        if missing[name]:
            why = _at_work(store, name, tell)
            if why:
                survey.at_work[name] = why
            all_known = survey.add(name, documents[name], missing[name]) and all_known
    for name in sorted(documents):
        if not missing[name] and (name == only or (only is None and not all_known)):
            survey.add(name, documents[name], ())
    return survey, all_known


def _unreadable(store: Store) -> list[str]:
    """Return the keys of recorded sweeps that can't be read, once they were listed; they may need any checkpoint."""
    return [key for key in store.damaged if key.startswith("sweeps/")]


def _missing(document: Mapping[str, Any], done: Mapping[str, str]) -> set[str]:
    """Return the cells of a recorded sweep that are to have a row and have none."""
    selection = document.get("selection")
    if isinstance(selection, dict) and selection.get("reached"):
        return set()
    return {cell_id for cell_id in document["cells"] if cell_id not in done}


def _at_work(store: Store, name: str, tell: Callable[[str], None]) -> str | None:
    """Return in a sentence that a driver is at work on a sweep, or ``None`` once it is sure that none is."""
    if driver_at_work(store, name):
        return "its driver is at work"
    try:
        check_free(store, name, say=tell)
    except BadInput:
        return "its driver is at work"
    return None


def _plans(document: Mapping[str, Any], kept: Collection[str]) -> list[Plan]:
    """Return a recorded sweep's plan, and that without sharing where it may have left checkpoints too.

    Raises
    ------
    BadInput
        If it can't be planned, or gives other cells than were recorded.
    """
    parsed = parse_sweep(json.dumps(document.get("sweep")))
    plans = [make_plan(parsed)]
    if not set(document["cells"]) <= {cell.id for cell in plans[0].cells}:
        raise BadInput("its data, or this scalaw, differ from those that it was recorded with")
    if not set(kept) <= plans[0].tree.stages.keys():
        plans.append(make_plan(parsed, share=False))
    return plans


def _training(
    plans: Iterable[Plan], held: Collection[str], kept: Mapping[str, Progress], steps: Mapping[str, int]
) -> tuple[int, float]:
    """Return the FLOPs and the estimated hours of training that checkpoints hold."""
    flops, seconds, seen = 0.0, 0.0, set[str]()
    for plan in plans:
        for stage_id in held:
            stage, share = plan.tree.stages.get(stage_id), 1.0
            if stage is not None and kept[stage_id] is Progress.BEGUN:
                share = min(1.0, max(0.0, (steps[stage_id] - stage.start_step) / max(1, stage.steps)))
            while stage is not None and stage.id not in seen:
                seen.add(stage.id)
                flops += share * stage.flops
                seconds += share * plan.stages_s[stage.id]
                stage, share = plan.tree.stages.get(stage.parent or ""), 1.0
    return round(flops), seconds / 3600


def _checkpoints(
    what: str,
    stages: Iterable[str],
    sizes: Mapping[str, Mapping[str, int]],
    sweep: str | None = None,
    flops: int = 0,
    hours: float = 0.0,
) -> Garbage:
    found = {key: size for stage_id in sorted(stages) for key, size in sizes[stage_id].items()}
    return Garbage(what, found, sweep, flops, hours)


def _debris(store: Store, inventory: Mapping[str, Stored]) -> list[Garbage]:
    """Return what belongs to no sweep."""
    older = {key: stored.size_bytes for key, stored in inventory.items() if is_older_layout(key)}
    killed = {
        key: stored.size_bytes
        for key, stored in inventory.items()
        if stored.age_s > KILLED_S and (key.rpartition("/")[2].startswith(".tmp-") or key.startswith("logs/mark-"))
    }
    leases = {key: inventory[key].size_bytes for key in old_leases(store) if key in inventory}
    return [Garbage(OLDER, older), Garbage(TEMPORARY, killed), Garbage(LEASES, leases)]


def _drop(store: Store, garbage: Garbage) -> None:
    """Delete the blobs; of an unfinished sweep under its lease, so that no driver begins meanwhile."""
    lease = None if garbage.sweep is None else take_lease(store, garbage.sweep)
    try:
        for key in garbage.sizes:
            store.blobs.delete(key)
    finally:
        if lease is not None:
            lease.give_back()


def _agreed(garbage: Garbage, sweep: str | None, ask: Callable[[str], bool] | None) -> bool:
    if ask is not None:
        return ask(_question(garbage))
    return garbage.what != ABANDONED or sweep is not None


def _question(garbage: Garbage) -> str:
    size = f"{len(garbage.sizes):,} files, {sum(garbage.sizes.values()):,} bytes"
    if garbage.sweep is None:
        return f"drop {garbage.what} ({size})?"
    return (
        f"{garbage.sweep} is not finished: drop its checkpoints ({size}) and train {garbage.flops:.3g} FLOPs, about "
        f"{garbage.hours:.2g} h, anew when it is run again?"
    )
