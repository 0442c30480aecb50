"""Names the YAML may use, and where each is implemented: one line an entry, plus installed entry points.

Only names travel in the YAML (I8); a name is looked up here and the object is imported when a verb needs it.
People add their own from an installed package through the entry-point group of the same kind.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator.errors import BadInput
from orchestrator.spec.did_you_mean import suggestion


@dataclass(frozen=True)
class Registry:
    """A kind of plug-in: its word for messages, its entry-point group and the built-in entries.

    ``adapter`` names what makes an entry of ours from what another package's entry point stands for.
    """

    kind: str
    group: str
    builtin: Mapping[str, str]
    adapter: str = ""

    @cached_property
    def installed(self) -> dict[str, str]:
        """Entries of other installed packages, name to ``module:object``."""
        from importlib.metadata import entry_points

        return {e.name: e.value for e in entry_points(group=self.group)}

    @cached_property
    def added(self) -> dict[str, Any]:
        """Objects that this process has added by name."""
        return {}

    @cached_property
    def added_training(self) -> dict[str, Any]:
        """The halves that train of what this process was given, by name."""
        return {}

    @cached_property
    def _imported(self) -> dict[str, Any]:
        """Objects by name that were imported before; planning asks for a schedule some hundred thousand times."""
        return {}

    def add(self, name: str, entry: Any) -> None:
        """Put an object under a name in this process, over an earlier one of that name.

        Raises
        ------
        BadInput
            If the name is one of ours, or of an installed package.
        """
        if name in self.builtin or name in self.installed:
            raise BadInput(f"there is a {self.kind} {name!r} already; take another name")
        self.added[name] = entry

    def add_training(self, name: str, entry: Any) -> None:
        """Put a half that trains under a name in this process; raises as :meth:`add`."""
        if name in self.builtin or name in self.installed:
            raise BadInput(f"there is a {self.kind} {name!r} already; take another name")
        self.added_training[name] = entry

    def names(self) -> list[str]:
        """Return every known name, sorted."""
        return sorted({*self.builtin, *self.installed, *self.added})

    def listed(self) -> list[str]:
        """Return every known name as messages list them: ours in their own order, then the others."""
        return [*self.builtin, *(name for name in self.names() if name not in self.builtin)]

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or name in self.installed or name in self.added

    def load(self, name: str) -> Any:
        """Import and return the object behind a name.

        Raises
        ------
        BadInput
            If no entry has that name (the message suggests the nearest one), or an installed one can't be imported.
        """
        if name in self.added:
            return self.added[name]
        if name not in self._imported:
            self._imported[name] = self._import(name)
        return self._imported[name]

    def _import(self, name: str) -> Any:
        target = self.builtin.get(name) or self.installed.get(name)
        if target is None:
            raise BadInput(f"unknown {self.kind} {name[:40]!r}; {suggestion(name, self.names())}")
        found = self._object(name, target)
        if name in self.builtin or not self.adapter:
            return found
        return self._object(name, self.adapter)(found, target)

    def load_training(self, name: str) -> Any:
        """Import and return the half that trains of a plug-in whose planning half is registered; it may import torch.

        Raises
        ------
        BadInput
            As :meth:`load`, for either half; and if the planning half names no other.
        """
        if name in self.added_training:
            return self.added_training[name]
        half = self.load(name)
        if callable(trained := getattr(half, "trained", None)):  # a family of ``sizes`` and ``build``
            return trained()
        target = getattr(half, "training", None)
        if isinstance(target, type):  # both halves in one file
            return target
        if not isinstance(target, str):
            raise BadInput(f"the {self.kind} {name!r} names no half that trains; give it training = 'module:class'")
        return self._object(name, target)

    def _object(self, name: str, target: str) -> Any:
        module, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:  # what others' modules raise while they are imported is theirs to mend
            if name in self.builtin:
                raise
            why = " ".join(str(error).split()) or "no message"
            raise BadInput(
                f"the {self.kind} {name!r} can't be imported from {target} ({type(error).__name__}: {why}); mend or "
                "uninstall it"
            ) from error


FAMILIES = Registry(
    "model family",
    "scalaw.families",
    {
        "transformer": "workers.families.transformer.plan:Transformer",
        "resnet": "workers.families.resnet.plan:ResNet",
        "simulated": "workers.families.simulated.plan:Simulated",
        "program": "workers.families.program.plan:ProgramFamily",
    },
    adapter="workers.families.own.plan:adapted",
)
SOURCES = Registry(
    "data source",
    "scalaw.sources",
    {
        "python-stdlib": "workers.sources.python_stdlib:PythonStdlib",
        "tokens": "workers.sources.tokens.source:Tokens",
        "text": "workers.sources.text:TextFiles",
        "c-headers": "workers.sources.c_headers:CHeaders",
        "digits": "workers.sources.digits:Digits",
        "cifar10": "workers.sources.cifar10:Cifar10",
        "imagefolder": "workers.sources.imagefolder:ImageFolder",
        "fake": "workers.sources.fake:FakeImages",
        "simulated": "workers.sources.simulated:SimulatedData",
        "program": "workers.sources.program:ProgramData",
    },
)
OPTIMIZERS = Registry(
    "optimizer",
    "scalaw.optimizers",
    {
        "adamw": "workers.optimizers.adamw:build",
        "sgd": "workers.optimizers.sgd:build",
    },
    adapter="workers.optimizers.own:adapted",
)
SCHEDULES = Registry(
    "schedule",
    "scalaw.schedules",
    {
        "wsd": "orchestrator.planning.schedules.wsd:WarmupStableDecay",
        "wsm": "orchestrator.planning.schedules.wsm:WarmupStableMerge",
        "cosine": "orchestrator.planning.schedules.cosine:Cosine",
        "step": "orchestrator.planning.schedules.step:StepDown",
        "constant": "orchestrator.planning.schedules.constant:Constant",
    },
)
COMPRESSORS = Registry(
    "compressor",
    "scalaw.compressors",
    {
        "quantize": "workers.compressors.quantize.plan:Quantize",
        "prune": "workers.compressors.prune.plan:Prune",
        "low_rank": "workers.compressors.low_rank.plan:LowRank",
        "distill": "workers.compressors.distill.plan:Distill",
    },
)
LAWS = Registry(
    "law",
    "scalaw.laws",
    {
        "product": "orchestrator.fitting.laws.product:Product",
        "product_floor": "orchestrator.fitting.laws.product_floor:ProductFloor",
        "chinchilla": "orchestrator.fitting.laws.chinchilla:Chinchilla",
        "data_constrained": "orchestrator.fitting.laws.data_constrained:DataConstrained",
        "precision": "orchestrator.fitting.laws.precision:Precision",
        "precision_training": "orchestrator.fitting.laws.precision_training:PrecisionTraining",
        "sparsity": "orchestrator.fitting.laws.sparsity:Sparsity",
        "kaplan": "orchestrator.fitting.laws.kaplan:Kaplan",
        "kaplan_floor": "orchestrator.fitting.laws.kaplan_floor:KaplanFloor",
        "broken": "orchestrator.fitting.laws.broken:Broken",
        "sigmoid": "orchestrator.fitting.laws.sigmoid:Sigmoid",
        "n_dependent": "orchestrator.fitting.laws.n_dependent:NDependent",
        "transfer": "orchestrator.fitting.laws.transfer:Transfer",
        "additive": "orchestrator.fitting.laws.additive:Additive",
    },
)
METRICS = Registry(
    "task",
    "scalaw.metrics",
    {
        "multiple_choice": "workers.tasks.multiple_choice:MultipleChoice",
        "perplexity": "workers.tasks.perplexity:Perplexity",
        "exact_match": "workers.tasks.exact_match:ExactMatch",
    },
)
