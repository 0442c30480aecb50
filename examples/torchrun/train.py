"""A trainer for `torchrun --nproc-per-node 2`: an MLP on made-up data, DDP on gloo or NCCL."""

import os

import torch
import torch.distributed as dist
from model import described, mlp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from scalaw.program import Task

task, examples = Task(), 4096
torch.use_deterministic_algorithms(True)

drawn = torch.Generator().manual_seed(1)
x = torch.randn(examples + 512, 16, generator=drawn)
y = torch.sin(2 * x[:, :1]) * x[:, 1:2] + 0.1 * torch.randn(examples + 512, 1, generator=drawn)


if task.do == "describe":
    data = {"name": "made-up", "digest": "randn-16-4096", "train_examples": examples, "val_examples": 512}
    task.describe(data, [described(params) for params in task.params])
dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
rank, ranks = dist.get_rank(), dist.get_world_size()
device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
torch.manual_seed(task.seed)
model = mlp(task.dims["width"]).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=task.rate(0), momentum=0.9)
parts = {"model": model, "optimizer": optimizer}
if task.start_state:
    for name, state in torch.load(task.start_state / "state.pt", weights_only=True).items():
        parts[name].load_state_dict(state)
parallel = DistributedDataParallel(model)
for step in task.steps():
    optimizer.param_groups[0]["lr"] = task.rate(step)
    indices = task.examples(step)
    loss = nn.functional.mse_loss(parallel(x[indices].to(device)), y[indices].to(device))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    dist.all_reduce(loss.detach())
    state = {name: part.state_dict() for name, part in parts.items()}
    task.step_done(step, loss.item() / ranks, save=lambda to, state=state: torch.save(state, to / "state.pt"))
with torch.no_grad():
    val_loss = nn.functional.mse_loss(model(x[examples:].to(device)), y[examples:].to(device)).item()
dist.destroy_process_group()
task.finish(params_total=sum(p.numel() for p in model.parameters()), val_loss=val_loss)
