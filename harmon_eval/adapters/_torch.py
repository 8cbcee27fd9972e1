"""What adapters of PyTorch models share: devices, number formats, and what an argument must be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import torch

from harmon_eval.core import Reply, UserError

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[Dtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


LIMIT = "max_new_tokens"  # the setting in whose place the benchmark's own limit stands


def best_device(name: str | None) -> torch.device:
    """None: the accelerator if there is one. Raises UserError for a device that is not here."""
    if name is None:
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def check_place(adapter: str, place: str) -> None:
    """Raises UserError where no weights are named."""
    if not place:
        raise UserError(
            f"{adapter}: needs a folder or hub id, such as --model {adapter}:FOLDER_OR_HUB_ID"
        )


def reply_of(text: str, tokens: Sequence[int], limit: int, stops: Collection[int]) -> Reply:
    """A reply of at most ``limit`` tokens; one that reached them without a stop is cut."""
    reply = Reply(text)
    if len(tokens) >= limit and not set(tokens[:limit]) & set(stops):
        reply.cut = True
        reply.flaw = f"the reply was cut at the limit of {limit} tokens: allow more, ?{LIMIT}=N"
    return reply
