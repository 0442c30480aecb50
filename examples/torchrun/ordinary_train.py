"""A trainer for `torchrun --nproc-per-node 2`: an MLP on made-up data, DDP on gloo or NCCL."""

import os

import torch
import torch.distributed as dist
from model import mlp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

peak_rate, batch_size, max_steps, examples = 1e-2, 32, 400, 4096
dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
rank, ranks = dist.get_rank(), dist.get_world_size()
device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
torch.use_deterministic_algorithms(True)

drawn = torch.Generator().manual_seed(1)
x = torch.randn(examples + 512, 16, generator=drawn)
y = torch.sin(2 * x[:, :1]) * x[:, 1:2] + 0.1 * torch.randn(examples + 512, 1, generator=drawn)


torch.manual_seed(0)
model = mlp(32).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=peak_rate, momentum=0.9)
parallel = DistributedDataParallel(model)
for step in range(max_steps):
    indices = torch.randperm(examples)[:batch_size].tensor_split(ranks)[rank]
    loss = nn.functional.mse_loss(parallel(x[indices].to(device)), y[indices].to(device))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0 and rank == 0:
        print(step, loss.item())
with torch.no_grad():
    val_loss = nn.functional.mse_loss(model(x[examples:].to(device)), y[examples:].to(device)).item()
if rank == 0:
    print("validation loss", val_loss)
dist.destroy_process_group()
