"""MAR: the masked autoregressive encoder and decoder (Li et al. 2024, arXiv 2406.11838).

Harmon uses the encoder for understanding, generation and representation alike. Parameter names are
those of the published checkpoints. B batch, L image tokens, K buffer tokens, D width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    """Pre-norm vision transformer block, attending in both directions."""

    def __init__(self, config: MARConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = Attention(config.width, config.heads, config.dropout)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = MLP(config.width, int(config.width * config.mlp_ratio), config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class MAR(nn.Module):
    def __init__(self, config: MARConfig, channels: int) -> None:
        super().__init__()
        d, native = config.width, config.grid**2
        self.config = config
        self.z_proj = nn.Linear(channels, d)
        self.z_proj_ln = nn.LayerNorm(d, eps=1e-6)
        self.fake_latent = nn.Parameter(torch.zeros(1, d))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, d))
        self.encoder_pos_embed_learned = nn.Parameter(torch.zeros(1, config.buffers + native, d))
        self.decoder_pos_embed_learned = nn.Parameter(torch.zeros(1, config.buffers + native, d))
        self.diffusion_pos_embed_learned = nn.Parameter(torch.zeros(1, native, d))
        if config.classes:
            self.class_emb = nn.Embedding(config.classes, d)
        self.encoder_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.encoder_norm = nn.LayerNorm(d, eps=1e-6)
        self.decoder_embed = nn.Linear(d, d)
        self.decoder_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.decoder_norm = nn.LayerNorm(d, eps=1e-6)

    def positions(self, table: Tensor, grid: Grid) -> Tensor:
        """The position table (1, rows, D) for a grid: image rows resized bilinearly, buffers kept."""
        side = self.config.grid
        if grid == (side, side):
            return table
        buffers, image = table.split([table.shape[1] - side * side, side * side], dim=1)
        image = image.transpose(1, 2).unflatten(2, (side, side))
        image = F.interpolate(image, size=grid, mode="bilinear", align_corners=False)
        return torch.cat([buffers, image.flatten(2).transpose(1, 2)], dim=1)

    def encode(self, tokens: Tensor, visible: Tensor, grid: Grid, layer: int = -1) -> Tensor:
        """Tokens (B, L, C), of which ``visible`` (B, V) are read, to features (B, K + V, D).

        ``visible`` holds places in raster order; the other tokens are hidden, that is removed.
        Buffers stand in front and are always there. ``layer`` -1 gives the normed output, k >= 0
        the output of block k, not normed.
        """
        buffers = self.fake_latent.expand(len(tokens), self.config.buffers, -1)
        x = torch.cat([buffers, self.z_proj(tokens)], dim=1)
        x = self.z_proj_ln(x + self.positions(self.encoder_pos_embed_learned, grid))
        x = x.gather(1, self._rows(visible, x.shape[-1]))
        for i, block in enumerate(self.encoder_blocks):
            x = block(x)
            if i == layer:
                return x
        return self.encoder_norm(x)

    def decode(
        self, x: Tensor, visible: Tensor, grid: Grid, condition: Tensor | None = None
    ) -> Tensor:
        """Encoder-side features (B, K + V, D) to the condition z (B, L, D) of every token.

        Hidden places hold the mask token, or the embedding of ``condition`` (B, K + L, D)."""
        x = self.decoder_embed(x)
        filler = self.mask_token if condition is None else self.decoder_embed(condition)
        size = self.config.buffers + grid[0] * grid[1]
        full = filler.to(x.dtype).expand(len(x), size, -1)
        x = full.scatter(1, self._rows(visible, x.shape[-1]), x)
        x = x + self.positions(self.decoder_pos_embed_learned, grid)
        for block in self.decoder_blocks:
            x = block(x)
        x = self.decoder_norm(x)[:, self.config.buffers :]
        return x + self.positions(self.diffusion_pos_embed_learned, grid)

    def _rows(self, visible: Tensor, width: int) -> Tensor:
        """Rows of buffers and visible tokens in a full sequence, expanded for gather: (B, K + V, D)."""
        k = self.config.buffers
        buffers = torch.arange(k, device=visible.device).expand(len(visible), k)
        rows = torch.cat([buffers, visible + k], dim=1)
        return rows[:, :, None].expand(-1, -1, width)


def visible_places(mask: Tensor) -> Tensor:
    """Mask (B, L), True = hidden, equally many a row, to the visible places (B, V) in raster order.

    Raises ValueError when rows hide different numbers of tokens."""
    counts = (~mask).sum(dim=1)
    if not bool((counts == counts[0]).all()):
        raise ValueError("all samples of a batch must hide equally many tokens")
    return (~mask).nonzero()[:, 1].view(len(mask), -1)


def initialize(mar: MAR) -> None:
    """Fresh weights as in the MAR release: Xavier linears, unit norms, tables of std 0.02."""
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
    """Start the image rows of the position tables as 2-D sines and cosines of the given std.

    They stay learned parameters. A small model addresses tokens by place from the first step on
    instead of growing its tables from std 0.02."""
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
