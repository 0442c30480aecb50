"""A cell of a store → its model in a folder.

Where the cell's weights were kept (``keep:``), they are taken. Else a store keeps measurements, not weights. Since a
cell's result depends on its sweep alone, its model is trained anew here, from the sweep as the store has it; the loss
says whether it is the same one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BadInput
from orchestrator.planning import Plan, make_plan
from orchestrator.planning.tree import StageTree
from orchestrator.programs.program import Program
from orchestrator.spec import parse_sweep
from orchestrator.spec.plugins.admission import admit
from orchestrator.spec.plugins.code import PluginCode
from orchestrator.spec.registries import FAMILIES
from orchestrator.store import Store, open_store
from orchestrator.store.cell_row import last_line
from orchestrator.store.weights import KeptWeights
from workers.serving.model_file import header_of

if TYPE_CHECKING:
    from workers.programs.state import ProgramState

#: What stands beside the model: enough to run it.
LOADER = '''"""Runs the exported model on some input of the right shape; needs scalaw installed."""

from pathlib import Path

import torch

from workers.serving.load import load_model
{plugins}
model = load_model(Path(__file__).with_name("model.safetensors"))
example = {example}
with torch.inference_mode():
    print(model(example).shape)
'''
#: What the loader of a model of somebody's own does first.
PLUGIN_LINES = """from orchestrator.spec.plugins.admission import admit_to_work
from orchestrator.spec.plugins.code import read_plugin

admit_to_work(read_plugin(Path(__file__).parent / place) for place in {places})
"""


def export(
    store_uri: str,
    cell: str,
    folder: str,
    say: Callable[[str], None],
    plugins: Sequence[str | os.PathLike[str]] = (),
    program: Program | None = None,
) -> dict[str, Any]:
    """Write a cell's model, a loader example and its row to a folder; return what was written.

    Parameters
    ----------
    cell
        Its id, or a beginning of it that no other cell has.
    folder
        Must not exist, or be empty.
    say
        Takes a line of progress.
    plugins
        The code of people's own that it was trained with, which goes with the model.
    program
        The trainer of a cell of ``family: program``; its state at the cell's end is what is written.

    Raises
    ------
    BadInput
        If there is no such cell, it failed, it is simulated, or the folder holds something or can't be written.
    """
    codes = admit(plugins)
    store = open_store(store_uri)
    row = _row(store, cell)
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{folder} is there already: name a new folder as `out`")
    kept = store.weights.find(row["cell_id"])
    with _new_folder(target):
        if program is not None:
            state, val_loss = _trained_by_program(*_planned(store, row, program, say), row)
            state.write(target / "state")
            size = sum(data.nbytes for _, data in state.files)
        else:
            data, val_loss, loader = _model(store, row, kept, codes, target, say)
            (target / "model.safetensors").write_bytes(data)
            (target / "load.py").write_text(loader)
            size = len(data)
        (target / "row.json").write_text(json.dumps(row, indent=1, default=str, sort_keys=True) + "\n")
    return {
        "cell_id": row["cell_id"],
        "folder": str(target),
        "model_bytes": size,
        "val_loss": val_loss,
        "val_loss_of_row": row["val_loss"],
        "kept": kept is not None,
    }


@contextmanager
def _new_folder(target: Path) -> Iterator[None]:
    """Make a folder that can be written, and remove it where what fills it fails."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        (target / "row.json").touch()
        try:
            yield
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
    except OSError as error:
        raise BadInput(f"{target} can't be written: {error.strerror}; name another folder as `out`") from error


def _written(plugins: Sequence[PluginCode], folder: Path) -> str:
    """Write the plug-ins that a model is made of beside it; return the lines by which its loader admits them."""
    places = []
    for number, code in enumerate(plugins):
        places.append(f"plugins/{number}/{code.name}")
        for path, text in code.files_at(places[-1]):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    return PLUGIN_LINES.format(places=places) if places else ""


def _row(store: Store, cell: str) -> dict[str, Any]:
    rows = [row for row in store.results().to_pylist() if row["cell_id"].startswith(cell.lower())]
    if len(rows) != 1:
        what = "no cell" if not rows else f"{len(rows)} cells"
        raise BadInput(f"{store.uri} has {what} whose id begins with {cell[:64]!r}; see: scalaw query STORE")
    row: dict[str, Any] = rows[0]
    if row["status"] != "ok":
        raise BadInput(f"cell {row['cell_id'][:12]} failed and has no model: {last_line(row['error'])}")
    if row["simulated"]:
        raise BadInput(f"cell {row['cell_id'][:12]} is simulated: there is no model behind it")
    return row


def _model(
    store: Store,
    row: dict[str, Any],
    kept: KeptWeights | None,
    codes: Sequence[PluginCode],
    folder: Path,
    say: Callable[[str], None],
) -> tuple[bytes, float, str]:
    """Return the model file, as it was kept or trained anew, its validation loss, and the loader's source text."""
    if kept is None:
        plan, tree = _planned(store, row, None, say)
        data, val_loss, example = _trained(plan, tree, row)
        own: Sequence[PluginCode] = plan.context.plugins
    else:
        data, val_loss, own = store.weights.load(kept), kept.val_loss, codes
        family = header_of(data)["family"]
        if family not in FAMILIES:
            raise BadInput(f"its family {family!r} is somebody's own: give the code as `plugins`")
        example = _example(data)
    return data, val_loss, LOADER.format(example=example, plugins=_written(own, folder))


def _planned(
    store: Store, row: dict[str, Any], program: Program | None, say: Callable[[str], None]
) -> tuple[Plan, StageTree]:
    plan = _plan_with(store, row["cell_id"], program)
    tree = plan.tree.towards({row["cell_id"]})
    say(f"training cell {row['cell_id'][:12]} anew: {sum(stage.steps for stage in tree)} steps")
    return plan, tree


def _plan_with(store: Store, cell_id: str, program: Program | None) -> Plan:
    """Return the plan of a sweep that has a cell, as it is resolved now."""
    named = {
        name: document for name, document in store.sweeps(every_version=True).items() if cell_id in document["cells"]
    }
    for document in named.values():
        plan = make_plan(parse_sweep(json.dumps(document["sweep"])), program=program)
        if any(cell.id == cell_id for cell in plan.cells):
            return plan
    own = {name for document in named.values() for name in document.get("plugins", {})}
    code = f", or the code given as `plugins` ({', '.join(sorted(own))})" if own else ""
    why = (
        f"the data, the program's sources or this scalaw{code} differ from those of sweep {next(iter(named))}"
        if named
        else "no sweep in the store has it"
    )
    raise BadInput(f"cell {cell_id[:12]} can't be trained again: {why}")


def _trained_by_program(plan: Plan, tree: StageTree, row: dict[str, Any]) -> tuple[ProgramState, float]:
    """Return a program's state at the end of a cell, and the validation loss that it gives for it."""
    from workers.programs.engine import ProgramEngine
    from workers.programs.weighing import with_final_weights

    assert plan.context.program is not None

    on_gpu = plan.sweep.resources.gpus_per_worker > 0
    engine = ProgramEngine(plan.context, on_gpu=on_gpu, threads=row["threads"] or 1)
    state: ProgramState | None = None
    for stage in tree:
        if stage.kind != "evaluate":
            state = engine.train(stage, state)
    leaf = next(stage for stage in tree if stage.kind == "evaluate")
    assert state is not None
    val_loss: float = engine.measure(leaf, state)["val_loss"]
    return with_final_weights(leaf, state, plan.context.program.manifest.weights, engine.threads), val_loss


def _trained(plan: Plan, tree: StageTree, row: dict[str, Any]) -> tuple[bytes, float, str]:
    """Return the model file, the validation loss, and the source text of an example input."""
    import torch

    from workers.accounting import model_of
    from workers.serving.load import module_of
    from workers.serving.model_file import from_bytes, to_bytes
    from workers.threads import ThreadCount

    on_gpu = plan.sweep.resources.gpus_per_worker > 0 and torch.cuda.is_available()
    engine = FAMILIES.load_training(plan.context.family)().engine()(plan.context, on_gpu=on_gpu)
    state: Any = None
    leaf = None
    with ThreadCount()(row["threads"] or 1):
        for stage in tree:
            if stage.kind == "evaluate":
                leaf = stage
            else:
                state = engine.train(stage, state)
        assert leaf is not None
        assert leaf.cell is not None
        data = to_bytes(model_of(plan.context, leaf.shape, state, data=leaf.data))
        scores = engine.data(leaf.data).val_scores(module_of(from_bytes(data)).to(engine.device))
    return data, scores["val_loss"], _example(data)


def _example(data: bytes) -> str:
    """Return the source text of an input that a model file's model takes."""
    about = header_of(data)["data"]
    size = ", ".join(map(str, (1, *about["input_shape"])))
    tokens = about["tokens_per_example"] is not None
    return f"torch.zeros({size}, dtype=torch.long)" if tokens else f"torch.zeros({size})"
