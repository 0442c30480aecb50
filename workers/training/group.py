"""The torch process group of a gang: how its ranks meet, and what they agree on."""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from workers.ports import free_port
from workers.rank import Rank

#: A rank that hangs is given up after this long; torch's own default is half an hour.
TIMEOUT = timedelta(seconds=120)


def open_meeting(host: str, world_size: int) -> TCPStore:
    """Return a key-value store on a free port, on which one generation of a gang finds together.

    Parameters
    ----------
    host
        Address of this machine under which the other ranks reach it.
    world_size
        Ranks to come.
    """
    return TCPStore(host, 0, world_size, is_master=True, timeout=TIMEOUT, wait_for_workers=False)


def join(rank: Rank, host: str, port: int, meeting: TCPStore | None, *, on_gpu: bool) -> None:
    """Enter the process group; return once all ranks are there.

    Parameters
    ----------
    host, port
        Where rank 0 opened the meeting.
    meeting
        The meeting itself, on rank 0.
    on_gpu
        Whether gradients travel by NCCL; else by gloo.

    Raises
    ------
    RuntimeError
        If a rank doesn't come in time.
    """
    store = meeting or TCPStore(host, port, rank.world_size, is_master=False, timeout=TIMEOUT)
    backend = "nccl" if on_gpu else "gloo"
    # NCCL guesses the device from the rank unless told: Ray shows a rank its own GPU alone, as the first one.
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else None
    dist.init_process_group(
        backend, store=store, rank=rank.index, world_size=rank.world_size, timeout=TIMEOUT, device_id=device
    )
    dist.barrier(device_ids=None if device is None else [device.index])


def agreed_port(rank: Rank, *, on_gpu: bool) -> int:
    """Return a port that is free on this node, the same on every rank of a gang; every rank must ask."""
    port = free_port() if rank.leads else 0
    told = torch.tensor(port, device="cuda" if on_gpu else "cpu")
    dist.broadcast(told, src=0)
    return int(told.item())


def all_agree(rank: Rank, yes: bool, device: torch.device) -> bool:
    """Return whether every rank says yes; every rank of the gang must ask."""
    if rank.world_size == 1:
        return yes
    votes = torch.tensor(int(yes), device=device)
    dist.all_reduce(votes, dist.ReduceOp.MIN)
    return bool(votes.item())
