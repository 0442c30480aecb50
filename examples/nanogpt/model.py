"""A small GPT, as in nanoGPT: learned positions, pre-norm blocks, tied head."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c)
        x = x + self.dropout(self.proj(y))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))


class GPT(nn.Module):
    def __init__(self, width, depth, heads, context, vocabulary=256, dropout=0.0):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=0.02 / (2 * depth) ** 0.5 if "proj" in name or "down" in name else 0.02)

    def forward(self, x, targets):
        h = self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device))
        h = self.dropout(h)
        for block in self.blocks:
            h = block(h)
        logits = self.norm(h) @ self.tokens.weight.T
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def dims_for(params, context):
    """Return the dimensions of the model with about so many parameters beside the embeddings."""
    sizes = [(12 * depth * width**2, width, depth) for width in range(16, 1025, 16) for depth in (2, 4, 6, 8, 12)]
    sizes = [size for size in sizes if 16 <= size[1] / size[2] * 2 <= 160]
    _, width, depth = min(sizes, key=lambda size: abs(size[0] - params))
    return {"width": width, "depth": depth, "heads": max(1, width // 32), "context": context}


def described(dims):
    """Return what scalaw asks of a size: all parameters, those beside the embeddings, FLOPs of a window, matrices."""
    with torch.device("meta"):
        model = GPT(**dims)
    total = sum(weight.numel() for weight in model.parameters())
    head, positions = model.tokens.weight.numel(), model.positions.weight.numel()
    context, width, depth = dims["context"], dims["width"], dims["depth"]
    flops = context * (6 * (total - positions) + 12 * depth * width * context)
    count = {"params_total": total, "params_non_embedding": total - head - positions}
    weights = {f"blocks.{name}": list(w.shape) for name, w in model.blocks.named_parameters() if w.dim() > 1}
    return {**count, "train_flops": flops, "dims": dims, "weights": weights}
