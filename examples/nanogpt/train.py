"""A trainer as many have one: a GPT on token shards, AdamW, dropout."""

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from model import GPT, described, dims_for

from scalaw.program import Task, digest_of

task, context = Task(), 64
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


def save(folder):
    safetensors.torch.save_file(model.state_dict(), folder / "model.safetensors")
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")


if task.do == "describe":
    data = {"name": "stdlib-bytes", "digest": digest_of(shards / "train.bin", shards / "val.bin")}
    data |= {"tokens_per_example": context, "train_examples": len(train) // context - 1}
    data |= {"val_examples": len(val) // context - 1}
    task.describe(data, [described(dims_for(params, context)) for params in task.params])

torch.manual_seed(task.seed)
model = GPT(**task.dims, dropout=task.options["dropout"])
optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
if task.start_state:
    model.load_state_dict(safetensors.torch.load_file(task.weights or task.start_state / "model.safetensors"))
    optimizer.load_state_dict(torch.load(task.start_state / "optimizer.pt", weights_only=True))
for step in task.steps():
    for group in optimizer.param_groups:
        group["lr"] = task.rate(step)
    torch.manual_seed(task.step_seed(step))
    indices = task.examples(step)
    loss = model(*windows(train, indices))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    task.step_done(step, loss.item(), save)
val_loss = evaluate(task.eval_examples) if task.eval_examples else None
task.finish(params_total=sum(p.numel() for p in model.parameters()), val_loss=val_loss)
