"""The runner of the GPU's steps: limits, what a step that was ended has found, and a report whatever happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

GPU = Path(__file__).parents[2] / "benchmarks" / "gpu"
#: Says something, then does something else; the runner gives each step its findings' path.
SAYING = """\
import json, sys, time
path = sys.argv[sys.argv.index("--findings") + 1]
open(path, "w").write(json.dumps({{"facts": {{"said": 1}}, "checks": [{{"check": "c", "ok": {ok}, "found": "f"}}]}}))
{then}
"""


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """Let the runner's own modules be found, as its folder is not a package, and forget them afterwards."""
    monkeypatch.syspath_prepend(str(GPU))
    yield
    for name in ("run_all", "report", "steps", "bundle", "findings"):
        sys.modules.pop(name, None)


def stepped(tmp_path: Path, scripts: dict[str, str], **limits: float) -> tuple[dict, str]:
    """Run steps that are scripts in a folder; return gpu.json and gpu.md."""
    import run_all
    from steps import Step

    folder, out = tmp_path / "steps", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for name, text in scripts.items():
        (folder / f"{name}.py").write_text(text)
    steps = tuple(Step(name, (str(folder / f"{name}.py"),), limits.get(name, 30.0)) for name in scripts)
    run_all.Runner(out, dry=True, begun_s=time.time()).run(steps)
    return json.loads((out / "gpu.json").read_text()), (out / "gpu.md").read_text()


def test_a_step_that_takes_too_long_ends_with_its_children_and_what_it_has_found(tmp_path):
    child = tmp_path / "child"
    then = f"""\
import subprocess, os
child = subprocess.Popen(["sleep", "600"], process_group=0)  # a group of its own, as Ray's processes have
open({str(child)!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    scripts = {"slow": SAYING.format(ok=True, then=then), "broken": "raise KeyError('why')"}
    whole, told = stepped(tmp_path, {**scripts, "next": SAYING.format(ok=False, then="")}, slow=2.0)
    slow, broken, after = whole["steps"]
    assert slow["end"] == "its time was over"
    assert slow["facts"] == {"said": 1}
    assert broken["end"] == "exit code 1"
    assert after["end"] == "ended by itself"
    state = Path(f"/proc/{child.read_text()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert "KeyError: 'why'" in (tmp_path / "out" / "gpu.log").read_text()
    assert "1 of 2 checks kept" in told
    assert "- c: f" in told


def test_no_step_begins_once_the_whole_is_over(tmp_path):
    import run_all
    from steps import WHOLE_S, Step

    runner = run_all.Runner(tmp_path, dry=True, begun_s=time.time() - WHOLE_S)
    runner.run((Step("late", ("late.py",), 30.0),))
    assert json.loads((tmp_path / "gpu.json").read_text())["steps"][0]["end"] == "no time was left"


def test_the_steps_that_must_come_before_the_last_leave_it_time_and_all_end_within_nine_minutes():
    from steps import STEPS, WHOLE_S

    assert WHOLE_S <= 540
    assert [step.name for step in STEPS][-2:] == ["step time 125M", "step time 350M"]
    for step in STEPS:
        assert step.words[0] == "pytest" or (GPU / step.words[0]).is_file()


def test_a_bundle_keeps_run_bits_and_leaves_out_what_no_gpu_machine_needs(tmp_path):
    import bundle

    wheel = tmp_path / "ray-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as zipped:
        for name, mode in (
            ("ray/core/raylet", 0o755),
            ("ray/__init__.py", 0o644),
            ("ray/jars/ray.jar", 0o644),
            ("ray-1.data/purelib/extra.py", 0o644),
        ):
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100000 | mode) << 16
            zipped.writestr(info, name)
    with tarfile.open(tmp_path / "site.tar", "w") as archive:
        assert bundle.add_wheel(archive, wheel) == 1
    with tarfile.open(tmp_path / "site.tar") as archive:
        assert {member.name: member.mode for member in archive} == {
            "ray/core/raylet": 0o755,
            "ray/__init__.py": 0o644,
            "extra.py": 0o644,
        }


def test_go_sh_unpacks_with_run_bits_and_hands_its_words_on(tmp_path):
    site = tmp_path / "packed"
    site.mkdir()
    (site / "tool").write_text("#!/bin/sh\n")
    (site / "tool").chmod(0o755)
    with tarfile.open(tmp_path / "site.tar.xz", "w:xz") as archive:
        archive.add(site / "tool", "tool")
    done = subprocess.run(
        ["bash", str(GPU / "go.sh"), "--dry", "--only", "none of them"],
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "BUNDLE": str(tmp_path / "site.tar.xz"),
            "SITE": str(tmp_path / "site"),
            "OUT": str(tmp_path / "out"),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert os.access(tmp_path / "site" / "tool", os.X_OK)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gpu.json", "gpu.log", "gpu.md"]
    assert json.loads((tmp_path / "out" / "gpu.json").read_text())["dry"] is True
