"""Probabilities of replies: the same as a plain forward pass over question and option."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harmon_eval.core import Score, Unscorable
from harmon_eval.model.checkpoint import load
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.replies import probabilities


@pytest.fixture(scope="module")
def pipeline() -> HarmonPipeline:
    return load("harmon-mini").pipeline


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


QUESTIONS = ("What color is the circle?", "How many objects are there in the image?", "Is it red?")
OPTIONS = (("red", "blue", "red and blue"), ("two", "three"), ("yes",))


def plainly(pipeline: HarmonPipeline, image: Any, question: str, option: str) -> list[float]:
    """One forward pass over the question and the option, by transformers' own model."""
    processor, model = pipeline.processor, pipeline.model
    places = 0 if image is None else pipeline._places()
    ids, labels = processor.training_turn(question, option, places)
    latents = None if image is None else pipeline.latents([image])
    logits = model.read(torch.tensor([ids]), latents)[0].float().log_softmax(-1)
    return [float(logits[n - 1, label]) for n, label in enumerate(labels) if label >= 0]


@torch.inference_mode()
def test_options_score_as_in_a_plain_forward_pass(pipeline: HarmonPipeline) -> None:
    image = picture(0)
    images = [image, image, None]
    first, scores = pipeline.logprobs(images, QUESTIONS, OPTIONS)
    for row, (shown, question, options) in enumerate(zip(images, QUESTIONS, OPTIONS, strict=True)):
        for option, found in zip(options, scores[row], strict=True):
            assert found == pytest.approx(plainly(pipeline, shown, question, option), abs=2e-4)
    assert np.exp(first.astype(np.float64)).sum(1) == pytest.approx(np.ones(3), abs=1e-5)
    assert first.shape[0] == 3 and float(first.max()) <= 0


def test_a_score_does_not_depend_on_what_is_asked_beside_it(pipeline: HarmonPipeline) -> None:
    images = [picture(n) for n in range(3)]
    _, together = pipeline.logprobs(images, QUESTIONS, OPTIONS)
    for row in range(3):
        _, alone = pipeline.logprobs([images[row]], [QUESTIONS[row]], [OPTIONS[row]])
        for a, b in zip(together[row], alone[0], strict=True):
            assert a == pytest.approx(b, abs=1e-5)


def test_the_likeliest_reply_is_the_greedy_one(pipeline: HarmonPipeline) -> None:
    reply = pipeline.answer([None], ["Which is red, a red circle or a blue square?"])[0]
    first, _ = pipeline.logprobs([None], ["Which is red, a red circle or a blue square?"], [[]])
    assert pipeline.processor.first_id(reply) == int(first[0].argmax())


def test_forms_of_an_option_count_once_and_options_must_differ() -> None:
    logprobs = np.log(np.array([0.5, 0.3, 0.2]))
    first = {"yes": 0, " yes": 0, "Yes": 1, "no": 2}.__getitem__
    found = probabilities.of_first(
        (("yes", " yes", "Yes"), ("no",)), logprobs, first, ["yes", "Yes", "no"].__getitem__
    )
    assert isinstance(found, str)
    read = probabilities.read(found, 2)
    assert isinstance(read, probabilities.First) and read.likeliest == "yes"
    assert read.masses == pytest.approx((0.8, 0.2)), "two forms of yes are one token"
    clash = probabilities.of_first((("yes",), (" yes",)), logprobs, first, str)
    assert isinstance(clash, Unscorable) and "begin with the same token" in str(clash)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "yes",
        "{}",
        "[1]",
        '{"first": [0.5], "seen": 1}',
        '{"first": [2, 0], "seen": 1}',
        json.dumps({"whole": [[-1.0], []], "ends": [-1.0, -1.0]}),
        "{" * 10**6,
        '{"whole": [[NaN], [-1]], "ends": [-1, -1]}',
    ],
)
def test_what_holds_no_probabilities_is_unscored(reply: str) -> None:
    with pytest.raises(Unscorable, match="no probabilities of 2 options"):
        probabilities.read(reply, 2)


def test_an_end_that_is_not_known_is_said() -> None:
    found = probabilities.read(probabilities.Whole(((-1.0,),), (None,)).written(), 1)
    assert isinstance(found, probabilities.Whole)
    with pytest.raises(Unscorable, match="end of a reply"):
        found.with_ends()


def test_a_request_shows_its_question_and_its_options() -> None:
    request = Score("Which?", (("red",), ("blue",)), kind="whole")
    assert request.text == "Which?\n- red\n- blue" and request.files == ()
