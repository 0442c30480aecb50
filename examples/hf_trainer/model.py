"""A GPT-2 of Hugging Face's, from a configuration, and the windows that it reads."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is fetched: the model is made from its configuration

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from scalaw.program import digest_of

logging.set_verbosity_error()
CONTEXT = 64
SHARDS = {name: Path(__file__).parent / "data" / f"{name}.bin" for name in ("train", "val")}


class Windows(torch.utils.data.Dataset):
    """Windows of a token shard, as `Trainer` takes them."""

    def __init__(self, name):
        self.tokens = np.memmap(SHARDS[name], dtype="<u2", mode="r")

    def __len__(self):
        return len(self.tokens) // CONTEXT - 1

    def __getitem__(self, index):
        window = torch.from_numpy(self.tokens[index * CONTEXT : (index + 1) * CONTEXT].astype(np.int64))
        return {"input_ids": window, "labels": window}


def gpt2(width, depth):
    config = GPT2Config(vocab_size=256, n_positions=CONTEXT, n_embd=width, n_layer=depth, n_head=max(1, width // 32))
    return GPT2LMHeadModel(config)


def dims_for(params):
    """Return the dimensions of the model with about so many parameters beside the embeddings."""
    sizes = [(12 * depth * width**2, width, depth) for width in range(16, 1025, 16) for depth in (2, 4, 6, 8, 12)]
    sizes = [size for size in sizes if 16 <= size[1] / size[2] * 2 <= 160]
    _, width, depth = min(sizes, key=lambda size: abs(size[0] - params))
    return {"width": width, "depth": depth}


def described_data():
    """Return what scalaw asks of the data."""
    count = {f"{name}_examples": len(Windows(name)) for name in SHARDS}
    return {"name": "stdlib-bytes", "digest": digest_of(*SHARDS.values()), "tokens_per_example": CONTEXT, **count}


def described(params):
    """Return what scalaw asks of a size: all parameters, those beside the embeddings, FLOPs of training on a window."""
    dims = dims_for(params)
    with torch.device("meta"):
        model = gpt2(**dims)
    total = model.num_parameters()
    tokens, positions = model.transformer.wte.weight.numel(), model.transformer.wpe.weight.numel()
    flops = CONTEXT * (6 * (total - positions) + 12 * dims["depth"] * dims["width"] * CONTEXT)
    count = {"params_total": total, "params_non_embedding": total - tokens - positions}
    return {**count, "train_flops": flops, "dims": dims}
