"""What every registered model family guarantees."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from orchestrator.errors import BadInput
from orchestrator.planning.family import ModelShape
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.registries import FAMILIES
from workers.families.conformance import broken_promises

COMMON = {"digest": "0" * 64, "train_examples": 64, "val_examples": 8, "test_examples": 8}
MANIFESTS = {
    "text": DataManifest(**COMMON, task="text", tokens_per_example=64, input_shape=(64,), classes=256),
    "tokens": DataManifest(
        **COMMON, task="tokens", tokens_per_example=64, input_shape=(64,), classes=1_000, document_end=3
    ),
    "digits": DataManifest(**COMMON, task="digits", tokens_per_example=None, input_shape=(1, 8, 8), classes=10),
    "photos": DataManifest(**COMMON, task="imagefolder", tokens_per_example=None, input_shape=(3, 37, 50), classes=7),
    "simulated": DataManifest(**COMMON, task="simulated", tokens_per_example=None, input_shape=(), classes=0),
}
#: family, its options, its data
CASES = [
    ("transformer", {}, "text"),
    ("transformer", {"head_dim": 8, "dropout": 0.1}, "text"),
    ("transformer", {}, "tokens"),
    ("resnet", {}, "digits"),
    ("resnet", {"block": "bottleneck"}, "photos"),
    ("resnet", {"stem": "imagenet"}, "photos"),
    ("simulated", {}, "simulated"),
]
TRAINED = [case for case in CASES if case[0] != "simulated"]
SIZES = (6_300, 40_000, 300_000)


def shape_of(case: tuple[str, dict[str, object], str], params: int) -> ModelShape:
    family, options, data = case
    shape: ModelShape = FAMILIES.load(family)().shape_for(params, options, MANIFESTS[data])
    return shape


def built(case: tuple[str, dict[str, object], str], params: int) -> tuple[ModelShape, torch.nn.Module]:
    family, options, data = case
    shape = shape_of(case, params)
    torch.manual_seed(0)
    return shape, FAMILIES.load_training(family)().build(shape, options, MANIFESTS[data])


def random_batch(data: DataManifest, examples: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    if data.tokens_per_example:
        window = torch.randint(data.classes, (examples, data.tokens_per_example + 1), generator=rng)
        return window[:, :-1], window[:, 1:]
    return torch.randn(examples, *data.input_shape, generator=rng), torch.randint(
        data.classes, (examples,), generator=rng
    )


def test_every_registered_family_is_tried() -> None:
    assert {case[0] for case in CASES} | {"program"} >= set(FAMILIES.builtin), (
        "tests/programs tries what programs promise"
    )


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_every_trained_family_keeps_its_promises(case: tuple[str, dict[str, object], str]) -> None:
    family, options, data = case
    assert broken_promises(FAMILIES.load_training(family)(), options, MANIFESTS[data]) == []


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equal_requests_give_equal_shapes(case: tuple[str, dict[str, object], str]) -> None:
    for params in SIZES:
        shape = shape_of(case, params)
        assert shape == shape_of(case, params)
        assert shape.family == case[0]
        assert list(shape.dims) == sorted(shape.dims)
        ratio = shape.params_non_embedding / params
        assert 0.8 < ratio < 1.25 if params >= 40_000 else 0.5 < ratio < 2
        assert shape.train_flops > 2 * shape.forward_flops > 0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_larger_request_never_gives_a_smaller_model(case: tuple[str, dict[str, object], str]) -> None:
    asked = np.unique(np.geomspace(6_000, 1e9, 80).astype(int))
    counted = [shape_of(case, int(params)).params_non_embedding for params in asked]
    assert counted == sorted(counted)


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_closed_form_counts_are_those_of_the_built_module(case: tuple[str, dict[str, object], str]) -> None:
    for params in SIZES:
        shape, module = built(case, params)
        sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
        assert shape.params_total == sum(sizes.values())
        assert shape.params_non_embedding == sum(
            size for name, size in sizes.items() if "embedding" not in name and name != "head.weight"
        )


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_untrained_models_start_near_the_loss_of_a_guess(case: tuple[str, dict[str, object], str]) -> None:
    data = MANIFESTS[case[2]]
    for params in SIZES:
        _, module = built(case, params)
        x, y = random_batch(data, 8)
        logits = module(x)
        assert logits.shape == (*y.shape, data.classes)
        assert F.cross_entropy(logits.flatten(0, -2), y.flatten()).item() < 1.6 * np.log(data.classes)


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_parameter_groups_cover_every_parameter_once(case: tuple[str, dict[str, object], str]) -> None:
    shape, module = built(case, SIZES[1])
    groups = FAMILIES.load_training(case[0])().parameter_groups(module, shape)
    grouped = [id(parameter) for _, _, parameters in groups for parameter in parameters]
    assert sorted(grouped) == sorted(id(parameter) for parameter in module.parameters())
    assert all(multiplier > 0 for multiplier, _, _ in groups)
    decayed = [parameter for _, decays, parameters in groups if decays for parameter in parameters]
    assert decayed
    assert all(parameter.ndim >= 2 for parameter in decayed)


@pytest.mark.parametrize(
    ("family", "data", "says"),
    [
        ("transformer", "digits", "has none"),
        ("transformer", "simulated", "has none"),
        ("resnet", "text", "has none"),
        ("resnet", "simulated", "has none"),
        ("simulated", "text", "use data source simulated"),
    ],
)
def test_data_that_does_not_fit_is_refused(family: str, data: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        FAMILIES.load(family)().shape_for(25_000, {}, MANIFESTS[data])


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_sizes_beyond_a_factor_of_two_are_refused(case: tuple[str, dict[str, object], str]) -> None:
    with pytest.raises(BadInput, match="smallest"):
        shape_of(case, 1)
    with pytest.raises(BadInput, match="largest"):
        shape_of(case, 10**18)


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from orchestrator.spec.registries import FAMILIES\n"
        "[FAMILIES.load(name)() for name in FAMILIES.builtin]\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'ray'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_weights_that_may_be_compressed_are_those_of_the_module(case: tuple[str, dict[str, object], str]) -> None:
    shape, module = built(case, 40_000)
    weights = FAMILIES.load(case[0])().weights(shape)
    there = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    assert {name: there[name] for name, _ in weights} == dict(weights)
    assert [name for name in there if name in dict(weights)] == sorted(dict(weights), key=list(there).index)
    left = {name for name, size in there.items() if len(size) > 1} - dict(weights).keys()
    assert all("embedding" in name or name == "conv1.weight" for name in left)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_model_on_other_data_differs_in_its_outputs_alone(case: tuple[str, dict[str, object], str]) -> None:
    family = FAMILIES.load(case[0])()
    shape = shape_of(case, 40_000)
    assert family.shape_on(shape, case[1], MANIFESTS[case[2]]) == shape
    if case[0] != "resnet":
        return
    other = replace(MANIFESTS[case[2]], classes=3)
    again = family.shape_on(shape, case[1], other)
    features = family.weights(shape)[-1][1][1]
    assert again.params_total - shape.params_total == (3 - MANIFESTS[case[2]].classes) * (features + 1)
    assert again.head_flops == 2 * 3 * features


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_data_that_a_model_can_not_read_is_refused(case: tuple[str, dict[str, object], str]) -> None:
    wrong = MANIFESTS["digits" if case[2] == "text" else "text"]
    with pytest.raises(BadInput, match=r"grid\.finetune\.data"):
        FAMILIES.load(case[0])().shape_on(shape_of(case, 40_000), case[1], wrong)
