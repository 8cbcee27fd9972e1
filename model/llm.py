"""Qwen2 (arXiv 2407.10671): a causal language model with grouped queries and rotary positions.

Parameters are named as in the published checkpoints, and there is a test that it computes what
transformers' Qwen2 does. It is our own because importing that one takes longer than drawing an
image with harmon-mini. Shapes use B batch, T new tokens, S visible keys, H width and d width of a
head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harmon_eval.model.config import LLMConfig
from harmon_eval.model.fast.rows import by_rows

STD = 0.02  # of fresh weights, as in the release of Qwen2

# Takes a layer's number and its new keys and values (B, heads, T, d); gives all visible ones.
Added = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
Rotation = tuple[Tensor, Tensor]


def counted_positions(attention_mask: Tensor) -> Tensor:
    """Position ids (B, T) that count only real tokens and skip padding."""
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)


def added_mask(seen: Tensor, like: Tensor) -> Tensor:
    """What is added to the scores: 0 where a key is seen and -inf elsewhere."""
    return torch.zeros_like(seen, dtype=like.dtype).masked_fill(~seen, -torch.inf)


def causal_mask(attention_mask: Tensor, like: Tensor) -> Tensor:
    """(B, 1, T, T), to be added to the scores, for a mask (B, T) of real tokens."""
    count = attention_mask.shape[1]
    causal = torch.ones(count, count, dtype=torch.bool, device=attention_mask.device).tril()
    return added_mask(causal & attention_mask.bool()[:, None, None], like)


def alone(layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Only the new keys and values are visible."""
    return keys, values


class RMSNorm(nn.Module):
    """Root mean square normalisation (arXiv 1910.07467), computed in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


class MLP(nn.Module):
    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        width, hidden = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)
        self.act_fn = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


class Attention(nn.Module):
    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        width, self.head_width = config.hidden_size, config.head_width
        inner, shared = (
            heads * self.head_width
            for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, shared)
        self.v_proj = nn.Linear(width, shared)
        self.o_proj = nn.Linear(inner, width, bias=False)

    def forward(
        self, x: Tensor, rotation: Rotation, mask: Tensor | None, added: Added, number: int
    ) -> Tensor:
        queries, keys, values = (
            project(x).unflatten(2, (-1, self.head_width)).transpose(1, 2)  # (B, heads, T, d)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        queries, keys = rotated(queries, *rotation), rotated(keys, *rotation)
        out = grouped_attention(queries, *added(number, keys, values), mask)
        return self.o_proj(out.transpose(1, 2).flatten(2))


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) on halves. The first half of ``sin`` must already
    be negated."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)


def grouped_attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Grouped-query attention (Ainslie et al. 2023), (B, G * heads, T, d).

    G consecutive heads of the queries (B, G * heads, T, d) share one head of the keys and values
    (B, heads, S, d). Shared keys and values are not copied for each query head."""
    heads, count = keys.shape[1], queries.shape[2]
    group, causal = queries.shape[1] // heads, mask is None and count > 1
    if group == 1:
        return F.scaled_dot_product_attention(queries, keys, values, mask, is_causal=causal)
    if count == 1:  # then the queries of a group can be treated as a sequence
        grouped = queries.reshape(len(queries), heads, group, -1)
        return F.scaled_dot_product_attention(grouped, keys, values, mask).reshape_as(queries)
    parts = []
    for head, of_head in enumerate(queries.split(group, dim=1)):
        k, v = (part[:, head : head + 1].expand(-1, group, -1, -1) for part in (keys, values))
        parts.append(F.scaled_dot_product_attention(of_head, k, v, mask, is_causal=causal))
    return torch.cat(parts, dim=1)


class Layer(nn.Module):
    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self, x: Tensor, rotation: Rotation, mask: Tensor | None, added: Added, number: int
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation, mask, added, number)
        return x + by_rows(self.mlp, self.post_attention_layernorm(x))


class Qwen2Model(nn.Module):
    """Embeddings to hidden states."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False  # recompute layers in the backward pass to save memory
        # Given weights, because drawing them on ``meta`` would import all of torch's compiler.
        count, width = config.vocab_size, config.hidden_size
        self.embed_tokens = nn.Embedding(count, width, _weight=torch.empty(count, width))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        position_ids: Tensor | None = None,
        mask: Tensor | None = None,
        added: Added = alone,
    ) -> Tensor:
        """Hidden states (B, T, H) of embeddings x (B, T, H) at positions (B or 1, T), by default
        from 0.

        ``mask`` (B or 1, 1, T, S) is added to the scores. Without a mask, a single token sees
        everything, and several tokens attend causally to each other."""
        if position_ids is None:
            position_ids = torch.arange(x.shape[1], device=x.device)[None]
        rotation = self.rotation(position_ids, x.dtype)
        for number, layer in enumerate(self.layers):
            given = (x, rotation, mask, added, number)
            again = self.checkpointing and self.training
            x = checkpoint(layer, *given, use_reentrant=False) if again else layer(*given)
        return self.norm(x)

    def rotation(self, position_ids: Tensor, dtype: torch.dtype) -> Rotation:
        """Cosines and sines (B, 1, T, d) of positions (B, T), computed in float32; the first half
        of the sines is negated."""
        width = self.config.head_width
        steps = torch.arange(0, width, 2, dtype=torch.int64, device=position_ids.device).float()
        rates = 1.0 / self.config.rope_theta ** (steps / width)
        angles = (position_ids[:, None, :, None].float() * rates).repeat(1, 1, 1, 2)
        cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
        return cos, torch.cat([-sin[..., : width // 2], sin[..., width // 2 :]], dim=-1)


class Qwen2(nn.Module):
    """Qwen2 with its head. Where ``tie_word_embeddings``, the head's weight is that of the
    embeddings."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Qwen2Model(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()

    def tie(self) -> None:
        """Share one weight between embeddings and head, where the configuration says so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def get_input_embeddings(self) -> nn.Embedding:
        return self.model.embed_tokens

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, T, vocabulary) of embeddings (B, T, H), causally and from position 0."""
        return self.lm_head(self.model(x))


def initialize(llm: Qwen2) -> None:
    """Fresh weights as in Qwen2: normal with std 0.02, zero biases, ones for norms."""
    for module in llm.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=STD)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def add_tokens(llm: Qwen2, count: int) -> None:
    """Append rows for ``count`` new tokens: the mean of the old rows, and a hundredth of their
    spread so that no two are alike (Hewitt 2021)."""
    for module in (llm.model.embed_tokens, llm.lm_head):
        old = module.weight.detach()
        new = old.mean(dim=0) + 0.01 * old.std(dim=0) * torch.randn(count, old.shape[1])
        module.weight = nn.Parameter(torch.cat([old, new.to(old)]))
    llm.tie()
    llm.model.embed_tokens.num_embeddings = llm.lm_head.out_features = len(llm.lm_head.weight)
    llm.config = llm.model.config = replace(llm.config, vocab_size=len(llm.lm_head.weight))
