"""``resources:`` — what a sweep may take of the cluster, and what that costs."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from orchestrator.spec.bounds import (
    AutoOrBytes,
    AutoOrWorkers,
    Bytes,
    Cores,
    Gpus,
    Price,
    Ranks,
    Retries,
    Seconds,
    Workers,
)
from orchestrator.spec.options import Options

#: What may name a label of a node, and its value or a kind of accelerator.
LABEL: Final = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,126}$"
WORD: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


class Resources(Options):
    """Workers and their devices; nothing here changes a result except ``world_size``."""

    workers: AutoOrWorkers = Field(default="auto", description="Ray actors; auto: as many as the cluster holds.")
    gpus_per_worker: Gpus = Field(default=0.0, description="GPUs of a worker; a share such as 0.5 is possible.")
    cpus_per_worker: Cores = Field(default=1, description="CPU cores (and threads) of a worker.")
    cpu_workers: Workers = Field(
        default=0,
        description="Workers without a GPU that evaluate and compress while the others train; 0: those do both.",
    )
    memory_bytes_per_worker: Bytes | None = Field(
        default=None, description="Memory that Ray reserves for a worker, so that a node isn't given more of them."
    )
    accelerator: Annotated[str, Field(pattern=WORD)] | None = Field(
        default=None, description="Kind of GPU that nodes must have, as Ray names it: H100, A100-80G."
    )
    labels: dict[Annotated[str, Field(pattern=LABEL)], Annotated[str, Field(pattern=WORD)]] = Field(
        default={}, description="Labels that nodes must have, such as {pool: training}."
    )
    world_size: Ranks = Field(
        default=1, description="Ranks that train one cell together: workers // world_size gangs, at least one."
    )
    price_per_gpu_hour: Price = Field(default=0.0, description="Price of a GPU hour, in your currency.")
    max_retries: Retries = Field(default=1, description="Further attempts at a stage that failed.")
    stage_timeout_s: Seconds | None = Field(default=None, description="Longest a stage may take, in seconds.")
    checkpoint_interval_s: Seconds = Field(
        default=600.0, description="Training seconds that the loss of a worker or of the driver may cost."
    )
    state_memory_bytes: AutoOrBytes = Field(
        default="auto",
        description="Memory of states between stages; what is above goes to checkpoints; auto: half the object store.",
    )
    state_copies: Literal[0, 1] = Field(
        default=0,
        description="1: states that took longer than checkpoint_interval_s to make are also written to a checkpoint.",
    )
    cluster_patience_s: Seconds = Field(
        default=600.0, description="Longest that a run waits for lost nodes while nothing gets done."
    )
    store_patience_s: Seconds = Field(
        default=300.0, description="Longest that a write is tried again where the store does not answer or is full."
    )
