"""Probabilities of replies from a causal model of transformers that has read a question once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from harmon_eval.core import Score, Unscorable
from harmon_eval.replies import probabilities


@torch.inference_mode()
def option_scores(
    request: Score, model: Any, read: Any, length: int, tokenizer: Any, ends: Collection[int]
) -> str | Exception:
    """The answer to ``request``. ``read``: what ``model`` gave for the question alone, a batch of
    one of ``length`` tokens, with its cache. ``ends``: the tokens that end a reply.

    All options are read in one pass behind the same cache, in float32 from raw logits."""
    first = read.logits[0, -1].float().log_softmax(-1)

    def ids(form: str) -> list[int]:
        found: list[int] = tokenizer(form, add_special_tokens=False).input_ids
        if not found:
            raise ValueError(f"{form!r} is no token of this model")
        return found

    if request.kind == "first":
        masses = first.cpu().numpy()
        return probabilities.of_first(
            request.options, masses, lambda form: ids(form)[0], tokenizer.decode
        )
    try:
        options = [ids(forms[0]) for forms in request.options]
    except ValueError as error:
        return Unscorable(str(error))
    rest = torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, options)), batch_first=True)
    cache = read.past_key_values
    cache.batch_repeat_interleave(len(options))
    mask = torch.ones(len(options), length + rest.shape[1], dtype=torch.long)
    output = model(
        input_ids=rest.to(first.device),
        attention_mask=mask.to(first.device),
        past_key_values=cache,
        use_cache=True,
    )
    after = output.logits.float().log_softmax(-1)  # (options, tokens, vocabulary)
    scores = []
    for steps, own in zip(after, options, strict=True):
        found = [float(first[own[0]])]
        found += [float(steps[place, token]) for place, token in enumerate(own[1:])]
        # Any token that ends a reply ends it.
        scores.append([*found, float(steps[len(own) - 1, sorted(ends)].logsumexp(0))])
    return probabilities.of_whole(scores)
