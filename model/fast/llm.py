"""Qwen2's passes with a cache, for inference: read a prompt once, append tokens, reply greedily.

The cache is not copied for every token, and the mask is not rebuilt for every layer. Shapes use
B batch, T length, H width, S visible keys and d width of an attention head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harmon_eval.model.llm import Qwen2, added_mask

ROOM = 64  # how many tokens a cache grows by


class KeysAndValues:
    """Keys and values of every layer (layers, 2, B, heads, T, d); the first ``length`` tokens are
    filled.

    New ones are written in place. Everything is copied only when there is no room left."""

    def __init__(self, held: Tensor, length: int | None = None) -> None:
        self.held = held
        self.length = held.shape[-2] if length is None else length

    @classmethod
    def empty(cls, llm: Qwen2, rows: int, room: int) -> KeysAndValues:
        config, weight = llm.config, llm.model.embed_tokens.weight
        layers, heads = config.num_hidden_layers, config.num_key_value_heads
        sizes = (layers, 2, rows, heads, room, config.head_width)
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


def prefill(llm: Qwen2, input_ids: Tensor) -> KeysAndValues:
    """Keys and values of right-padded prompts (B, T). Equal prompts are computed only once.

    No mask is needed here: a token never attends to the padding after it, and later passes get the
    mask."""
    distinct, rows = torch.unique(input_ids, dim=0, return_inverse=True)
    held = KeysAndValues.empty(llm, *distinct.shape)
    places = torch.arange(distinct.shape[1], device=input_ids.device)[None]
    llm.model(llm.model.embed_tokens(distinct), places, None, held.add)
    return KeysAndValues(held.held[:, :, rows])


def prefill_shared(
    llm: Qwen2, embeddings: Tensor, beginnings: Sequence[int], shared: int
) -> KeysAndValues:
    """Keys and values of right-padded prompts as embeddings (B, T, H). Rows with the same number in
    ``beginnings`` start with the same ``shared`` embeddings, which are read only once."""
    held = KeysAndValues.empty(llm, *embeddings.shape[:2])
    fill(llm, held, embeddings, beginnings, shared)
    return held


def go_on(llm: Qwen2, embeddings: Tensor, attention_mask: Tensor, prompt: KeysAndValues) -> Tensor:
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
    return llm.model(embeddings, places, added_mask(seen, embeddings), behind_prompt)


def fill(
    llm: Qwen2,
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
        llm.model(embeddings[rows, :shared], places[:, :shared], None, begun.add)
        held.held[..., :shared, :] = begun.held[:, :, [numbers[number] for number in beginnings]]
        held.length = shared
        seen = torch.ones(length - shared, length, dtype=torch.bool, device=device).tril(shared)
        mask = added_mask(seen[None, None], embeddings)
    states = llm.model(embeddings[:, shared:], places[:, shared:], mask, held.add)
    held.length = length
    return states


@torch.inference_mode()
def greedy(
    llm: Qwen2,
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
    mask = added_mask(attention_mask.bool(), embeddings)[:, None, None]
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
        hidden = llm.model(x, position[:, None], mask, held.add)[:, 0]
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
