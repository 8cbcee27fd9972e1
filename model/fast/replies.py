"""Greedy replies to questions about images. Shapes use B questions and T length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harmon_eval.model.fast.llm import greedy
from harmon_eval.model.harmon import IMAGE_PLACE, Harmon
from harmon_eval.model.masking import as_mask


@torch.inference_mode()
def generate(
    model: Harmon,
    input_ids: Tensor,
    attention_mask: Tensor,
    latents: Tensor | None,
    max_new_tokens: int | Sequence[int],
    stop_ids: frozenset[int],
    pictures: Sequence[int] | None = None,
    repetition_penalty: float = 1.0,
) -> list[list[int]]:
    """Greedy replies, as token ids without the stop token, to right-padded prompts (B, T).

    Images are placed as in ``Harmon.embed``. Each row stops on its own. If several questions are
    about one image, the image and the tokens before it are read only once. The authors' greedy
    answers carry Qwen's ``repetition_penalty`` of 1.1; 1 is none."""
    attention_mask = as_mask("attention_mask", attention_mask)
    return greedy(
        model.llm,
        model.embed(input_ids, latents, pictures=pictures),
        attention_mask,
        max_new_tokens,
        stop_ids,
        beginnings=[] if pictures is None else pictures,
        shared=shared_beginning(input_ids, attention_mask, pictures),
        repetition_penalty=repetition_penalty,
    )


def shared_beginning(
    input_ids: Tensor, attention_mask: Tensor, pictures: Sequence[int] | None
) -> int:
    """How many leading tokens the rows about the same image share.

    These are all tokens up to the end of the image, if every row has one image in the same places
    and some image has several questions. Otherwise 0."""
    if pictures is None or not len({*pictures}) < len(pictures) == len(input_ids):
        return 0
    runs = (input_ids == IMAGE_PLACE).long()
    end = int((runs[0].cumsum(dim=0) == runs[0].sum()).long().argmax()) + 1
    same = bool((input_ids[:, :end] == input_ids[0, :end]).all())
    whole = bool((runs[:, end:].sum() == 0) & (attention_mask.sum(dim=1) > end).all())
    return end if same and whole else 0
