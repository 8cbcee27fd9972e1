"""What models and servers put around an answer is taken off before any rule reads it."""

from __future__ import annotations

import json

import pytest

from harmon_eval.adapters._completions import NoCompletion, read_reply
from harmon_eval.core import Unscorable
from harmon_eval.replies.thoughts import answered


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("No<|im_end|>", "No"),  # else POPE's official rule reads a yes
        ("No</s>\n", "No"),
        ("<s> B <|eot_id|><|endoftext|>", "B"),
        ("Yes<end_of_turn>", "Yes"),
        ("<answer> B </answer>", "B"),
        ("<think>It is the second.</think>\n<answer>B</answer>", "B"),
        ("<think>so</think><answer><|begin_of_box|>42<|end_of_box|></answer>", "42"),
        ("<|channel|>analysis<|message|>Hm.<|channel|>final<|message|>yes<|return|>", "yes"),
    ],
)
def test_marks_around_an_answer_are_no_part_of_it(reply: str, read: str) -> None:
    assert answered(reply) == read


@pytest.mark.parametrize(
    "reply",
    [
        " Yes, it is. ",
        "The tag <answer> begins it",
        "<answer>A</answer> or <answer>B</answer>",
        "a <|b|> c",
        "</answer>",
    ],
)
def test_other_replies_stay_as_they_came(reply: str) -> None:
    assert answered(reply) == reply


@pytest.mark.parametrize("reply", ["<answer></answer>", "<|im_end|>", "<think>x</think></s>"])
def test_marks_around_nothing_are_no_answer(reply: str) -> None:
    with pytest.raises(Unscorable, match="empty"):
        answered(reply)


@pytest.mark.parametrize("part", ["<answer>", "<|im_end|>", "</s>", "<|begin_of_box|>", "<|a"])
def test_a_megabyte_of_marks_is_read_in_one_pass(part: str) -> None:
    text = part * (2**20 // len(part))
    assert answered(f"{text} yes").endswith("yes")


@pytest.mark.parametrize(
    ("finish", "flaw", "cut"),
    [
        ("model_context_window_exceeded", "cut", True),
        ("MAX_TOKENS", "cut", True),
        ("sensitive", "held", False),
        ("guardrail_intervened", "held", False),
    ],
)
def test_finish_reasons_of_several_servers(finish: str, flaw: str, cut: bool) -> None:
    choice = {"message": {"content": "Yes"}, "finish_reason": finish}
    reply = read_reply(json.dumps({"choices": [choice]}).encode())
    assert flaw in reply.flaw and reply.cut is cut
    with pytest.raises(Unscorable):
        answered(reply)


@pytest.mark.parametrize("finish", ["insufficient_system_resource", "network_error", "cancelled"])
def test_an_interrupted_answer_is_asked_again(finish: str) -> None:
    choice = {"message": {"content": "Yes"}, "finish_reason": finish}
    with pytest.raises(NoCompletion) as raised:
        read_reply(json.dumps({"choices": [choice]}).encode())
    assert raised.value.again
