"""What adapters of PyTorch models share: devices, number formats, and what an argument must be."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from harmon_eval.core import Reply, UserError
from harmon_eval.replies.thoughts import opening

logger = logging.getLogger(__name__)

Dtype = Literal["float32", "bfloat16", "float16", "auto"]
DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
CPUINFO = Path("/proc/cpuinfo")


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


def chosen_dtype(name: Dtype, device: torch.device) -> torch.dtype:
    """``auto``: bfloat16 where the device computes faster in it, else float32, and it says which.

    On a processor that takes AMX: with it, drawing at the published 0.5B size is 3.5 times as fast
    in bfloat16; without it, six times slower."""
    if name != "auto":
        return DTYPES[name]
    known = {"cpu": _has_amx, "cuda": torch.cuda.is_bf16_supported}
    fast = known.get(device.type, bool)()
    chosen = "bfloat16" if fast else "float32"
    has = "has" if fast else "is not known to have"
    why = " (AMX)" if device.type == "cpu" else ""
    logger.warning("dtype auto is %s here: %s %s fast bfloat16%s", chosen, device, has, why)
    return DTYPES[chosen]


def _has_amx() -> bool:
    """Whether Linux lists the processor's matrix instructions for bfloat16."""
    return CPUINFO.exists() and "amx_bf16" in CPUINFO.read_text().split()


# What changes greedy decoding, with the value that does not.
PENALTIES = {
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "suppress_tokens": [],
    "begin_suppress_tokens": [],
    "bad_words_ids": [],
    "min_new_tokens": 0,
    "min_length": 0,
}


def own_penalties(model: Any) -> dict[str, Any]:
    """What the weights' own generation_config.json does to greedy decoding: for the provenance.

    Temperature and top-p in it do nothing there."""
    config = getattr(model, "generation_config", None)
    found = {name: getattr(config, name, None) for name in PENALTIES}
    return {k: v for k, v in found.items() if v is not None and v != PENALTIES[k]}


def check_place(adapter: str, place: str) -> None:
    """Raises UserError where no weights are named."""
    if not place:
        raise UserError(
            f"{adapter}: needs a folder or hub id, such as --model {adapter}:FOLDER_OR_HUB_ID"
        )


def stopped(tokens: Sequence[int], limit: int, stops: Collection[int]) -> bool:
    """Whether a reply of at most ``limit`` tokens ended by itself."""
    return len(tokens) < limit or not set(tokens[:limit]).isdisjoint(stops)


def reply_of(text: str, cut: bool, limit: int) -> Reply:
    """A reply that may have been cut at ``limit`` tokens.

    Weights that never stop, as early in training, may still say yes, no, a letter or a number
    first: see ``replies.thoughts.opening``."""
    reply = Reply(text)
    reply.cut = cut
    if cut and not opening(text):
        reply.flaw = f"the reply was cut at the limit of {limit} tokens: allow more, ?{LIMIT}=N"
    return reply
