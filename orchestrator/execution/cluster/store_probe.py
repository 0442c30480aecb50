"""Whether every node of a cluster sees the store that the driver writes to: a folder of one machine looks the same."""

from __future__ import annotations

from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.errors import ScalawError, Unreachable
from orchestrator.store import Store, open_store

#: Seconds that the nodes have to answer together; a node without a free process starts one first.
ANSWER_S: Final = 60.0


@ray.remote(num_cpus=0, max_retries=0)
def _sees(uri: str, key: str) -> str:
    """Return why this node does not see a blob, or nothing."""
    try:
        there = open_store(uri, create=True).sees_mark(key)
    except ScalawError as refusal:
        return str(refusal)
    return "" if there else "does not see what the driver wrote there"


def check_nodes_see(store: Store) -> None:
    """Let every node with CPUs read what the driver writes.

    Raises
    ------
    Unreachable
        If one of them can't.
    """
    key = store.leave_mark()
    try:
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        asked = {
            _sees.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)).remote(
                store.uri, key
            ): node["NodeManagerAddress"]
            for node in nodes
        }
        ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S) if asked else ([], [])
        found = {asked[one]: _answer(one) for one in ready}
        wrong = {**{node: why for node, why in found.items() if why}, **{asked[one]: "does not answer" for one in late}}
    finally:
        store.take_mark(key)
    if wrong:
        node, why = next(iter(wrong.items()))
        raise Unreachable(
            f"{len(wrong)} of {len(asked)} nodes can't use the store {store.uri}: {node} {why}; name a bucket "
            "(s3://…), or a folder that all nodes have mounted"
        )


def _answer(reference: Any) -> str:
    try:
        return str(ray.get(reference))
    except RayError as failure:
        return f"could not be asked: {str(failure).strip().splitlines()[-1]}"
