"""Qwen2's passes with a cache, for inference: read a prompt once, append tokens, reply greedily.

Training uses transformers. These passes compute the same (there are tests) with less work per call:
the cache is not copied for every token, the mask is not rebuilt for every layer, and keys shared
between queries are not copied. Shapes use B batch, T length, H width, S visible keys and d width
of an attention head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2ForCausalLM

from harmon_eval.model.fast.rows import by_rows

ROOM = 64  # how many tokens a cache grows by


class KeysAndValues:
    """Keys and values of every layer (layers, 2, B, heads, T, d); the first ``length`` tokens are
    filled.

    New ones are written in place. Everything is copied only when there is no room left."""

    def __init__(self, held: Tensor, length: int | None = None) -> None:
        self.held = held
        self.length = held.shape[-2] if length is None else length

    @classmethod
    def empty(cls, llm: Qwen2ForCausalLM, rows: int, room: int) -> KeysAndValues:
        config, weight = llm.config, llm.model.embed_tokens.weight
        width = config.hidden_size // config.num_attention_heads
        sizes = (config.num_hidden_layers, 2, rows, config.num_key_value_heads, room, width)
        return cls(weight.new_empty(sizes), 0)

    def add(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values (B, heads, T, d) of one layer, and return all of that layer.

        The next pass starts after them once ``length`` has been increased."""
        end = self.length + keys.shape[2]
        held = self.held[layer]
        held[0, :, :, self.length : end] = keys
        held[1, :, :, self.length : end] = values
        return held[0, :, :, :end], held[1, :, :, :end]

    def grow(self) -> None:
        self.held = F.pad(self.held, (0, 0, 0, ROOM))

    def rows(self, index: Tensor | slice) -> KeysAndValues:
        """The same for some rows."""
        return KeysAndValues(self.held[:, :, index], self.length)


Added = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]


def hidden_states(
    llm: Qwen2ForCausalLM, x: Tensor, position_ids: Tensor, mask: Tensor | None, added: Added
) -> Tensor:
    """Hidden states (B, T, H) of embeddings x (B, T, H) at positions (B or 1, T).

    ``added`` takes a layer's number and its new keys and values, and returns all visible ones.
    ``mask`` (B or 1, 1, T, S) is added to the scores. Without a mask, a single token sees
    everything, and several tokens attend causally to each other."""
    cos, sin = (table[:, None] for table in llm.model.rotary_emb(x, position_ids))
    half = sin.shape[-1] // 2
    rotation = cos, torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
    for number, layer in enumerate(llm.model.layers):
        x = x + _attention(
            layer.self_attn,
            layer.input_layernorm(x),
            rotation,
            mask,
            partial(added, number),
        )
        x = x + by_rows(layer.mlp, layer.post_attention_layernorm(x))
    return llm.model.norm(x)


def _attention(
    module: Any,
    x: Tensor,
    rotation: tuple[Tensor, Tensor],
    mask: Tensor | None,
    added: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
) -> Tensor:
    width = rotation[0].shape[-1]
    queries, keys, values = (
        project(x).unflatten(2, (-1, width)).transpose(1, 2)  # (B, heads, T, d)
        for project in (module.q_proj, module.k_proj, module.v_proj)
    )
    queries, keys = _rotated(queries, *rotation), _rotated(keys, *rotation)
    out = grouped_attention(queries, *added(keys, values), mask)
    return module.o_proj(out.transpose(1, 2).flatten(2))


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
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


def prefill(llm: Qwen2ForCausalLM, input_ids: Tensor) -> KeysAndValues:
    """Keys and values of right-padded prompts (B, T). Equal prompts are computed only once.

    No mask is needed here: a token never attends to the padding after it, and later passes get the
    mask."""
    distinct, rows = torch.unique(input_ids, dim=0, return_inverse=True)
    held = KeysAndValues.empty(llm, *distinct.shape)
    places = torch.arange(distinct.shape[1], device=input_ids.device)[None]
    hidden_states(llm, llm.model.embed_tokens(distinct), places, None, held.add)
    return KeysAndValues(held.held[:, :, rows])


def prefill_shared(
    llm: Qwen2ForCausalLM, embeddings: Tensor, beginnings: Sequence[int], shared: int
) -> KeysAndValues:
    """Keys and values of right-padded prompts as embeddings (B, T, H). Rows with the same number in
    ``beginnings`` start with the same ``shared`` embeddings, which are read only once."""
    held = KeysAndValues.empty(llm, *embeddings.shape[:2])
    fill(llm, held, embeddings, beginnings, shared)
    return held


def go_on(
    llm: Qwen2ForCausalLM, embeddings: Tensor, attention_mask: Tensor, prompt: KeysAndValues
) -> Tensor:
    """Hidden states (B, N, H) of embeddings (B, N, H) that follow a right-padded prompt with mask
    (B, T). The prompt's keys and values are not changed."""
    count, device = embeddings.shape[1], embeddings.device
    after = attention_mask.sum(dim=1, keepdim=True)
    causal = torch.ones(count, count, dtype=torch.bool, device=device).tril()
    before = attention_mask.bool()[:, None, None].expand(-1, 1, count, -1)
    seen = torch.cat([before, causal.expand(len(before), 1, -1, -1)], dim=-1)

    def behind_prompt(layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        held = prompt.held[layer]
        return torch.cat([held[0], keys], dim=2), torch.cat([held[1], values], dim=2)

    places = after + torch.arange(count, device=device)
    return hidden_states(llm, embeddings, places, _added_mask(seen, embeddings), behind_prompt)


def _added_mask(seen: Tensor, like: Tensor) -> Tensor:
    """0 where a key is visible and -inf elsewhere; computed once for all layers."""
    return torch.zeros_like(seen, dtype=like.dtype).masked_fill(~seen, -torch.inf)


def fill(
    llm: Qwen2ForCausalLM,
    held: KeysAndValues,
    embeddings: Tensor,
    beginnings: Sequence[int],
    shared: int,
) -> Tensor:
    """Fill an empty cache with embeddings (B, T, H). The first ``shared`` of them are the same in
    rows with the same number in ``beginnings``. Returns the hidden states (B, T - shared, H) of
    the rest."""
    length, device = embeddings.shape[1], embeddings.device
    places, mask = torch.arange(length, device=device)[None], None
    if shared:
        numbers = {number: i for i, number in enumerate(dict.fromkeys(beginnings))}
        rows = [beginnings.index(number) for number in numbers]
        begun = KeysAndValues.empty(llm, len(rows), shared)
        hidden_states(llm, embeddings[rows, :shared], places[:, :shared], None, begun.add)
        held.held[..., :shared, :] = begun.held[:, :, [numbers[number] for number in beginnings]]
        held.length = shared
        seen = torch.ones(length - shared, length, dtype=torch.bool, device=device).tril(shared)
        mask = _added_mask(seen[None, None], embeddings)
    states = hidden_states(llm, embeddings[:, shared:], places[:, shared:], mask, held.add)
    held.length = length
    return states


@torch.inference_mode()
def greedy(
    llm: Qwen2ForCausalLM,
    embeddings: Tensor,
    attention_mask: Tensor,
    max_new_tokens: int | Sequence[int],
    stop_ids: frozenset[int],
    beginnings: Sequence[int] = (),
    shared: int = 0,
    repetition_penalty: float = 1.0,
) -> list[list[int]]:
    """Greedy continuations of right-padded embeddings (B, T, H), without the stop token.

    Each row stops on its own, at a stop token or at its ``max_new_tokens``. Stopped rows are
    removed from the batch once half of it has stopped. Rows of different lengths share one cache:
    new tokens are stored after the padding, which the mask hides, but their positions follow the
    row's last token. Rows with the same number in ``beginnings`` start with the same ``shared``
    embeddings, which are computed only once. ``repetition_penalty`` (Keskar et al. 2019,
    arXiv 1909.05858) makes tokens that a reply holds already less likely; the prompt's do not
    count, as in transformers where it comes as embeddings."""
    count, length = embeddings.shape[:2]
    budgets = [max_new_tokens] * count if isinstance(max_new_tokens, int) else [*max_new_tokens]
    held = KeysAndValues.empty(llm, count, length + min(ROOM, max(budgets, default=0)))
    states = fill(llm, held, embeddings, beginnings, shared)
    position = attention_mask.long().sum(dim=1) - 1
    hidden = states[torch.arange(count, device=position.device), position - shared]
    mask = _added_mask(attention_mask.bool(), embeddings)[:, None, None]
    replies: list[list[int]] = [[] for _ in range(count)]
    rows = list(range(count))  # which question each row of the batch belongs to
    running = {row for row in rows if budgets[row] > 0}
    while running:
        token = _penalised(llm.lm_head(hidden), rows, replies, repetition_penalty).argmax(dim=-1)
        for row, value in zip(rows, token.tolist(), strict=True):
            if row in running and value in stop_ids:
                running.remove(row)
            elif row in running:
                replies[row].append(value)
                if len(replies[row]) == budgets[row]:
                    running.remove(row)
        if not running:
            break
        going = [i for i, row in enumerate(rows) if row in running]
        if 2 * len(going) <= len(rows):
            rows, index = [rows[i] for i in going], torch.tensor(going, device=token.device)
            held = held.rows(index)
            token, mask, position = token[index], mask[index], position[index]
        if held.length == held.held.shape[-2]:
            held.grow()
        mask, position = F.pad(mask, (0, 1)), position + 1
        x = llm.model.embed_tokens(token[:, None])
        hidden = hidden_states(llm, x, position[:, None], mask, held.add)[:, 0]
        held.length += 1
    return replies


def _penalised(
    logits: Tensor, rows: Sequence[int], replies: Sequence[Sequence[int]], penalty: float
) -> Tensor:
    """Logits (B, V) with those of each row's reply so far divided by ``penalty`` where positive and
    multiplied by it where negative. ``rows`` are the numbers of the replies."""
    if penalty == 1.0 or not any(replies[row] for row in rows):
        return logits
    logits = logits.clone()
    for scores, row in zip(logits, rows, strict=True):
        said = torch.tensor(sorted({*replies[row]}), dtype=torch.long, device=logits.device)
        found = scores[said]
        scores[said] = torch.where(found > 0, found / penalty, found * penalty)
    return logits
