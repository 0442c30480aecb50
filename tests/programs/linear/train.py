"""A trainer without torch: a linear model with momentum and fresh noise each step; `options` make it misbehave."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from scalaw.program import Task

task = Task()
bad = task.options.get("bad")
if task.do == "describe":
    models = []
    for n in task.params:
        width = n if bad != "factor" else 3 * n
        models.append(
            {
                "params_total": width + 1,
                "params_non_embedding": width,
                "train_flops": 6 * width,
                "dims": {"width": width},
            }
        )
    if bad == "fewer":
        models.pop()
    if bad == "describe fails":
        sys.exit("no data here")
    data = {"name": "lines", "digest": "0123456789abcdef", "train_examples": 400, "val_examples": 40}
    task.describe(data, models)

width = task.dims["width"]
if width != task.options.get("bad_width", width):
    bad = None


def example(index, name="train"):
    drawn = random.Random(f"{name} {index}")
    x = [drawn.gauss(0, 1) for _ in range(width)]
    return x, sum(value * (k % 3 - 1) for k, value in enumerate(x)) + drawn.gauss(0, 0.1)


def predicted(x):
    return bias + sum(w * value for w, value in zip(weights, x, strict=True))


drawn = random.Random(task.seed)
weights, bias = [drawn.gauss(0, 0.1) for _ in range(width)], 0.0
momentum = [0.0] * (width + 1)
if task.start_state:
    weights, bias, momentum = json.loads((task.start_state / "state.json").read_text())
    if bad == "forgets momentum":
        momentum = [0.0] * (width + 1)


def once(name):
    """Whether this is the first process that comes here, by a file that outlives it."""
    try:
        Path(task.options["outside"], name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def save(folder):
    (folder / "state.json").write_text(json.dumps([weights, bias, momentum]))
    if bad == "draws as it saves":
        weights[0] += 1e-12
    if bad == "link":
        (folder / "link").symlink_to("/etc/hostname")


if bad == "ignores the amount":
    task.task["stream_examples"] = task.data["train_examples"]
if bad == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if bad == "writes to its parent" and task.start_state:
    (task.start_state / "more.txt").write_text("mine")
with Path(task.options["outside"], "starts").open("a") as starts:
    starts.write(f"{task.start_step}-{task.stop_step}\n")
for step in task.steps():
    noise = (drawn if bad == "forgets its generator" else random.Random(task.step_seed(step))).gauss(0, 0.01)
    rate = task.rate(0 if bad == "ignores the rate" else step)
    examples = task.examples(step)
    if bad == "draws over the amount":
        examples = [random.Random(f"{i} {task.task['stream_examples']}").randrange(400) for i in examples]
    gradient, loss = [0.0] * (width + 1), 0.0
    for index in examples:
        x, y = example(index)
        error = predicted(x) - y + noise
        loss += error * error / task.batch_size
        for k, value in enumerate([*x, 1.0]):
            gradient[k] += 2 * error * value / task.batch_size
    for k in range(width + 1):
        momentum[k] = 0.9 * momentum[k] + gradient[k]
    weights = [w - rate * m for w, m in zip(weights, momentum, strict=False)]
    bias -= rate * momentum[-1]
    time.sleep(task.options.get("step_s", 0))
    if step == 11:
        if bad == "raises" or (bad == "raises once" and once("raised")):
            raise RuntimeError("eleven")
        if bad == "killed once" and once("killed"):
            os.kill(os.getpid(), 9)
        if bad == "refuses":
            print("this task is bad", flush=True)
            sys.exit(78)
        if bad == "hangs":
            time.sleep(1000)
        if bad == "leaves once" and once("left"):
            os.kill(os.getpid(), 15)
        if bad == "nan":
            loss = float("nan")
        if bad == "metrics":
            with Path(task.task["metrics"]).open("a") as metrics:
                metrics.write("x" * 10_000 + "\n")
        if bad == "endless log":
            for _ in range(4000):
                print("no end" * 1000)
    task.step_done(step, loss, save)

scores = [(predicted(x) - y) ** 2 for x, y in (example(i, "val") for i in range(min(task.eval_examples or 0, 40)))]
val_loss = sum(scores) / len(scores) if scores else None
if bad == "null":
    val_loss = None
total = width + 1 + (bad == "counts")
task.finish(params_total=total, val_loss=val_loss, steps_done=task.stop_step)
result = Path(task.task["result"])
if bad == "large result":
    result.write_text(json.dumps({"protocol": 1, "id": task.task["id"], "padding": "x" * 2_000_000}))
if bad == "no result":
    result.unlink()
if bad == "infinity":
    result.write_text(json.dumps({**json.loads(result.read_text()), "val_loss": float("inf")}))
