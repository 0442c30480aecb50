"""A trainer without torch that keeps plain weights: a small classifier with momentum; `options` make it misbehave."""

import os
import random
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from scalaw.program import Task

INPUTS, CLASSES = 8, 4
task = Task()
bad = task.options.get("bad")
with Path(task.options["outside"], "starts").open("a") as starts:
    starts.write(f"{task.do} {task.start_step}-{task.stop_step}\n")
if task.do == "describe":
    models = []
    for n in task.params:
        width = max(1, n // (INPUTS + CLASSES))
        counted = width * (INPUTS + CLASSES)
        described = {"up.weight": [width, INPUTS], "down": [CLASSES, width]}
        if bad == "nests":
            described["down.more.weight"] = [1, 1]
        model = {"params_total": counted + width, "params_non_embedding": counted, "train_flops": 6 * counted}
        models.append({**model, "dims": {"width": width}} | ({} if bad == "describes none" else {"weights": described}))
    data = {"name": "clouds", "digest": "0123456789abcdef", "train_examples": 400, "val_examples": 80}
    task.describe(data, models)

width = task.dims["width"]
truth = np.random.default_rng(5).normal(size=(CLASSES, INPUTS))


def example(index, name="train"):
    drawn = np.random.default_rng([index, len(name)])
    x = drawn.normal(size=INPUTS)
    return x, int(np.argmax(truth @ x + drawn.normal(size=CLASSES) * 0.5))


def forward(x):
    hidden = np.tanh(x @ weights["up.weight"].T + weights["bias"])
    logits = hidden @ weights["down"].T
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return hidden, odds / odds.sum(1, keepdims=True)


drawn = np.random.default_rng(task.seed)
weights = {
    "up.weight": (drawn.normal(size=(width, INPUTS)) / 3).astype(np.float32),
    "bias": np.zeros(width, np.float32),
    "down": (drawn.normal(size=(CLASSES, width)) / 3).astype(np.float32),
}
momentum = {name: np.zeros_like(value) for name, value in weights.items()}
if task.start_state:
    weights = load_file(task.start_state / "model.safetensors")
    momentum = load_file(task.start_state / "momentum.safetensors")
if task.weights and bad != "ignores the weights":
    weights = load_file(task.weights)
    if bad == "takes a part of the weights":
        weights["down"] = load_file(task.start_state / "model.safetensors")["down"]
if task.weights and bad == "writes to the weights":
    task.weights.chmod(0o644)
    task.weights.write_bytes(task.weights.read_bytes() + b" ")


def save(folder):
    kept = dict(weights)
    if bad == "lacks a weight":
        del kept["bias"]
    if bad == "other shape":
        kept["up.weight"] = np.ascontiguousarray(kept["up.weight"].T)
    if bad == "other name":
        kept["up"] = kept.pop("up.weight")
    if bad == "half":
        kept = {name: value.astype(np.float16) for name, value in kept.items()}
    if bad == "no file":
        return save_file(momentum, folder / "momentum.safetensors")
    if bad == "no safetensors":
        (folder / "model.safetensors").write_text("weights")
    else:
        save_file(kept, folder / "model.safetensors", {"format": "mine"})
    return save_file(momentum, folder / "momentum.safetensors")


for step in task.steps():
    noise = random.Random(task.step_seed(step)).gauss(0, 0.01)
    pairs = [example(index) for index in task.examples(step)]
    x, y = np.array([pair[0] for pair in pairs]) + noise, np.array([pair[1] for pair in pairs])
    hidden, odds = forward(x)
    loss = float(-np.log(odds[np.arange(len(y)), y]).mean())
    error = (odds - np.eye(CLASSES)[y]) / len(y)
    back = error @ weights["down"] * (1 - hidden**2)
    gradients = {"up.weight": back.T @ x, "bias": back.sum(0), "down": error.T @ hidden}
    for name, gradient in gradients.items():
        momentum[name] = (0.9 * momentum[name] + gradient).astype(np.float32)
        weights[name] = (weights[name] - task.rate(step) * momentum[name]).astype(np.float32)
    task.step_done(step, loss, save)
    if bad == "killed once" and step == 20 and not Path(task.options["outside"], "killed").exists():
        Path(task.options["outside"], "killed").touch()
        os.kill(os.getpid(), 9)

if task.do == "evaluate":
    # as bytes are no inputs here, the likeliest choice is made up of the weights
    answers = {}
    for asked in task.tasks:
        chosen = [int(abs(weights["down"]).sum() * 1e3) % len(each["choices"]) for each in task.questions(asked)]
        right = [choice == each["answer"] for choice, each in zip(chosen, task.questions(asked), strict=True)]
        answers[asked["name"]] = {"accuracy": sum(right) / len(right), "norm": float(abs(weights["down"]).sum())}
        if bad == "no score":
            answers[asked["name"]]["accuracy"] = None
    task.evaluated({} if bad == "no scores" else answers)

scores = {}
if task.eval_examples:
    pairs = [example(index, "val") for index in range(task.eval_examples)]
    _, odds = forward(np.array([pair[0] for pair in pairs]))
    y = np.array([pair[1] for pair in pairs])
    scores["val_loss"] = float(-np.log(odds[np.arange(len(y)), y]).mean())
    scores["accuracy"] = float((odds.argmax(1) == y).mean())
    if task.do == "score" and bad == "scores otherwise":
        scores["val_loss"] += 0.01
task.finish(params_total=width * (INPUTS + CLASSES + 1), **scores)
