"""A model file → a module that runs, in any process that has scalaw."""

from __future__ import annotations

from pathlib import Path

import torch

from orchestrator.errors import BadInput
from orchestrator.planning.family import ModelShape
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.registries import COMPRESSORS, FAMILIES
from workers.compressors.session import TrainedCompressor
from workers.families.trained import TorchFamily
from workers.serving.model_file import Model, from_bytes
from workers.training.state import load_arrays


def load_model(path: str | Path) -> torch.nn.Module:
    """Return the model in a file that ``scalaw export`` wrote, in evaluation mode on the CPU.

    Raises
    ------
    BadInput
        If the file isn't there, is damaged, or needs a family that isn't installed.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}") from error
    return module_of(from_bytes(data))


def module_of(model: Model) -> torch.nn.Module:
    """Return the module that a file tells of."""
    about = model.about
    shape = ModelShape(
        family=about["family"],
        dims=tuple(sorted(about["dims"].items())),
        params_total=0,
        params_non_embedding=0,
        forward_flops=0,
        train_flops=0,
    )
    data = about["data"]
    manifest = DataManifest(
        task=data["task"],
        digest="",
        train_examples=0,
        val_examples=0,
        test_examples=0,
        tokens_per_example=data["tokens_per_example"],
        input_shape=tuple(data["input_shape"]),
        classes=data["classes"],
        document_end=data.get("document_end"),
    )
    family: TorchFamily = FAMILIES.load_training(about["family"])()
    module = family.build(shape, about["options"], manifest)
    for fact in about["facts"]:
        compressor: TrainedCompressor = COMPRESSORS.load_training(fact["method"])()
        module = compressor.restructure(module, fact)
    load_arrays(model.arrays, module)
    return module.eval()
