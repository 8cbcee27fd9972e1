"""Yes/no replies are read as POPE, MME, lmms-eval and VLMEvalKit read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmon_eval.replies import yes_no
from harmon_eval.replies.yes_no import scores

Y, N, U = "yes", "no", None

# pope.md, E1: reply, official, lmms-eval, VLMEvalKit
POPE = [
    ("Yes", Y, Y, Y),
    ("yes", Y, Y, Y),
    ("No", N, N, N),
    ("no", N, N, N),
    (" No", N, N, N),
    ("NO", Y, N, N),
    ("No.", N, U, N),
    ("No, there is no cat.", N, U, N),
    ("No,there is not", N, U, N),
    ("Yes.", Y, U, Y),
    ("Yes, there is a cat.", Y, U, Y),
    ("Yes, there is no doubt.", N, U, U),
    ("There is no cat in the image.", N, U, N),
    ("There is not a cat.", N, U, U),
    ("There isn't a cat.", Y, U, U),
    ("It is a dog. No cat.", Y, U, N),
    ("no\n", Y, N, N),
    ("No\nThe image shows a dog.", Y, U, N),
    ("Mr. Smith says no", Y, U, N),
    ("**No**", Y, U, U),
    ('"No"', Y, U, N),
    ("no!", Y, U, N),
    ("No;", Y, U, N),
    ("yes and no", N, U, U),
    ("A: No", N, U, N),
    ("The answer is: no", N, U, N),
    ("", Y, U, U),
    (".", Y, U, U),
    ("maybe", Y, U, U),
    ("I cannot tell.", Y, U, U),
    ("nope", Y, U, U),
    ("Not", Y, U, U),
]
# mme.md, E1
MME = [
    ("Yes", Y, Y, Y),
    ("yes.", Y, Y, Y),
    (" Yes", Y, Y, Y),
    ('"Yes"', Y, Y, Y),
    ("No", N, N, N),
    ("NO", N, N, N),
    (" No", N, N, N),
    ("(no)", N, N, N),
    ("  yes", U, Y, Y),
    ("  No", N, N, N),
    ("Y", U, Y, U),
    ("N.", U, N, U),
    ("Not sure", N, N, U),
    ("None", N, N, U),
    ("now", N, N, U),
    ("Nothing", N, N, U),
    ("snow", N, N, U),
    ("Eyes", Y, Y, U),
    ("**No**", N, N, U),
    ("The answer is yes", U, U, Y),
    ("Answer: no", U, U, N),
    ("Hmm no", U, U, N),
    ("A: no", U, U, N),
    ("Yes or no", Y, Y, U),
    ("No, yes", N, N, U),
    ("n.o", U, N, N),
    ("unknown", U, U, U),
    ("I know", U, U, U),
    ("", U, U, U),
]


@pytest.mark.parametrize(("reply", "official", "exact", "toolkit"), POPE)
def test_pope_replies(reply: Any, official: Any, exact: Any, toolkit: Any) -> None:
    assert yes_no.pope_official(reply) == official
    assert yes_no.exact(reply) == exact
    assert yes_no.vlmevalkit(reply) == toolkit


@pytest.mark.parametrize(("reply", "official", "lmms_eval", "toolkit"), MME)
def test_mme_replies(reply: Any, official: Any, lmms_eval: Any, toolkit: Any) -> None:
    assert yes_no.mme_official(reply) == official
    assert yes_no.mme_lmms_eval(reply) == lmms_eval
    assert yes_no.vlmevalkit(reply) == toolkit


def test_a_line_break_after_the_word_no_longer_turns_it_round() -> None:
    for reply in ("no\n", " No \nThe image shows a dog.", "\nno"):
        assert yes_no.pope_official(yes_no.first_line(reply)) == "no"


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("**No**", N),
        ('"Yes"', Y),
        ("No,there is not", N),
        ("YES!", Y),
        ("Not", U),
        ("nope", U),
        ("There is no cat", U),
        ("", U),
        ("...", U),
        ("isn't", U),
        ("no't", U),
    ],
)
def test_the_strict_rule_reads_the_first_word_only(reply: str, verdict: Any) -> None:
    assert yes_no.strict(reply) == verdict


@given(st.text())
def test_no_text_breaks_a_rule(reply: Any) -> None:
    for rule in (
        yes_no.pope_official,
        yes_no.exact,
        yes_no.vlmevalkit,
        yes_no.strict,
        yes_no.mme_official,
        yes_no.mme_lmms_eval,
    ):
        assert rule(reply) in (Y, N, U)


def of(labels: Any, verdicts: Any, weights: Any = None, **options: Any) -> Any:
    weights = np.ones(len(labels)) if weights is None else np.array(weights)
    return scores(np.array(labels, object), np.array(verdicts, object), weights, **options)


def test_the_published_confusion_matrix_of_llava() -> None:  # pope.md, E2
    found = of(["yes", "no", "no", "yes"], ["yes", "yes", "no", "no"], [1183, 31, 1379, 317])
    assert found == pytest.approx(
        {
            "accuracy": 0.8804123711,
            "precision": 0.9744645799,
            "recall": 0.7886666667,
            "f1": 0.8717759764,
            "yes_ratio": 0.4171821306,
        }
    )


def test_unreadable_replies() -> None:  # pope.md, E4
    labels, replies = ["yes", "yes", "no", "no"], ["Yes", "There is not", "No", "There isn't"]
    official = of(labels, [yes_no.pope_official(r) for r in replies])
    assert set(official.values()) == {0.5}
    lmms = of(labels, [yes_no.exact(r) for r in replies], drop_unread=True)
    assert [lmms[k] for k in ("accuracy", "precision", "recall", "f1")] == [0.5, 1, 1, 1]
    assert lmms["yes_ratio"] == 0.25  # of the predictions; lmms-eval prints that of the labels
    toolkit = of(labels, [yes_no.vlmevalkit(r) for r in replies])
    assert [toolkit[k] for k in ("accuracy", "precision", "recall")] == [0.5, 1, 0.5]
    assert toolkit["f1"] == pytest.approx(2 / 3)


def test_the_silent_model_and_the_constant_no() -> None:  # pope.md, E5 and E6
    labels = ["yes", "no"]
    silent = of(labels, [yes_no.pope_official("")] * 2)
    assert silent == pytest.approx(
        {"accuracy": 0.5, "precision": 0.5, "recall": 1, "f1": 2 / 3, "yes_ratio": 1}
    )
    assert set(of(labels, [yes_no.vlmevalkit("")] * 2).values()) == {0}
    constant = of(labels, ["no", "no"])
    assert constant == {"accuracy": 0.5, "precision": 0, "recall": 0, "f1": 0, "yes_ratio": 0}


def test_a_row_of_several_splits_counts_in_each() -> None:  # pope.md, E7
    labels, verdicts = ["yes", "no"], ["yes", "yes"]
    assert of(labels, verdicts, [3, 1])["f1"] == pytest.approx(0.857143, abs=1e-6)
    assert of(labels, verdicts, [1, 1])["f1"] == pytest.approx(2 / 3)
    assert of(labels, verdicts, [1, 0])["f1"] == 1
