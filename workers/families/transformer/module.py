"""A decoder-only transformer over bytes or other tokens.

Shapes in names: B batch, T positions, C width, H heads, K width of a head, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """Attention and MLP, each behind a LayerNorm and added to the residual stream."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width, bias=False)
        self.mlp_out = nn.Linear(4 * width, width, bias=False)

    def forward(self, x_BTC: torch.Tensor, seen_B1TT: torch.Tensor | None = None) -> torch.Tensor:
        """Return the residual stream after this block, (B, T, C).

        Parameters
        ----------
        seen_B1TT
            Which positions (last axis) each position attends to; ``None``: itself and all before it.
        """
        qkv_BT3HK = self.qkv(self.attention_norm(x_BTC)).unflatten(-1, (3, self.heads, -1))
        q_BHTK, k_BHTK, v_BHTK = qkv_BT3HK.permute(2, 0, 3, 1, 4).unbind(0)
        if seen_B1TT is None:
            mixed_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True)
        else:
            mixed_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, attn_mask=seen_B1TT)
        x_BTC = x_BTC + self._drop(self.attention_out(mixed_BHTK.transpose(1, 2).flatten(2)))
        return x_BTC + self._drop(self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x_BTC)))))

    def _drop(self, x_BTC: torch.Tensor) -> torch.Tensor:
        return F.dropout(x_BTC, self.dropout, self.training) if self.dropout else x_BTC


class ByteTransformer(nn.Module):
    """Tokens in, logits of the next token out.

    Weights start from torch's defaults: embeddings with standard deviation 1, matrices uniform with 1/√(3 fan_in),
    which keeps activations alike at every width.

    Parameters
    ----------
    vocabulary, context
        Number of tokens and longest input.
    width, depth, heads
        Size of the residual stream, number of blocks, attention heads (a divisor of the width).
    dropout
        Probability on embeddings and residual branches, drawn from torch's global generator.
    document_end
        Token after which attention begins anew, so that documents in one window don't see each other.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        context: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float = 0.0,
        document_end: int | None = None,
    ) -> None:
        super().__init__()
        self.dropout, self.document_end = dropout, document_end
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        """Return logits (B, T, V) for int64 tokens (B, T), T at most the context."""
        positions_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        x_BTC = self.token_embedding(tokens_BT) + self.position_embedding(positions_T)
        if self.dropout:
            x_BTC = F.dropout(x_BTC, self.dropout, self.training)
        seen_B1TT = None if self.document_end is None else _same_document(tokens_BT, self.document_end)
        for block in self.blocks:
            x_BTC = block(x_BTC, seen_B1TT)
        logits_BTV: torch.Tensor = self.head(self.final_norm(x_BTC))
        return logits_BTV


def _same_document(tokens_BT: torch.Tensor, document_end: int) -> torch.Tensor:
    """Return which positions are no later and of the same document, (B, 1, T, T); an end is part of what it ends."""
    ends_BT = (tokens_BT == document_end).long()
    document_BT = ends_BT.cumsum(-1) - ends_BT
    positions_T = torch.arange(tokens_BT.shape[-1], device=tokens_BT.device)
    earlier_TT = positions_T[:, None] >= positions_T
    return ((document_BT[..., :, None] == document_BT[..., None, :]) & earlier_TT)[:, None]
