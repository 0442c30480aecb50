"""A trainer as many have one: a GPT on token shards, AdamW, dropout; its task comes from scalaw."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from model import GPT, counted, dims_for

from scalaw.program import Task

task = Task()
context = 64
shards = Path(__file__).parent / "data"
train = np.memmap(shards / "train.bin", dtype="<u2", mode="r")
val = np.memmap(shards / "val.bin", dtype="<u2", mode="r")


def windows(tokens, indices):
    rows = np.stack([tokens[i * context : (i + 1) * context + 1] for i in indices]).astype(np.int64)
    rows = torch.from_numpy(rows)
    return rows[:, :-1], rows[:, 1:]


@torch.no_grad()
def evaluate(count):
    model.eval()
    losses = [
        model(*windows(val, range(i, min(i + 64, count)))).item() * (min(i + 64, count) - i)
        for i in range(0, count, 64)
    ]
    model.train()
    return sum(losses) / count


if task.do == "describe":
    sizes = [(dims, *counted(dims)) for dims in (dims_for(n, context) for n in task.params)]
    names = ("dims", "params_total", "params_non_embedding", "train_flops")
    digest = hashlib.sha256(train.tobytes() + val.tobytes()).hexdigest()
    counts = {"train_examples": len(train) // context - 1, "val_examples": len(val) // context - 1}
    task.describe(
        {"name": "stdlib-bytes", "digest": digest, "tokens_per_example": context, **counts},
        [dict(zip(names, size, strict=True)) for size in sizes],
    )

torch.manual_seed(task.seed)
model = GPT(**task.dims, dropout=task.options.get("dropout", 0.1))
optimizer = torch.optim.AdamW(model.parameters(), lr=task.rate(0), betas=(0.9, 0.95), weight_decay=0.1)
if task.start_state:
    for part, state in zip(
        (model, optimizer), torch.load(task.start_state / "state.pt", weights_only=True), strict=True
    ):
        part.load_state_dict(state)
for step in task.steps():
    for group in optimizer.param_groups:
        group["lr"] = task.rate(step)
    torch.manual_seed(task.step_seed(step))
    loss = model(*windows(train, task.examples(step)))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    task.step_done(
        step, loss.item(), save=lambda to: torch.save((model.state_dict(), optimizer.state_dict()), to / "state.pt")
    )
count = min(task.eval_examples or 0, task.data["val_examples"])
total = sum(weight.numel() for weight in model.parameters())
task.finish(params_total=total, val_loss=evaluate(count) if count else None)
