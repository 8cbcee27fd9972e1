"""Qwen2 as Harmon uses it: sizes, counted positions, greedy decoding with a KV cache.

B batch, T length, H width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.cache_utils import DynamicCache, DynamicLayer

from harmon_eval.model.config import LLMConfig
from harmon_eval.model.rows import whole_rows


def qwen2_config(sizes: LLMConfig) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=sizes.vocab_size,
        hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size,
        num_hidden_layers=sizes.num_hidden_layers,
        num_attention_heads=sizes.num_attention_heads,
        num_key_value_heads=sizes.num_key_value_heads,
        max_position_embeddings=sizes.max_position_embeddings,
        rms_norm_eps=sizes.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
        tie_word_embeddings=sizes.tie_word_embeddings,
    )


def counted_positions(attention_mask: Tensor) -> Tensor:
    """Position ids (B, T) that count only real tokens, so that padding takes no place."""
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)


def prefill(llm: Qwen2ForCausalLM, input_ids: Tensor) -> DynamicCache:
    """Keys and values of right-padded prompts (B, T); equal prompts are computed once.

    No mask is needed: a token never attends to the padding after it, and whatever continues is
    given the mask."""
    distinct, rows = torch.unique(input_ids, dim=0, return_inverse=True)
    cache = DynamicCache(config=llm.config)
    llm.model(input_ids=distinct, past_key_values=cache, use_cache=True)
    cache.batch_select_indices(rows)
    return cache


def keys_and_values(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Of every layer."""
    layers = cast(list[DynamicLayer], cache.layers)
    return [(cast(Tensor, layer.keys), cast(Tensor, layer.values)) for layer in layers]


def first_rows(cache: DynamicCache, rows: int) -> DynamicCache:
    """The same keys and values, of the first prompts only."""
    part = DynamicCache()
    for i, (keys, values) in enumerate(keys_and_values(cache)):
        part.update(keys[:rows], values[:rows], i)
    return part


def go_on(
    llm: Qwen2ForCausalLM, embeddings: Tensor, attention_mask: Tensor, prompt: DynamicCache
) -> Tensor:
    """Hidden states (B, N, H) of embeddings (B, N, H) that follow a cached right-padded prompt
    (mask (B, T)); the cache is left as it was found.

    The mask is made here: transformers would look at its values, and a GPU would have to wait."""
    count = embeddings.shape[1]
    after = attention_mask.sum(dim=1, keepdim=True)
    causal = torch.ones(count, count, dtype=torch.bool, device=embeddings.device).tril()
    before = attention_mask.bool()[:, None, None].expand(-1, 1, count, -1)
    hidden = llm.model(
        inputs_embeds=embeddings,
        attention_mask=torch.cat([before, causal.expand(len(before), 1, -1, -1)], dim=-1),
        position_ids=after + torch.arange(count, device=after.device),
        past_key_values=prompt,
        use_cache=True,
    ).last_hidden_state
    prompt.crop(-count)
    return hidden


@torch.inference_mode()
def greedy(
    llm: Qwen2ForCausalLM,
    embeddings: Tensor,
    attention_mask: Tensor,
    max_new_tokens: int | Sequence[int],
    stop_ids: frozenset[int],
) -> list[list[int]]:
    """Likeliest continuations of right-padded embeddings (B, T, H), without the stop token.

    Each row stops by itself, at a stop token or at its own ``max_new_tokens``, and leaves the batch
    when half of it has stopped. Rows of different lengths share one cache: what is generated goes
    behind the padding, which the mask hides, at the position that follows the row's last token."""
    count = len(embeddings)
    budgets = [max_new_tokens] * count if isinstance(max_new_tokens, int) else [*max_new_tokens]
    cache = DynamicCache(config=llm.config)
    states = llm.model(
        inputs_embeds=embeddings, past_key_values=cache, use_cache=True
    ).last_hidden_state
    mask, position = attention_mask.bool(), attention_mask.long().sum(dim=1) - 1
    hidden = states[torch.arange(count, device=position.device), position]
    replies: list[list[int]] = [[] for _ in range(count)]
    rows = list(range(count))  # which question each row of the batch belongs to; -1: to none
    running = {row for row in rows if budgets[row] > 0}
    kept = whole_rows(rows, position.device)
    if len(kept) > count:
        cache.batch_select_indices(torch.tensor(kept))
        hidden, mask, position = hidden[kept], mask[kept], position[kept]
        rows += [-1] * (len(kept) - count)
    while running:
        token = llm.lm_head(hidden).argmax(dim=-1)
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
        kept = whole_rows(going, token.device)
        if 2 * len(kept) <= len(rows):
            rows = [rows[i] for i in going] + [-1] * (len(kept) - len(going))
            index = torch.tensor(kept, device=token.device)
            cache.batch_select_indices(index)
            token, mask, position = token[index], mask[index], position[index]
        mask, position = F.pad(mask, (0, 1), value=True), position + 1
        hidden = llm.model(
            input_ids=token[:, None],
            attention_mask=mask[:, None, None],
            position_ids=position[:, None],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
    return replies
