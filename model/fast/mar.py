"""The MAR decoder, computed only at the places to generate.

The last block's other outputs are never used, so it skips their queries and MLP. Shapes use B
batch, N tokens, P generated places, V visible tokens, K buffers and D width.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch.nn.functional as F
from torch import Tensor

from harmon_eval.model.fast.rows import by_rows
from harmon_eval.model.mar import MAR, Attention, Block, Positions


def decode_at(
    mar: MAR,
    x: Tensor,
    visible: Tensor,
    positions: Positions,
    places: Tensor,
    filler: Tensor | None = None,
) -> Tensor:
    """``mar.decode`` of features (B, K + V, D), only at ``places`` (B, P): z (B, P, D).

    ``filler`` (B, K + L, D) is the embedding of an edit's condition."""
    x = mar.unhide(x, visible, positions, filler)  # (B, K + L, D)
    x = mar.run(mar.decoder_blocks[:-1], x)
    rows = places[:, :, None].expand(-1, -1, x.shape[-1])  # (B, P, D)
    last = cast(Block, mar.decoder_blocks[-1])
    x = mar.decoder_norm(block_at(last, x, rows + mar.config.buffers))
    return x + positions.diffusion.expand(len(x), -1, -1).gather(1, rows)


def block_at(block: Block, x: Tensor, rows: Tensor) -> Tensor:
    """A block's output at ``rows`` (B, P, D indices) of (B, N, D): (B, P, D)."""
    x = x.gather(1, rows) + attention_at(block.attn, block.norm1(x), rows)
    return x + block.mlp(block.norm2(x))


def attention_at(attention: Attention, x: Tensor, rows: Tensor) -> Tensor:
    """Attention's output at ``rows`` (B, P, D indices) of (B, N, D), without dropout: (B, P, D)."""
    d, heads = x.shape[-1], attention.heads
    (to_q, to_kv), (add_q, add_kv) = (
        part.split([d, 2 * d]) for part in (attention.qkv.weight, attention.qkv.bias)
    )
    kv = by_rows(partial(F.linear, weight=to_kv, bias=add_kv), x)  # (B, N, 2D)
    k, v = kv.unflatten(2, (2, heads, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, N, D / heads)
    q = by_rows(partial(F.linear, weight=to_q, bias=add_q), x.gather(1, rows))  # (B, P, D)
    q = q.unflatten(2, (heads, -1)).transpose(1, 2)
    out = F.scaled_dot_product_attention(q, k, v)  # (B, heads, P, D / heads)
    return attention.proj(out.transpose(1, 2).flatten(2))
