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


# What models put around the whole answer; the second is GLM's.
AROUND = (("<answer>", "</answer>"), ("<|begin_of_box|>", "<|end_of_box|>"))
# A token of the chat's form that a server has not taken off.
_FORM = re.compile(r"<\|(?!(?:begin|end)_of_box)[\w ]{1,40}\|>|</?s>|<end_of_turn>|<eos>")
_FORM_END = re.compile(rf"(?:{_FORM.pattern})\Z")
# An answer that no further token takes back: yes or no; a letter before a mark that closes it; a
# letter or number that is the whole first line, or is said again and again.
_OPENING = re.compile(
    r"""[\s*_"'`(\[“‘]*+
    (?: (?P<word>yes|no)\b
      | (?P<letter>[A-Z])(?=[.)\]*])
      | (?P<alone>[A-Z]|[-+]?\d{1,12}(?:\.\d{1,6})?)
        (?=[ \t.*)\]]*+[\r\n]|[.,]?\ (?P=alone)[.,]?\ (?P=alone)\b)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


_OPTION = re.compile(r"(?<![A-Za-z])[A-Z](?=[.)\]])")


class CutOff(Unscorable):
    """The reply broke off: the same question with the same limit would break off again."""


def answered(reply: str) -> str:
    """The reply, without the thought that is finished in it.

    Raises Unscorable for what is no answer: cut at the token limit, held back, empty, or a thought
    that does not end. Some chat templates begin the thought in the prompt, so that only its end is
    in the reply. Of a reply that is cut and yet holds an answer (``opening``) only that is read."""
    if isinstance(reply, Reply) and reply.flaw:
        raise (CutOff if reply.cut else Unscorable)(reply.flaw, reply)
    rest = _after_thought(reply)
    if isinstance(reply, Reply) and reply.cut:
        return opening(reply)
    return rest


def opening(reply: str) -> str:
    """The answer with which a reply opens that is cut: "Yes", a letter of options or a number.

    Empty where what was cut off could have changed it, as "3" before "dogs and 2 cats"."""
    try:
        rest = _after_thought(reply)
    except Unscorable:
        return ""
    found = _OPENING.match(rest)
    if found is None or (found["letter"] and len({*_OPTION.findall(rest)}) > 1):
        return ""  # several letters are the options again
    return found[found.lastgroup or 0]


def thought_begun(prompt: str) -> str:
    """The mark that begins a thought at the end of a prompt, with a line break; empty without."""
    found = [mark for mark, _ in MARKS if prompt.rstrip().endswith(mark)]
    return f"{found[0]}\n" if found else ""


def _after_thought(reply: str) -> str:
    """Raises Unscorable."""
    end = max((mark.end() for mark in _END.finditer(reply)), default=0)
    rest = reply[end:].strip() if end else reply
    if _BEGIN.search(rest):
        raise CutOff("the reply ends inside its thought: allow it more tokens", reply)
    if not _UNSEEN.sub("", rest):
        after = " after its thought" if end else ""
        raise Unscorable(f"the reply is empty{after}", reply)
    bare = _bare(rest)
    if not bare:
        raise Unscorable("the reply is empty", reply)
    return rest if bare == rest.strip() else bare


def _bare(text: str) -> str:
    """Without tokens of the chat's form at its ends ("No<|im_end|>" is a no), and without the marks
    that some models put around the whole answer."""
    text = text.strip()
    for _ in range(8):
        begin, end = _FORM.match(text), _FORM_END.search(text, max(0, len(text) - 64))
        around = next((pair for pair in AROUND if _is_around(pair, text)), None)
        if around:
            text = text[len(around[0]) : len(text) - len(around[1])].strip()
        elif end:
            text = text[: end.start()].strip()
        elif begin:
            text = text[begin.end() :].strip()
        else:
            break
    return text


def _is_around(marks: tuple[str, str], text: str) -> bool:
    begin, end = marks
    inside = text[len(begin) : len(text) - len(end)]
    return text.startswith(begin) and text.endswith(end) and begin not in inside
