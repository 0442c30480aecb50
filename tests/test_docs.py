"""What the pages say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from orchestrator.execution.failure_policy import policy_table
from orchestrator.spec.sections.resources import Resources
from orchestrator.store import open_store, query
from tests.execution.local import LocalRun

DOCS = Path(__file__).parents[1] / "docs"
#: A recipe under which the loss of every cell ends as no number.
DIVERGES = """\
name: diverge
data: {source: python-stdlib, max_examples: 256, eval_examples: 64}
model: {family: transformer, context: 32}
grid: {params: [3k, 6.3k], data_fraction: [0.5, 1.0]}
train: {optimizer: sgd, learning_rate: 1e30, gradient_clip: null, batch_size: 16, warmup_steps: 5}
inference: {measure: false}
"""


def test_the_table_of_failures_is_the_one_that_the_driver_asks():
    page = (DOCS / "failures.md").read_text()
    assert page.partition("<!-- policy-table -->\n")[2].partition("<!-- /policy-table -->")[0] == policy_table()


def test_every_key_of_resources_stands_in_the_page_with_its_default():
    page = (DOCS / "sweep.md").read_text()
    said = dict(re.findall(r"^\| `resources\.(\w+)` \| `([^`]*)` \|", page, re.MULTILINE))
    defaults = {name: field.default for name, field in Resources.model_fields.items()}
    assert {name: yaml.safe_load(text) for name, text in said.items()} == defaults


@pytest.mark.slow
def test_the_query_for_why_answers_for_every_failure_row(tmp_path):
    page = (DOCS / "store.md").read_text()
    (sql,) = re.findall(r'^scalaw query STORE "(select [^"]* why from .*)"$', page, re.MULTILINE)
    store = open_store(str(tmp_path / "store"), create=True)
    LocalRun(DIVERGES, store).run()
    at = store.results()["started_at"][0].as_py()
    error = "Traceback:\n  in f\nValueError: of an older scalaw \n\n"
    store.commit_row(
        {"cell_id": "0" * 64, "task": "text", "status": "failed", "error": error, "started_at": at, "finished_at": at}
    )
    whys = {record["cell_id"]: record["why"] for record in query(store, sql)}
    assert len(whys) == 5
    assert whys.pop("0" * 64) == "ValueError: of an older scalaw"
    assert all("the loss is not finite after step" in why for why in whys.values())


def test_every_page_is_in_the_navigation_and_every_link_between_pages_leads_somewhere():
    entries = yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text())["nav"]
    pages = {path.name for path in DOCS.glob("*.md")}
    assert {page for entry in entries for page in entry.values()} == pages
    for path in DOCS.glob("*.md"):
        for name, anchor in re.findall(r"\]\(([a-z]+\.md)(?:#([a-z-]+))?\)", path.read_text()):
            assert name in pages, (path.name, name)
            titles = re.findall(r"^#+ (.*)$", (DOCS / name).read_text(), re.MULTILINE)
            assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}, (path.name, anchor)
