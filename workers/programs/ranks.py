"""What each rank of a gang is told of the others, as under torchrun."""

from __future__ import annotations


def rank_environment(rank: int, world_size: int, port: int) -> dict[str, str]:
    """Return the variables by which ranks find together; those of one cell are on one node."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
