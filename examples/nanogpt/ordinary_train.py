"""A trainer as many have one: a GPT on token shards, AdamW, dropout."""

import math
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from model import GPT, dims_for

context, batch_size, max_steps, warmup, peak_rate = 64, 16, 1000, 50, 3e-3
shards = Path(__file__).parent / "data"
train = np.memmap(shards / "train.bin", dtype="<u2", mode="r")
val = np.memmap(shards / "val.bin", dtype="<u2", mode="r")


def windows(tokens, indices):
    rows = np.stack([tokens[i * context : (i + 1) * context + 1] for i in indices]).astype(np.int64)
    rows = torch.from_numpy(rows)
    return rows[:, :-1], rows[:, 1:]


def rate(step):
    if step < warmup:
        return peak_rate * (step + 1) / warmup
    return peak_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (max_steps - warmup)))


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


torch.manual_seed(0)
model = GPT(**dims_for(25_000, context), dropout=0.1)
optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
for step in range(max_steps):
    for group in optimizer.param_groups:
        group["lr"] = rate(step)
    indices = np.random.randint(0, len(train) // context - 1, batch_size)
    loss = model(*windows(train, indices))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 100 == 0:
        print(step, loss.item())
print("validation loss", evaluate(1024))
save(Path())
