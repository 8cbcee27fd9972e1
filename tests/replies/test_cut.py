"""A reply that is cut at its limit answers only where it opens with an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.adapters._torch import reply_of
from harmon_eval.core import Ask, Reply, Unscorable
from harmon_eval.replies.thoughts import answered, thought_begun


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("Yes, there is a dog in the picture, and it", "Yes"),
        ("no no no no no no no", "no"),
        ("**No**, the picture", "No"),
        ("A. A red circle on a white", "A"),
        ("(B) blue, because the", "B"),
        ("C\nThe picture shows", "C"),
        ("C C C C C C", "C"),
        ("3\n\nThere are three", "3"),
        ("12 12 12 12 12", "12"),
        ("-2.5\nas", "-2.5"),
        ("<think>It looks like two.</think>\nYes, it", "Yes"),
    ],
)
def test_an_answer_at_the_start_of_a_cut_reply_is_read(reply: str, read: str) -> None:
    assert answered(reply_of(reply, cut=True, limit=16)) == read
    assert answered(reply_of(reply, cut=False, limit=16)) != read  # else all of it is read


@pytest.mark.parametrize(
    "reply",
    [
        "A dog on a red",
        "A: The picture shows",
        "Nothing that I can see",
        "3 dogs and 2",
        "12, 13, 14, 15, 16",
        "1. First, look at the",
        "3.",
        "12",
        "B",
        "A. red B. blue C.",
        "A, B and",
        "The answer is B because",
        "I think that yes",
        "I see, so the",
        "<think>Yes. Let me look",
        "<think>The user asks</think>",
        "Yes, <think> wait",
        "",
    ],
)
def test_what_the_missing_tokens_could_have_changed_is_not_read(reply: str) -> None:
    with pytest.raises(Unscorable, match="cut at the limit of 16 tokens"):
        answered(reply_of(reply, cut=True, limit=16))


def test_a_thought_that_the_template_begins_is_a_thought() -> None:
    begun = thought_begun("<|im_start|>assistant\n<think>\n")
    assert begun == "<think>\n"
    assert not thought_begun("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    with pytest.raises(Unscorable):
        answered(f"{begun}Yes, at first sight. But")
    assert answered(f"{begun}Yes?</think>No.") == "No."


def test_harmon_says_that_its_reply_was_cut(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "white").save(tmp_path / "a.png")
    model: Any = registry.model("harmon-mini?device=cpu")
    question = "Is there a red circle in the picture?"
    asked = [Ask(question, (tmp_path / "a.png",), tokens) for tokens in (1, 64)]
    short, whole = model.ask(asked)
    assert isinstance(short, Reply) and short.cut and not whole.cut
    assert not short.flaw and answered(short).lower() in ("yes", "no")
    more: Any = registry.model("harmon-mini?device=cpu&max_new_tokens=64")
    assert more.settings["max_new_tokens"] == 64 and "max_new_tokens" not in model.settings
    assert not more.ask(asked)[0].cut
