"""What a person sees in Ray's dashboard, in a headless browser, of a sweep that runs."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from orchestrator.store import open_store

pytestmark = pytest.mark.slow

SWEEP = """
name: seen
data: {source: simulated, examples: 1M}
model: {family: simulated, noise: 0.01, stage_s: 1.0}
grid: {params: [1k, 3k, 10k, 30k], data_fraction: [0.1, 0.3, 1.0], epochs: [1, 2, 4]}
fit: {bootstrap: 20, laws: [product]}
"""
#: A page that shows nothing new for so long shows nothing.
PAGE_MS = 40_000


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, without a screen."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium here")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield started
        started.close()


@pytest.fixture
def job(nodes):
    """A sweep that runs on the cluster."""
    path, store = nodes.folder / "seen.yaml", nodes.folder / "seen-store"
    path.write_text(SWEEP)
    sent = nodes.scalaw("submit", path, "--address", nodes.url, "--store", store, "--json")
    assert sent.returncode == 0, sent.stderr
    found = json.loads(sent.stdout)["job_id"]
    yield found, store
    nodes.scalaw("stop", found, "--address", nodes.url)


@pytest.fixture
def page(nodes, browser):
    """The dashboard, once it has the token."""
    opened = browser.new_page(viewport={"width": 1500, "height": 1000})
    opened.set_default_timeout(PAGE_MS)
    opened.goto(nodes.url)
    opened.locator(".MuiDialog-root input").fill(nodes.token)
    opened.locator(".MuiDialog-root button").last.click()
    opened.locator(".MuiDialog-root").wait_for(state="detached")
    yield opened
    opened.close()


@pytest.mark.nightly
def test_the_dashboard_shows_nothing_without_the_token(nodes, browser):
    opened = browser.new_page()
    opened.goto(f"{nodes.url}/#/jobs")
    opened.locator(".MuiDialog-root input").wait_for()
    assert "scalaw" not in opened.inner_text("body")
    opened.close()


@pytest.mark.nightly
def test_job_actor_and_task_tell_the_sweep_its_progress_and_the_stage(nodes, page, job):
    job_id, store = job

    page.goto(f"{nodes.url}/#/jobs/{job_id}")
    page.get_by_text(": scalaw run seen").first.wait_for()
    page.get_by_text(re.compile(r'"scalaw_sweep": "seen"')).first.wait_for()
    while "workers busy" not in nodes.scalaw("logs", job_id, "--address", nodes.url).stdout:
        page.wait_for_timeout(500)
    page.reload()
    page.get_by_text(re.compile(r"seen: \d+/36 cells .* workers busy")).first.wait_for()
    page.get_by_text("View details").first.click()
    page.get_by_text(re.compile(r"^\d+/36 cells · \d+/\d+ stages")).first.wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=str(nodes.folder / "job.png"))

    page.goto(f"{nodes.url}/#/actors")
    page.get_by_text("scalaw-worker-0").first.wait_for()
    listed = nodes.get("/api/v0/actors?limit=1000")["data"]["result"]["result"]
    workers = [a for a in listed if a["name"].startswith("scalaw-worker") and a["state"] == "ALIVE"]
    assert workers
    page.goto(f"{nodes.url}/#/actors/{workers[0]['actor_id']}")
    page.get_by_text("Tasks History").click()
    task = page.get_by_text(re.compile(r"(trunk|cooldown|evaluate).* N=[\d,]+ seed 0"))
    task.last.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    page.screenshot(path=str(nodes.folder / "tasks.png"))
    assert open_store(str(store)).done()
