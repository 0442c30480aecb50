"""What ``scalaw init --program train.py`` writes beside a trainer, and the list of what to change in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from orchestrator.errors import BadInput

_MANIFEST: Final = """\
# How {script} is run as a process of a sweep. Naming this file with --program is the consent to run it.
protocol = 1
name = "{name}"
command = ["python", "{script}"]   # argv in this folder, no shell; python is the worker's interpreter
sources = ["*.py"]                 # every cell's id depends on these files
sharing = "exact"                  # what it promises; `scalaw program check` tries it: exact, resume or none
data_prefix = true                 # false, if the first pass over fewer examples is another one
# preload = ["torch", "torch._dynamo"]   # imported once a worker, which then forks for each task
# env = ["HF_HOME"]                # variables that are passed on
grace_s = 60                       # from SIGTERM to SIGKILL
silence_s = 1800                   # without a line of metrics it counts as hung
"""
_SWEEP: Final = """\
# A sweep of {script}; see program.toml beside it.
name: {name}
seed: 0
data: {{source: program}}            # max_examples bounds what data_fraction 1.0 means
model: {{family: program, options: {{}}}}   # options: handed on to the script as JSON
grid:
  params: [25k, 50k, 100k]         # asked of the script, which describes the nearest sizes that it builds
  data_fraction: [0.25, 0.5, 1.0]
  epochs: [1, 2]
train: {{learning_rate: 0.003, batch_size: 16, warmup_steps: 20, schedule: wsd}}
"""
#: What to change, in the order in which a trainer reads.
CHANGES: Final = (
    "from scalaw.program import Task, and task = Task() before anything is built",
    'if task.do == "describe": task.describe(data, models), one model a size of task.params, counted',
    "build the model from task.dims, seed its weights with task.seed, and read task.options for the rest",
    "if task.start_state: load weights, optimizer and generators from the files in that folder",
    "for step in task.steps(): no epochs, no total length, no schedule of its own",
    "the rate of a step is task.rate(step); what is random in it is seeded with task.step_seed(step)",
    "the batch of a step is task.examples(step): indices of training examples",
    "after it task.step_done(step, loss, save), where save(folder) writes the whole state",
    "at the end task.finish(params_total=…, val_loss=…), scored on task.eval_examples held-back examples",
)


def write_program(script: Path) -> tuple[Path, Path]:
    """Write a manifest and a sweep beside a trainer; return the two files.

    Raises
    ------
    BadInput
        If there is no such script, one of the files is there already, or they can't be written.
    """
    if not script.is_file() or script.suffix != ".py":
        raise BadInput(f"{script} is no Python script; `program` names your trainer, train.py")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", script.resolve().parent.name).strip(".-_")[:40] or "mine"
    texts = {"program.toml": _MANIFEST, "sweep.yaml": _SWEEP}
    files = {script.parent / file: text.format(script=script.name, name=name) for file, text in texts.items()}
    for path in files:
        if path.exists():
            raise BadInput(f"{path} is there already; move it away")
    try:
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as failure:
        raise BadInput(f"{failure.filename} can't be written: {failure.strerror}") from failure
    manifest, sweep = files
    return manifest, sweep
