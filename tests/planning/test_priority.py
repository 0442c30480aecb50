"""Which ready stage goes first: urgent paths, else what is nearest to a row."""

from __future__ import annotations

from orchestrator.planning import make_plan
from orchestrator.planning.cost import Rate, estimate_s
from orchestrator.planning.priority import ReadyQueue


def queue_of(tree, seconds):
    queue = ReadyQueue(tree.remaining_s(seconds))
    for stage in tree.children[None]:
        queue.push(stage)
    return queue


def finished_order(sweep, workers):
    tree = make_plan(sweep).tree
    seconds = {s.id: estimate_s(s, Rate(flops_per_s=1e9, step_s=1e-3, stage_s=0.1)) for s in tree}
    queue, left, order = queue_of(tree, seconds), sum(seconds.values()), []
    while (stage := queue.pop(left, workers)) is not None:
        order.append(stage)
        left -= seconds[stage.id]
        for child in tree.children.get(stage.id, ()):
            queue.push(child)
    assert len(order) == len(tree)
    assert len(queue) == 0
    return order


def test_rows_come_early_while_no_path_is_urgent(sweep):
    order = finished_order(sweep(), workers=1)
    third = order[: len(order) // 3]
    assert sum(stage.cell is not None for stage in third) >= 6


def test_the_longest_path_goes_first_where_it_is_what_the_sweep_waits_for(sweep):
    order = finished_order(sweep(), workers=64)
    assert order[0].shape.params_total == 10_000
