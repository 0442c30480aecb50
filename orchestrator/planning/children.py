"""Pretrained cells → the cells that are made of them: fine-tuned and compressed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.errors import BadInput
from orchestrator.planning.cell import Cell
from orchestrator.planning.compress_plan import CompressPlanner
from orchestrator.planning.content_id import content_id
from orchestrator.planning.context import TaskData
from orchestrator.planning.family import Family, ModelShape
from orchestrator.planning.finetuning import AUTO_RATE_SHARE, Tuning
from orchestrator.planning.plugins import plugin_digests
from orchestrator.planning.recipe import Recipe
from orchestrator.spec.registries import SOURCES
from orchestrator.spec.sections.finetune import Finetune
from orchestrator.spec.sweep import Sweep


def with_children(
    sweep: Sweep, family: Family, data: Mapping[str, TaskData], cells: Sequence[Cell], warnings: list[str]
) -> list[Cell]:
    """Return pretrained cells, each followed by its fine-tuned cells, and the last ones by their compressed variants.

    Parameters
    ----------
    sweep
        The parsed sweep.
    data
        Of pretraining and, where the sweep has any, fine-tuning.
    cells
        The pretrained ones.
    warnings
        Takes sentences about what was not taken as written.

    Raises
    ------
    BadInput
        If there is too little data to fine-tune on, the model can't read it, or a compression doesn't fit a model.
    """
    if sweep.grid.finetune is None and not sweep.grid.compression:
        return list(cells)
    tuner = _Tuner(sweep, sweep.grid.finetune, family, data) if sweep.grid.finetune is not None else None
    compressor = CompressPlanner(sweep, family, data)
    found = []
    for cell in cells:
        found.append(cell)
        tuned = tuner.children(cell) if tuner else []
        for base in tuned or [cell]:
            found += [base] if tuned else []
            found += compressor.children(base)
    compressor.refuse()
    warnings += compressor.warnings
    return found


@dataclass
class _Tuner:
    """Makes fine-tuned cells."""

    sweep: Sweep
    finetune: Finetune
    family: Family
    data: Mapping[str, TaskData]

    def __post_init__(self) -> None:
        self._shapes: dict[ModelShape, ModelShape] = {}
        manifest, most = self.data["finetune"].manifest, max(self.finetune.examples)
        if most > manifest.train_examples:
            raise BadInput(
                f"{self.sweep.at('grid', 'finetune', 'examples')}: has {most:,}, but {manifest.task} has "
                f"{manifest.train_examples:,} training examples; lower it"
            )

    def children(self, cell: Cell) -> list[Cell]:
        finetune = self.finetune
        recipe = _recipe(self.sweep, finetune, cell.recipe)
        shape = self._shape(cell.shape)
        manifest = self.data["finetune"].manifest
        new_head = finetune.head == "new" or (finetune.head == "auto" and manifest.tokens_per_example is None)
        if not new_head and shape != cell.shape and manifest.classes != self.data["pretrain"].manifest.classes:
            raise BadInput(
                f"{self.sweep.at('grid', 'finetune', 'head')}: keep, but {manifest.task} has {manifest.classes:,} "
                "classes and the pretraining data another number; write head: new"
            )
        content = content_id(
            {
                "recipe": recipe.to_json(),
                "data": manifest.digest,
                "freeze": finetune.freeze,
                "new_head": new_head,
                "shape": dict(shape.dims),
                **plugin_digests([(SOURCES, finetune.data.source)]),
            }
        )
        found = []
        for examples in finetune.examples:
            for epochs in finetune.epochs:
                steps = recipe.total_steps(examples, epochs)
                if steps < 1:
                    raise BadInput(
                        f"{self.sweep.at('grid', 'finetune', 'examples')}: {examples:,} examples for e = {epochs} "
                        f"don't fill a batch of {recipe.batch_size}; raise it, or lower grid.finetune.batch_size"
                    )
                tuning = Tuning(
                    examples=examples,
                    epochs=epochs,
                    total_steps=steps,
                    recipe=recipe,
                    shape=shape,
                    frozen=finetune.freeze,
                    new_head=new_head,
                    content=content,
                )
                cell_id = content_id({"parent": cell.id, "finetune": content, "examples": examples, "epochs": epochs})
                found.append(replace(cell, id=cell_id, shape=shape, parent=cell, tuning=tuning))
        return found

    def _shape(self, shape: ModelShape) -> ModelShape:
        if shape not in self._shapes:
            manifest = self.data["finetune"].manifest
            with self.sweep.blamed("grid", "finetune"):
                self._shapes[shape] = self.family.shape_on(shape, self.sweep.model.options, manifest)
        return self._shapes[shape]


def _recipe(sweep: Sweep, finetune: Finetune, pretraining: Recipe) -> Recipe:
    batch = pretraining.batch_size if finetune.batch_size == "auto" else finetune.batch_size
    if batch % pretraining.world_size:
        raise BadInput(
            f"{sweep.at('resources', 'world_size')}: {pretraining.world_size} doesn't divide "
            f"grid.finetune.batch_size {batch}: each rank takes an equal share of a batch; change one of the two"
        )
    rate = finetune.learning_rate
    return replace(
        pretraining,
        batch_size=batch,
        learning_rate=AUTO_RATE_SHARE * pretraining.learning_rate if rate == "auto" else rate,
        warmup_steps=finetune.warmup_steps,
        fuse=False,
    )
