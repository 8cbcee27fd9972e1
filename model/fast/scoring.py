"""Log-probabilities that the LLM gives to replies, from raw logits.

A question is read once for all of its options, an image once for all questions about it. Shapes use
B questions and T length.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harmon_eval.model.fast.llm import KeysAndValues, fill, go_on
from harmon_eval.model.fast.replies import shared_beginning
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.masking import as_mask
from harmon_eval.model.processor import pad_right

Options = Sequence[Sequence[int]]  # token ids of each option of a question, the end token included


@torch.inference_mode()
def score_options(
    model: Harmon,
    input_ids: Tensor,
    attention_mask: Tensor,
    latents: Tensor | None,
    options: Sequence[Options],
    pictures: Sequence[int] | None = None,
) -> tuple[Tensor, list[list[list[float]]]]:
    """What follows right-padded prompts (B, T): log-probabilities of the next token (B, vocabulary)
    in float32, and for each question those of the tokens of each of its options.

    Images are placed as in ``Harmon.embed``."""
    attention_mask = as_mask("attention_mask", attention_mask)
    embeddings = model.embed(input_ids, latents, pictures=pictures)
    shared = shared_beginning(input_ids, attention_mask, pictures)
    count, length = embeddings.shape[:2]
    prompt = KeysAndValues.empty(model.llm, count, length)
    beginnings = [] if pictures is None else pictures
    states = fill(model.llm, prompt, embeddings, beginnings, shared)
    last = attention_mask.long().sum(dim=1) - 1 - shared
    hidden = states[torch.arange(count, device=last.device), last]
    first = model.llm.lm_head(hidden).float().log_softmax(dim=-1)
    scores = [[[float(first[row, ids[0]])] for ids in own] for row, own in enumerate(options)]
    longer = [
        (row, place, ids)
        for row, own in enumerate(options)
        for place, ids in enumerate(own)
        if len(ids) > 1
    ]
    if longer:
        rows = torch.tensor([row for row, *_ in longer], device=last.device)
        ids = pad_right([ids for *_, ids in longer], 0).to(last.device)
        follow = model.llm.get_input_embeddings()(ids[:, :-1])
        after = go_on(model.llm, follow, attention_mask[rows], prompt.rows(rows))
        found = model.llm.lm_head(after).float().log_softmax(dim=-1)
        values = found.gather(2, ids[:, 1:, None])[..., 0].tolist()
        for (row, place, own), line in zip(longer, values, strict=True):
            scores[row][place] += line[: len(own) - 1]
    return first, scores
