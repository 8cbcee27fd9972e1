"""Whether a reply answers at all, and its answer without the thought before it.

Models and judges are read through ``answered``, before any rule sees the reply: nothing that was
only considered is taken for an answer, and no answer is not taken for one.
"""

from __future__ import annotations

import re

from harmon_eval.core import Reply, Unscorable

# How models mark a thought: what begins it, and what ends it.
MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
_BEGIN, _END = (
    re.compile("|".join(re.escape(pair[side]) for pair in MARKS), re.IGNORECASE) for side in (0, 1)
)
# What a reader does not see: tokens of the chat's form, and characters without width.
_UNSEEN = re.compile(r"<\|[\w ]{1,40}\|>|</?s>|[\s\u200b-\u200d\u2060\ufeff]+")


class CutOff(Unscorable):
    """The reply broke off: the same question with the same limit would break off again."""


def answered(reply: str) -> str:
    """The reply, without the thought that is finished in it.

    Raises Unscorable for what is no answer: cut at the token limit, held back, empty, or a thought
    that does not end. Some chat templates begin the thought in the prompt, so that only its end is
    in the reply."""
    if isinstance(reply, Reply) and reply.flaw:
        raise (CutOff if reply.cut else Unscorable)(reply.flaw, reply)
    end = max((mark.end() for mark in _END.finditer(reply)), default=0)
    rest = reply[end:].strip() if end else reply
    if _BEGIN.search(rest):
        raise CutOff("the reply ends inside its thought: allow it more tokens", reply)
    if not _UNSEEN.sub("", rest):
        after = " after its thought" if end else ""
        raise Unscorable(f"the reply is empty{after}", reply)
    return rest
