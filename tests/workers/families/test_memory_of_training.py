"""The closed form of a batch's memory against what autograd keeps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from orchestrator.planning import make_plan
from orchestrator.planning.memory import state_bytes, training_bytes
from orchestrator.spec import parse_sweep
from orchestrator.spec.registries import FAMILIES

TEXT = "python-stdlib", "{family: transformer, context: 64}"
IMAGES = "digits", "{family: resnet}"
EXAMPLES = 8


def planned(source, model, size, *overrides):
    return make_plan(
        parse_sweep(
            f"name: a\ndata: {{source: {source}, max_examples: 64, eval_examples: 16}}\nmodel: {model}\n"
            f"grid: {{params: [{size}]}}\ntrain: {{batch_size: {EXAMPLES}}}\n",
            overrides=list(overrides),
        )
    )


def kept_bytes(module, x, y):
    """Return what the graph holds for the backward pass, beside weights, buffers and the batch itself."""
    known = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers(), x, y)}
    kept = {}

    def noticed(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(noticed, lambda tensor: tensor):
        loss = F.cross_entropy(module(x).flatten(0, -2), y.flatten())
    assert loss.requires_grad
    return sum(size for place, size in kept.items() if place not in known)


@pytest.mark.parametrize("size", ["20k", "300k"])
@pytest.mark.parametrize("what", [TEXT, IMAGES], ids=["transformer", "resnet"])
def test_a_batch_takes_what_the_closed_form_says(what, size):
    plan = planned(*what, size)
    shape, data = plan.cells[0].shape, plan.context.manifest
    family = FAMILIES.load_training(plan.context.family)()
    module = family.build(shape, plan.context.model_options, data)
    if data.tokens_per_example:
        window = torch.randint(data.classes, (EXAMPLES, data.tokens_per_example + 1))
        x, y = window[:, :-1], window[:, 1:]
        logits = data.tokens_per_example * data.classes
        passing = logits * 3 * 4  # logits, and the gradients of them and of log-probabilities, which no graph keeps
    else:
        x, y = torch.randn(EXAMPLES, *data.input_shape), torch.randint(data.classes, (EXAMPLES,))
        passing = 0
    told = family.activation_bytes(shape, data, half=False)
    assert told - passing == pytest.approx(kept_bytes(module, x, y) / EXAMPLES, rel=0.1)


def test_the_estimate_grows_with_the_batch_and_counts_each_precision():
    small, large = planned(*TEXT, "300k"), planned(*TEXT, "300k", "train.batch_size=64")
    family = FAMILIES.load("transformer")()
    (trunk,) = [stage for stage in small.tree if stage.kind == "trunk"][:1] or [next(iter(small.tree))]
    of_one = family.activation_bytes(trunk.shape, small.context.manifest, half=False)
    assert training_bytes(trunk, family, small.context) == state_bytes(trunk) + EXAMPLES * of_one
    assert large.memory_bytes - small.memory_bytes == (64 - EXAMPLES) * of_one
    in_half = planned(*TEXT, "300k", "train.precision=bf16", "train.batch_size=64")
    assert 0.5 * large.memory_bytes < in_half.memory_bytes < 0.8 * large.memory_bytes


def test_a_worker_with_too_little_memory_is_warned_of_before_anything_is_started():
    cramped = planned(*TEXT, "300k", "resources.memory_bytes_per_worker=1M")
    (said,) = [warning for warning in cramped.warnings if "memory_bytes_per_worker" in warning]
    assert "training the largest model takes about 14.3 MB of a worker and 1.0 MB are reserved" in said
    roomy = planned(*TEXT, "300k", "resources.memory_bytes_per_worker=1G")
    assert not [warning for warning in roomy.warnings if "memory" in warning]
