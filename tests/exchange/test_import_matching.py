"""Which sample of a benchmark a question of a log is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harmon_eval.core import Ask, Sample
from harmon_eval.exchange.logs.log import LoggedSample
from harmon_eval.exchange.matching import match


def asked(name: str, text: str, image: str, options: Mapping[str, str] | None = None) -> Sample:
    request = Ask(text, (Path(image),))
    return Sample(name, request, {"text": text, "options": dict(options or {})}, name)


def test_options_and_pictures_tell_questions_of_one_text_apart() -> None:
    text = "What is it?\nAnswer with the option's letter from the given choices directly."
    samples = [
        asked("1", text, "x/1.png", {"A": "cat", "B": "dog"}),
        asked("2", text, "x/1.png", {"A": "dog", "B": "cat"}),
        asked("3", text, "x/3.png", {"A": "cat", "B": "dog"}),
    ]
    logged = [
        LoggedSample("a", "what is  it?", [], "A", options={"A": "Dog", "B": "Cat"}),
        LoggedSample(
            "b", "What is it?", [], "B", images=["3.png"], options={"A": "cat", "B": "dog"}
        ),
        LoggedSample("c", "What is that?", [], "B"),
    ]
    found = match(samples, logged)
    assert {ours: one.id for ours, one in found.found.items()} == {"2": "a", "3": "b"}
    assert found.none == 1


def test_an_id_counts_only_with_its_question() -> None:
    samples = [asked("5", "Is it red?", "5.png"), asked("6", "Is it blue?", "6.png")]
    found = match(samples, [LoggedSample("5", "Is it blue?", [], "no")])
    assert list(found.found) == ["6"]
