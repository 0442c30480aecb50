"""A sweep of ``family: program`` → what planning needs of the program that it was given by consent."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import BadInput
from orchestrator.planning.family import Family
from orchestrator.planning.manifest import DataManifest
from orchestrator.planning.schedules.schedule import schedule_named
from orchestrator.programs.description import DescribedData, Description, describe
from orchestrator.programs.program import Program
from orchestrator.spec.compression_options import CompressionOptions
from orchestrator.spec.registries import FAMILIES
from orchestrator.spec.sections.compression import chained
from orchestrator.spec.sweep import Sweep


def check_consent(sweep: Sweep, program: Program | None) -> None:
    """Refuse a sweep that needs a program where none was consented to, and the other way round; nothing is started.

    Raises
    ------
    BadInput
        As said.
    """
    if sweep.model.family != "program":
        if program is not None:
            raise BadInput(
                f"{sweep.at('model', 'family')}: `program` names a trainer of your own, but the sweep trains a "
                f"{sweep.model.family}; write model: {{family: program}} and data: {{source: program}}"
            )
        return
    if program is None:
        raise BadInput(
            f"{sweep.at('model', 'family')}: program runs a command of your own, which needs your consent: add "
            "`program` DIR/program.toml"
        )


def described(sweep: Sweep, program: Program | None, *, remembered: bool) -> Description | None:
    """Return what the program of a sweep says of its data and sizes; ``None`` for a sweep of one of our families.

    Raises
    ------
    BadInput
        As `check_consent`; if the sweep asks for what a program can't do; if the program doesn't describe what was
        asked for.
    """
    check_consent(sweep, program)
    if program is None:
        return None
    _refuse_what_it_cannot(sweep, program)
    found = describe(program, sweep.model.options["options"], sweep.grid.params, remembered=remembered)
    if sweep.grid.compression and not all(model.weights for model in found.models):
        raise BadInput(
            f"{sweep.at('grid', 'compression')}: {program.manifest.name} describes no weights that may be compressed; "
            'add "weights": {NAME: SHAPE} to each of its models, or take grid.compression out'
        )
    return found


def family_of(sweep: Sweep, found: Description | None) -> Family:
    """Return the half of a sweep's family that plans."""
    family: Any = FAMILIES.load(sweep.model.family)()
    planned: Family = family if found is None else family.of(sweep.grid.params, found.models)
    return planned


def manifest_of(data: DescribedData) -> DataManifest:
    """Return the manifest of the data that a program describes."""
    return DataManifest(
        task=data.name,
        digest=data.digest,
        train_examples=data.train_examples,
        val_examples=data.val_examples,
        test_examples=data.test_examples,
        tokens_per_example=data.tokens_per_example,
    )


def _refuse_what_it_cannot(sweep: Sweep, program: Program) -> None:
    name = program.manifest.name
    if sweep.grid.finetune is not None:
        raise BadInput(f"{sweep.at('grid', 'finetune')}: {name} describes one data set; take grid.finetune out")
    plain = program.manifest.weights is not None
    if sweep.grid.compression and not plain:
        raise BadInput(
            f"{sweep.at('grid', 'compression')}: the weights of {name} are its own, so they aren't compressed; name "
            "the safetensors file of its states as weights in program.toml, or take grid.compression out"
        )
    for k, compression in enumerate(sweep.grid.compression):
        for step in chained(compression):
            _refuse_compression(step, sweep.at("grid", "compression", k), name)
    resources = sweep.resources
    if program.manifest.launch == "one" and resources.world_size > 1 and resources.gpus_per_worker:
        raise BadInput(
            f"{sweep.at('resources', 'world_size')}: {name} starts its ranks itself (launch: one), on the GPUs of one "
            f"worker: write world_size: 1 and gpus_per_worker: {resources.world_size}"
        )
    if resources.cpu_workers:
        raise BadInput(
            f"{sweep.at('resources', 'cpu_workers')}: {name} scores in the process that trains; take cpu_workers out"
        )
    for train in sweep.recipes():
        if schedule_named(train.schedule).ending == "merge" and not plain:
            raise BadInput(
                f"{sweep.at('train', 'schedule')}: {train.schedule} averages weights, and those of {name} are its own; "
                "name the safetensors file of its states as weights in program.toml, or write wsd"
            )
        if train.fuse:
            raise BadInput(f"{sweep.at('train', 'fuse')}: {name} trains one model a process; take fuse out")
    if sweep.train.eval_every is not None:
        raise BadInput(
            f"{sweep.at('train', 'eval_every')}: {name} scores on the way when it likes, by a val_loss in its metrics; "
            "take eval_every out"
        )


def _refuse_compression(step: CompressionOptions, place: str, name: str) -> None:
    """Refuse what needs more of a model than its weights: training, another structure, other arithmetic."""
    if step.recover is not None:
        raise BadInput(f"{place}.recover: {name} trains, and what we compress of it isn't trained on; take recover out")
    if step.student_key is not None or step.changes in ("model", "units"):
        raise BadInput(
            f"{place}: {step.method} makes another model, and {name} builds its own: quantize, prune or factorise its "
            "weights"
        )
    if getattr(step, "activations", "float") != "float":
        raise BadInput(f"{place}.activations: what {name} multiplies its weights with is its own; take activations out")
