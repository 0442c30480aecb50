"""Grid → cells: every combination, sizes and fractions resolved to what will really be built and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import BadInput, UnbuildableSize, refused_at
from orchestrator.planning.cell import Cell, cell_identity
from orchestrator.planning.content_id import content_id
from orchestrator.planning.family import Family, ModelShape
from orchestrator.planning.manifest import DataManifest
from orchestrator.planning.plugins import plugin_digests
from orchestrator.planning.recipe import RECIPE_VERSION, Recipe
from orchestrator.planning.tasks import Task
from orchestrator.programs.program import Program
from orchestrator.spec.registries import FAMILIES, METRICS, OPTIMIZERS, SCHEDULES, SOURCES
from orchestrator.spec.sweep import Sweep

#: A warning is given where the nearest buildable size is further off than this share.
SIZE_TOLERANCE = 0.1


@dataclass(frozen=True)
class Expansion:
    """The cells of a sweep and what to say about them."""

    cells: list[Cell]
    warnings: list[str]


def expand(
    sweep: Sweep,
    family: Family,
    manifest: DataManifest,
    recipes: Sequence[Recipe],
    program: Program | None = None,
    tasks: Sequence[Task] = (),
) -> Expansion:
    """Return the distinct cells of a sweep's grid.

    Parameters
    ----------
    sweep
        The parsed sweep.
    recipes
        How each point of the grid is trained; equal ones count once.
    tasks
        What the models are asked; another question is another measurement.
    program
        Whose sources the cells depend on, of ``family: program``.

    Raises
    ------
    BadInput
        If a point of the grid can't be trained: no data left, fewer examples than one batch, no such size.
    """
    warnings: list[str] = []
    full = _full_set(sweep, manifest)
    shapes = _shapes(sweep, family, manifest, warnings)
    amounts = _amounts(sweep, full, warnings)
    commons = {recipe: _common(sweep, manifest, recipe, program, tasks) for recipe in recipes}
    if len(commons) < len(recipes):
        warnings.append("two entries of grid.recipes come to the same: trained once")
    digests = {shape: content_id([shape.family, dict(shape.dims)]) for shape in shapes}
    cells: list[Cell] = []
    for recipe, common in commons.items():
        for epochs in sweep.grid.epochs:
            for examples, fraction in amounts.items():
                total = recipe.total_steps(examples, epochs)
                if total < 1:
                    raise BadInput(
                        f"{sweep.at('grid', 'data_fraction')}: {fraction:g} leaves {examples:,} examples, which for "
                        f"E = {epochs} don't fill a batch; lower train.batch_size ({recipe.batch_size}) or raise the "
                        "fraction"
                    )
                for shape, shape_digest in digests.items():
                    cells.extend(
                        Cell(
                            id=cell_identity(common, shape_digest, examples, epochs, seed),
                            shape=shape,
                            data_examples=examples,
                            data_fraction=fraction,
                            epochs=epochs,
                            seed=seed,
                            total_steps=total,
                            recipe=recipe,
                            common=common,
                        )
                        for seed in range(sweep.seed, sweep.seed + sweep.grid.seeds)
                    )
    return Expansion(cells, warnings)


def _common(
    sweep: Sweep, manifest: DataManifest, recipe: Recipe, program: Program | None, tasks: Sequence[Task]
) -> str:
    """Return the digest of what all cells of a recipe have in common."""
    return content_id(
        {
            "recipe_version": RECIPE_VERSION,
            "recipe": recipe.to_json(),
            "data": manifest.digest,
            "eval_examples": sweep.data.eval_examples,
            "model": sweep.model.options,
            **({"evaluate": [task.identity for task in tasks]} if tasks else {}),
            **plugin_digests(
                [
                    (FAMILIES, sweep.model.family),
                    (SOURCES, sweep.data.source),
                    (OPTIMIZERS, recipe.optimizer),
                    (SCHEDULES, recipe.schedule),
                    *((METRICS, task.kind) for task in tasks),
                ]
            ),
            **({} if program is None else {"program": program.digest}),
        }
    )


def _full_set(sweep: Sweep, manifest: DataManifest) -> int:
    wanted = sweep.data.max_examples
    if wanted is None:
        return manifest.train_examples
    if wanted > manifest.train_examples:
        raise BadInput(
            f"{sweep.at('data', 'max_examples')}: is {wanted:,}, but {manifest.task} has {manifest.train_examples:,} "
            "training examples; lower it or leave it out"
        )
    return wanted


def _shapes(sweep: Sweep, family: Family, manifest: DataManifest, warnings: list[str]) -> list[ModelShape]:
    found: dict[ModelShape, int] = {}
    place = sweep.at("grid", "params")
    for params in sweep.grid.params:
        with sweep.blamed("model"), refused_at(place, UnbuildableSize):
            shape = family.shape_for(params, sweep.model.options, manifest)
        built = shape.params_non_embedding
        if shape in found:
            warnings.append(
                f"grid.params {params:,} and {found[shape]:,} are nearest to the same model (N = {built:,}): "
                "trained once"
            )
            continue
        if abs(built - params) > SIZE_TOLERANCE * params:
            warnings.append(f"grid.params {params:,}: the nearest buildable model has N = {built:,}")
        found[shape] = params
    return list(found)


def _amounts(sweep: Sweep, full: int, warnings: list[str]) -> dict[int, float]:
    found: dict[int, float] = {}
    for fraction in sweep.grid.data_fraction:
        examples = round(fraction * full)
        if examples < 1:
            raise BadInput(
                f"{sweep.at('grid', 'data_fraction')}: {fraction:g} of {full:,} examples leaves none; raise it"
            )
        if examples in found:
            warnings.append(
                f"grid.data_fraction {fraction:g} and {found[examples]:g} are the same {examples:,} examples: "
                "trained once"
            )
            continue
        found[examples] = fraction
    return found
