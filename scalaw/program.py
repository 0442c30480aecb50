"""What a trainer of your own needs to be swept by scalaw: its task, rates, data order, seeds, states and answers.

It imports nothing but Python's standard library. Use it as ``from scalaw.program import Task``, or copy this file next
to your script as ``scalaw_program.py``.

A trainer becomes a program by a loop like this one::

    task = Task()
    if task.do == "describe":
        task.describe(data={...}, models=[{...} for n in task.params])
    model, optimizer = build(task.dims), ...
    if task.start_state:
        load(task.start_state / "state.pt")
    for step in task.steps():
        rate, seed, examples = task.rate(step), task.step_seed(step), task.examples(step)
        loss = train_on(examples)
        task.step_done(step, loss, save=lambda folder: torch.save(state(), folder / "state.pt"))
    task.finish(params_total=..., val_loss=evaluate(task.eval_examples) if task.eval_examples else None)
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: Exit code by which a program says that it has saved its state after SIGTERM and is willing to go on.
SAVED = 75


class Task:
    """What scalaw asks of this process.

    Everything that the task's JSON says is in ``Task.task``; what most trainers need of it has a name of its own.

    Parameters
    ----------
    path
        The task's file; by default what the environment variable ``SCALAW_TASK`` names.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.task: dict[str, Any] = json.loads(Path(path or os.environ["SCALAW_TASK"]).read_text(encoding="utf-8"))
        if self.task["protocol"] != 1:
            sys.exit(78)
        self.do: str = self.task["do"]
        self.options: dict[str, Any] = self.task["options"]
        self.work = Path(self.task["work"])
        self.rank, self.world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.params: list[int] = self.task.get("params", [])
        self.model: dict[str, Any] = self.task.get("model", {})
        self.dims: dict[str, Any] = self.model.get("dims", {})
        self.data: dict[str, Any] = self.task.get("data", {})
        self.seed: int = self.task.get("seed", 0)
        self.batch_size: int = self.task.get("batch_size", 1)
        self.start_step: int = self.task.get("start_step", 0)
        self.stop_step: int = self.task.get("stop_step", 0)
        self.start_state = Path(self.task["start_state"]) if self.task.get("start_state") else None
        #: A weights file that takes the place of the state's (``do: score``, which trains nothing), or None.
        self.weights = Path(self.task["weights"]) if self.task.get("weights") else None
        #: Held-back examples to score, no more than there are; 0 where nothing is to be scored.
        self.eval_examples: int = min(self.task.get("eval_examples") or 0, self.data.get("val_examples", 0))
        #: What the model is asked (``do: evaluate``): ``name``, ``kind``, ``path`` and ``items`` of each task.
        self.tasks: list[dict[str, Any]] = self.task.get("tasks", [])
        self.stopping = False
        self._save_steps = set(self.task.get("save_steps", ()))
        self._saved_s = time.monotonic()
        self._metrics: Any = None
        if self.do == "train":
            signal.signal(signal.SIGTERM, self._stop)

    # What is trained

    def steps(self) -> range:
        """Return the optimizer steps that are to be done."""
        return range(self.start_step, self.stop_step)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        return float(self.task["learning_rate"]) * self.rate_factor(step)

    def rate_factor(self, step: int) -> float:
        """Return the share of the peak learning rate at a step: linear between the task's knots."""
        knots = self.task["rate_knots"]
        before = knots[0]
        for knot in knots:
            if knot[0] >= step:
                if knot[0] == step or knot is before:
                    return float(knot[1])
                share = (step - before[0]) / (knot[0] - before[0])
                return float(before[1] + (knot[1] - before[1]) * share)
            before = knot
        return float(before[1])

    def examples(self, step: int) -> list[int]:
        """Return which training examples a step takes: this rank's share of the batch, each below ``train_examples``.

        In the first epoch they depend on the seed and their position alone, so that runs over more data begin alike.
        """
        share = self.batch_size // self.world_size
        first = step * self.batch_size + self.rank * share
        return [self.example(position) for position in range(first, first + share)]

    def example(self, position: int) -> int:
        """Return the training example at a position of the data stream."""
        count, everything = self.task["stream_examples"], self.data["train_examples"]
        epoch, place = divmod(position, count)
        if epoch:
            place = _permuted(place, count, f"{self.seed}|{count}|{epoch}")
        return _permuted(place, everything, f"{self.seed}|order")

    def step_seed(self, step: int, purpose: str = "step") -> int:
        """Return a seed for all that is random in a step (dropout, augmentation), another one on each rank."""
        text = json.dumps([self.seed, purpose, step, self.rank])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    # What comes of it

    def step_done(self, step: int, train_loss: float, save: Callable[[Path], None], **more: float) -> None:
        """Tell that a step is done; save where that is due; leave with exit 75 where a stop was asked for.

        Parameters
        ----------
        train_loss
            Mean loss of the batch.
        save
            Writes the whole state (weights, optimizer, generators) into the folder that it is given.
        more
            What else the curve is to have of the step: ``val_loss``, ``learning_rate``, ``gradient_norm``.
        """
        done = step + 1
        self.log(done, train_loss, **more)
        if done in self._save_steps or self._due() or self.stopping:
            self.save(done, save)
        if self.stopping:
            sys.exit(SAVED)

    def log(self, step: int, train_loss: float, **more: float) -> None:
        """Append a line to the metrics: after so many steps, this loss."""
        if self.rank:
            return
        if self._metrics is None:
            self._metrics = Path(self.task["metrics"]).open("a", encoding="utf-8")  # noqa: SIM115 (open to the end)
        self._metrics.write(json.dumps({"step": step, "train_loss": number(train_loss), **more}) + "\n")
        self._metrics.flush()

    def save(self, step: int, save: Callable[[Path], None]) -> None:
        """Leave the state after so many steps: under another name first, as what has its final name is whole."""
        if self.rank:
            return
        final = Path(self.task["states"]) / str(step)
        before = final.with_name(f".{step}.part")
        shutil.rmtree(before, ignore_errors=True)
        before.mkdir(parents=True)
        save(before)
        if not final.exists():
            before.rename(final)
        self._saved_s = time.monotonic()

    def describe(self, data: dict[str, Any], models: list[dict[str, Any]]) -> None:
        """Answer ``do: describe`` and leave.

        Parameters
        ----------
        data
            ``name, digest, train_examples, val_examples, test_examples, tokens_per_example``.
        models
            One for each of ``params``: ``params_total, params_non_embedding, train_flops, dims``.
        """
        self._answer({"data": data, "models": models})
        sys.exit(0)

    def finish(self, *, params_total: int, val_loss: float | None = None, **more: float | None) -> None:
        """Answer ``do: train`` or ``do: score``; other numbers, such as ``test_loss``, become columns or metrics."""
        found = {"step": self.stop_step, "params_total": params_total, "val_loss": number(val_loss)}
        self._answer({**found, **{name: number(value) for name, value in more.items()}})

    def questions(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the questions of one of ``tasks``."""
        return [json.loads(line) for line in Path(asked["path"]).read_text(encoding="utf-8").splitlines()]

    def evaluated(self, scores: dict[str, dict[str, float]]) -> None:
        """Answer ``do: evaluate`` and leave: by the name of each task ``accuracy``, ``bits_per_byte`` and the like."""
        self._answer({"scores": scores})
        sys.exit(0)

    def _answer(self, document: dict[str, Any]) -> None:
        if self.rank:
            return
        final = Path(self.task["result"])
        before = final.with_name(f".{final.name}.part")
        before.write_text(json.dumps({"protocol": 1, "id": self.task["id"], **document}, allow_nan=False))
        before.rename(final)

    def _due(self) -> bool:
        return time.monotonic() - self._saved_s >= float(self.task["checkpoint_interval_s"])

    def _stop(self, *_: object) -> None:
        self.stopping = True


def digest_of(*files: str | os.PathLike[str]) -> str:
    """Return the SHA-256 (hex) of some files' bytes, by which two data sets are told apart."""
    digest = hashlib.sha256()
    for file in files:
        with Path(file).open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def number(value: float | None) -> float | None:
    """Return a number as JSON can hold it: a loss that is none, as after a divergence, is null."""
    return float(value) if value is not None and math.isfinite(value) else None


def permutation(count: int, key: str) -> Iterator[int]:
    """Return 0 … count - 1 in an order that depends on count and key alone."""
    return (_permuted(place, count, key) for place in range(count))


def _permuted(place: int, count: int, key: str) -> int:
    """Return where a place goes in a keyed permutation of ``count`` places, without a table of them.

    Four rounds of a Feistel network over a rectangle of about ``count`` fields; who lands outside walks on.
    """
    width = math.isqrt(count - 1) + 1 if count > 1 else 1
    height = -(-count // width)
    salt = key.encode()
    while True:
        left, right = divmod(place, width)
        for turn in range(2):
            left = (left + _mixed(salt, 2 * turn, right)) % height
            right = (right + _mixed(salt, 2 * turn + 1, left)) % width
        place = left * width + right
        if place < count:
            return place


def _mixed(salt: bytes, turn: int, value: int) -> int:
    text = b"%s|%d|%d" % (salt, turn, value)
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
