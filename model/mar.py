"""MAR: the masked autoregressive encoder and decoder (Li et al. 2024, arXiv 2406.11838).

Harmon uses the encoder for understanding, generation and representation. Parameters are named as in
the published checkpoints. Shapes use B batch, L image tokens, K buffer tokens and D width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harmon_eval.model.config import MARConfig

Grid = tuple[int, int]


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)  # (B, heads, n, d)
        return F.dropout(self.proj(out.transpose(1, 2).reshape(b, n, d)), dropout, self.training)


class MLP(nn.Module):
    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        h = F.dropout(F.gelu(self.fc1(x)), self.dropout, self.training)
        return F.dropout(self.fc2(h), self.dropout, self.training)


class Block(nn.Module):
    """Pre-norm vision transformer block with bidirectional attention."""

    def __init__(self, config: MARConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = Attention(config.width, config.heads, config.dropout)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = MLP(config.width, int(config.width * config.mlp_ratio), config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


@dataclass(frozen=True)
class Positions:
    """The three position tables for one grid: (1, K + L, D), (1, K + L, D) and (1, L, D)."""

    encoder: Tensor
    decoder: Tensor
    diffusion: Tensor


class MAR(nn.Module):
    def __init__(self, config: MARConfig, channels: int) -> None:
        super().__init__()
        d, native = config.width, config.grid**2
        self.config = config
        self.checkpointing = False  # recompute blocks in the backward pass to save memory
        self.z_proj = nn.Linear(channels, d)
        self.z_proj_ln = nn.LayerNorm(d, eps=1e-6)
        self.fake_latent = nn.Parameter(torch.zeros(1, d))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, d))
        self.encoder_pos_embed_learned = nn.Parameter(torch.zeros(1, config.buffers + native, d))
        self.decoder_pos_embed_learned = nn.Parameter(torch.zeros(1, config.buffers + native, d))
        self.diffusion_pos_embed_learned = nn.Parameter(torch.zeros(1, native, d))
        if config.classes:
            self.class_emb = nn.Embedding(config.classes, d, _weight=torch.empty(config.classes, d))
        self.encoder_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.encoder_norm = nn.LayerNorm(d, eps=1e-6)
        self.decoder_embed = nn.Linear(d, d)
        self.decoder_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.decoder_norm = nn.LayerNorm(d, eps=1e-6)

    def positions(self, grid: Grid) -> Positions:
        """The position tables for a grid: image rows are resized bilinearly, buffer rows stay."""
        return Positions(
            self._resized(self.encoder_pos_embed_learned, grid),
            self._resized(self.decoder_pos_embed_learned, grid),
            self._resized(self.diffusion_pos_embed_learned, grid),
        )

    def regrid(self, side: int) -> None:
        """Make ``side`` x ``side`` the native grid, with its own position tables to learn."""
        tables = self.positions((side, side))
        self.config = replace(self.config, grid=side)
        self.encoder_pos_embed_learned = nn.Parameter(tables.encoder.detach().clone())
        self.decoder_pos_embed_learned = nn.Parameter(tables.decoder.detach().clone())
        self.diffusion_pos_embed_learned = nn.Parameter(tables.diffusion.detach().clone())

    def _resized(self, table: Tensor, grid: Grid) -> Tensor:
        side = self.config.grid
        if grid == (side, side):
            return table
        buffers, image = table.split([table.shape[1] - side * side, side * side], dim=1)
        image = image.transpose(1, 2).unflatten(2, (side, side))
        image = F.interpolate(image, size=grid, mode="bilinear", align_corners=False)
        return torch.cat([buffers, image.flatten(2).transpose(1, 2)], dim=1)

    def encode(
        self, tokens: Tensor, visible: Tensor, positions: Positions, layer: int = -1
    ) -> Tensor:
        """Encode the ``visible`` (B, V) tokens of (B, L, C) to features (B, K + V, D).

        ``visible`` holds positions in raster order. The other tokens are hidden: they are removed.
        The buffers come first and are never removed. ``layer`` -1 gives the normalised output,
        k >= 0 the output of block k without normalisation. Raises ValueError for an unknown block.
        """
        if not -1 <= layer < len(self.encoder_blocks):
            raise ValueError(f"layer must be in -1..{len(self.encoder_blocks) - 1}, not {layer}")
        buffers = self.fake_latent.expand(len(tokens), self.config.buffers, -1)
        x = torch.cat([buffers, self.z_proj(tokens)], dim=1)
        x = self.z_proj_ln(x + positions.encoder)
        x = x.gather(1, self._rows(visible, x.shape[-1]))
        if layer >= 0:
            return self.run(self.encoder_blocks[: layer + 1], x)
        return self.encoder_norm(self.run(self.encoder_blocks, x))

    def decode(
        self, x: Tensor, visible: Tensor, positions: Positions, condition: Tensor | None = None
    ) -> Tensor:
        """Encoder features (B, K + V, D) -> the condition z (B, L, D) of every token.

        Hidden places get the mask token, or the embedding of ``condition`` (B, K + L, D)."""
        filler = None if condition is None else self.decoder_embed(condition)
        x = self.unhide(x, visible, positions, filler)
        x = self.decoder_norm(self.run(self.decoder_blocks, x))
        return x[:, self.config.buffers :] + positions.diffusion

    def unhide(
        self, x: Tensor, visible: Tensor, positions: Positions, filler: Tensor | None
    ) -> Tensor:
        """The input of the decoder's blocks (B, K + L, D): features in the visible places, in the
        hidden places those of ``filler`` (B, K + L, D) or the mask token, plus positions."""
        x = self.decoder_embed(x)
        filler = self.mask_token if filler is None else filler
        full = filler.to(x.dtype).expand(len(x), positions.decoder.shape[1], -1)
        return full.scatter(1, self._rows(visible, x.shape[-1]), x) + positions.decoder

    def run(self, blocks: Iterable[nn.Module], x: Tensor) -> Tensor:
        """Run the blocks one after the other on x (B, N, D)."""
        for block in blocks:
            again = self.checkpointing and self.training
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return x

    def _rows(self, visible: Tensor, width: int) -> Tensor:
        """Indices of buffers and visible tokens in a full sequence, for gather: (B, K + V, D)."""
        k = self.config.buffers
        buffers = torch.arange(k, device=visible.device).expand(len(visible), k)
        rows = torch.cat([buffers, visible + k], dim=1)
        return rows[:, :, None].expand(-1, -1, width)


def initialize(mar: MAR) -> None:
    """Fresh weights as in the MAR release: Xavier for linear layers, ones for norms, std 0.02 for
    tables."""
    for module in mar.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for parameter in (
        mar.fake_latent,
        mar.mask_token,
        mar.encoder_pos_embed_learned,
        mar.decoder_pos_embed_learned,
        mar.diffusion_pos_embed_learned,
    ):
        nn.init.normal_(parameter, std=0.02)
    if mar.config.classes:
        nn.init.normal_(mar.class_emb.weight, std=0.02)


def initialize_positions(mar: MAR, encoder: float, decoder: float, diffusion: float) -> None:
    """Initialise the image rows of the position tables as 2-D sines and cosines of the given std.

    They remain learned parameters. With this start, a small model can address tokens by position
    from the first step, instead of growing its tables from std 0.02."""
    table = sincos_positions(mar.config.grid, mar.config.width)
    table = table / table.std()
    for parameter, std in (
        (mar.encoder_pos_embed_learned, encoder),
        (mar.decoder_pos_embed_learned, decoder),
        (mar.diffusion_pos_embed_learned, diffusion),
    ):
        with torch.no_grad():
            parameter[0, -len(table) :] = std * table
            buffers = parameter[0, : parameter.shape[1] - len(table)]
            buffers.normal_(std=std)


def sincos_positions(side: int, width: int) -> Tensor:
    """2-D sine-cosine table (side * side, width): the first half of the width is for rows."""
    quarter = width // 4
    # A small grid needs short wavelengths: they span from 2 cells to 4 sides.
    periods = torch.logspace(math.log10(2.0), math.log10(4.0 * side), quarter)
    angles = 2 * math.pi * torch.arange(side)[:, None] / periods  # (side, W/4)
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, W/2)
    rows = axis[:, None].expand(side, side, -1)
    columns = axis[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)
