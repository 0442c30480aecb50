"""The documents keep up with the YAML: sweeps and examples load, the key tables state the real defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.spec import load_sweep, parse_sweep
from orchestrator.spec.options import Options
from orchestrator.spec.quantities import parse_number
from orchestrator.spec.registries import FAMILIES, SOURCES
from orchestrator.spec.sections.data import Data
from orchestrator.spec.sections.finetune import Finetune
from orchestrator.spec.sections.fit import Fit
from orchestrator.spec.sections.grid import Grid
from orchestrator.spec.sections.inference import Inference
from orchestrator.spec.sections.model import Model
from orchestrator.spec.sections.resources import Resources
from orchestrator.spec.sections.train import Train
from orchestrator.spec.sweep import Sweep
from orchestrator.spec.yaml.parser import parse_document

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    pytest.param(text, id=f"{page.name}-{i}")
    for page in PAGES
    for i, text in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL))
]
ROW = re.compile(r"^\| `([a-zA-Z0-9_.]+)` \| (.+?) \| ", re.MULTILINE)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_in_the_repository_loads(path: Path) -> None:
    sweep = load_sweep(path)
    assert sweep.grid.cells > 1
    assert sweep.name.replace("-", "_") == path.stem


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_yaml_example_loads(text: str) -> None:
    assert parse_sweep(text).grid.params


def _keys() -> dict[str, list[object]]:
    """Every key of a sweep as ``section.key`` with its default in each plug-in that has it; ``...``: none."""
    found: dict[str, list[object]] = {}

    def take(prefix: str, section: type[Options]) -> None:
        for key, field in section.model_fields.items():
            if key != "options":
                factory = field.default_factory is not None
                default = None if factory else ... if field.is_required() else field.default
                found.setdefault(prefix + key, []).append(default)

    take("", Sweep)
    for name, section in (("data", Data), ("model", Model), ("grid", Grid), ("train", Train)):
        take(f"{name}.", section)
        del found[name]
    for name, section in (("resources", Resources), ("inference", Inference), ("fit", Fit)):
        take(f"{name}.", section)
        del found[name]
    take("grid.finetune.", Finetune)
    for prefix, registry in (("data.", SOURCES), ("model.", FAMILIES)):
        for plugin in registry.builtin:
            take(prefix, registry.load(plugin).Options)
    return found


def _written(cell: str) -> list[object]:
    """The defaults in a cell of the table, as plain values."""
    if cell == "required":
        return [...]
    values = [parse_document(text, "default").data for text in re.findall(r"`([^`]*)`", cell)]
    return [tuple(value) if isinstance(value, list) else value for value in values]


def _plain(value: object) -> object:
    return parse_number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def test_the_key_tables_name_every_key_with_its_default() -> None:
    rows = dict(ROW.findall((ROOT / "docs" / "sweep.md").read_text()))
    keys = _keys()
    assert sorted(rows) == sorted(keys)
    for key, defaults in keys.items():
        distinct = {repr(_plain(value)) for value in defaults}
        assert {repr(_plain(value)) for value in _written(rows[key])} == distinct, key
