"""``grid.compression`` → compressed cells, refused here where a model can't be compressed so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.errors import BadInput, UnbuildableSize, refused_at
from orchestrator.planning.cell import Cell
from orchestrator.planning.compressed import Compressed, CompressStep
from orchestrator.planning.compressor import Compressor
from orchestrator.planning.content_id import content_id
from orchestrator.planning.context import TaskData
from orchestrator.planning.family import Family, ModelShape
from orchestrator.planning.plugins import plugin_digests
from orchestrator.planning.recipe import Recipe
from orchestrator.spec.compression_options import CompressionOptions
from orchestrator.spec.registries import COMPRESSORS
from orchestrator.spec.sections.compression import chained, label_of
from orchestrator.spec.sections.recovery import Recovery
from orchestrator.spec.sweep import Sweep

#: Peak rate of recovery as a share of the rate before it; it falls linearly to zero.
RECOVERY_RATE_SHARE = 0.25


class CompressPlanner:
    """Makes the compressed variants of cells.

    Parameters
    ----------
    sweep, family, data
        As in :func:`~orchestrator.planning.children.with_children`.
    """

    def __init__(self, sweep: Sweep, family: Family, data: Mapping[str, TaskData]) -> None:
        self.sweep, self.family, self.data = sweep, family, data
        self._remarks: dict[str, dict[str, None]] = {}
        self._refusals: dict[str, str] = {}
        self._places = [sweep.at("grid", "compression", k) for k in range(len(sweep.grid.compression))]
        self._students: dict[tuple[int, str], ModelShape] = {}

    @property
    def warnings(self) -> list[str]:
        """What will be other than asked: the first case of each compression, and how many more there are."""
        return [
            f"{place}: {next(iter(remarks))}" + (f" (and so at {len(remarks) - 1} more)" if len(remarks) > 1 else "")
            for place, remarks in self._remarks.items()
        ]

    def refuse(self) -> None:
        """Raise what was refused, each compression once.

        Raises
        ------
        BadInput
            One line a compression.
        """
        if self._refusals:
            raise BadInput("\n".join(self._refusals.values()))

    def children(self, base: Cell) -> list[Cell]:
        """Return the compressed variants of a cell, in the YAML's order, without those that `refuse` will name."""
        found = []
        for compression, place in zip(self.sweep.grid.compression, self._places, strict=True):
            try:
                steps = self._steps(base, chained(compression), place)
            except BadInput as refusal:
                self._refusals.setdefault(place, str(refusal))
                continue
            compressed = Compressed(
                method=compression.method, label=label_of(compression), level=compression.level, steps=steps
            )
            cell_id = content_id({"parent": base.id, "compression": [step.content for step in steps]})
            found.append(replace(base, id=cell_id, shape=steps[-1].shape, parent=base, compressed=compressed))
        return found

    def _steps(self, base: Cell, compressions: Sequence[CompressionOptions], place: str) -> tuple[CompressStep, ...]:
        found: list[CompressStep] = []
        shape = base.shape
        for options in compressions:
            found.append(self._step(base, shape, options, place))
            shape = found[-1].shape
        return tuple(found)

    def _step(self, base: Cell, before: ModelShape, options: CompressionOptions, place: str) -> CompressStep:
        recipe = base.recipe if base.tuning is None else base.tuning.recipe
        examples = base.data_examples if base.tuning is None else base.tuning.examples
        compressor: Compressor = COMPRESSORS.load(options.method)()
        student = options.student_size
        shape = before if student is None else self._student(student, base, f"{place}.{options.student_key}")
        with refused_at(place):
            remarks = compressor.check(options, before, self.family)
        if remarks:
            self._remarks.setdefault(place, {}).update(dict.fromkeys(remarks))
        if student is not None:
            steps = base.total_steps if base.tuning is None else base.tuning.total_steps
            steps += _recovery_steps(options.recover, recipe, examples)
            # A student is trained in one stage, which takes no snapshots: it decays instead of merging them.
            schedule = "wsd" if recipe.merges else recipe.schedule
            recipe = replace(recipe, schedule=schedule, compile=False, fuse=False)
            flops = recipe.batch_size * (shape.train_flops + before.forward_flops)
        else:
            steps = _recovery_steps(options.recover, recipe, examples)
            recipe = _recovery(recipe)
            flops = recipe.batch_size * shape.train_flops
        content = {
            "options": options.model_dump(mode="json"),
            "shape": dict(shape.dims),
            "steps": steps,
            "examples": examples,
            "recipe": recipe.to_json() if steps else None,
            **plugin_digests([(COMPRESSORS, options.method)]),
        }
        return CompressStep(
            method=options.method,
            options=options,
            before=before,
            shape=shape,
            training_steps=steps,
            training_examples=examples,
            step_flops=flops,
            recipe=recipe,
            content=content_id(content),
        )

    def _student(self, params: int, base: Cell, place: str) -> ModelShape:
        data = self.data[base.data].manifest
        key = params, base.data
        if key not in self._students:
            with self.sweep.blamed("model"), refused_at(place, UnbuildableSize):
                self._students[key] = self.family.shape_for(params, self.sweep.model.options, data)
        student = self._students[key]
        if student.params_non_embedding >= base.shape.params_non_embedding:
            raise BadInput(
                f"{place}: the nearest model to {params:,} has "
                f"N = {student.params_non_embedding:,}, no smaller than its teacher's "
                f"{base.shape.params_non_embedding:,}; take a smaller student, or leave the smallest "
                "sizes out of grid.params"
            )
        return student


def _recovery_steps(recover: Recovery | None, recipe: Recipe, examples: int) -> int:
    if recover is None:
        return 0
    if recover.steps is not None:
        return recover.steps
    assert recover.epochs is not None, "validation asks for one of the two"
    return max(1, round(recover.epochs * examples / recipe.batch_size))


def _recovery(recipe: Recipe) -> Recipe:
    """Return the recipe of recovery: no warmup, from a quarter of the rate linearly to zero."""
    return replace(
        recipe,
        learning_rate=RECOVERY_RATE_SHARE * recipe.learning_rate,
        warmup_steps=0,
        schedule="wsd",
        cooldown_fraction=1.0,
        compile=False,
        fuse=False,
    )
