"""Probabilities, measures of sets and rendered text against the originals' own functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from harmon_eval.core import Unscorable
from harmon_eval.instruments.likeness import cosine
from harmon_eval.instruments.measure.clipscore import score
from harmon_eval.instruments.vqascore import RECIPES
from harmon_eval.metrics import likelihood, rendered_text, sets
from harmon_eval.metrics.fid_pairs import at_infinity, infinity_sizes
from harmon_eval.replies.probabilities import First
from tests.vectors import check

Vectors = dict[str, Any]


def part(vectors: Vectors, *keys: str) -> Any:
    """The vectors under these keys; skips where the file does not hold them."""
    found: Any = vectors
    for key in keys:
        if key not in found:
            pytest.skip(f"these vectors hold no {'/'.join(keys)}")
        found = found[key]
    return found


@pytest.mark.entries("geneval2", "prompts")
def test_geneval2_soft_scores_means_and_hard_scores(case: Any) -> None:
    forms = [likelihood.answer_forms(answer, bare_space=True) for _, answer in case["questions"]]
    tops = case["first_token"]
    soft = [likelihood.mass(top, own).low for top, own in zip(tops, forms, strict=True)]
    words = [likelihood.answer_forms(answer) for _, answer in case["questions"]]
    found = {
        "soft": pytest.approx(soft, abs=1e-6),
        "am": pytest.approx(likelihood.arithmetic(soft), abs=1e-6),
        "gm": pytest.approx(likelihood.geometric(soft), abs=1e-6),
        "hard": [likelihood.hard(top, own) for top, own in zip(tops, words, strict=True)],
    }
    check(case, found)


def test_geneval2_totals(scoring_vectors: Vectors) -> None:
    case = part(scoring_vectors, "geneval2", "benchmark")
    scores, skills = case["scores"], case["skills"]
    for name, mean in (("total_am", likelihood.arithmetic), ("total_gm", likelihood.geometric)):
        found = 100 * likelihood.arithmetic([mean(own) for own in scores])
        assert found == pytest.approx(case[name], abs=1e-6)
    pairs = [pair for own in zip(skills, scores, strict=True) for pair in zip(*own, strict=True)]
    for skill, expected in case["skill_am"].items():
        own = [score for name, score in pairs if name == skill]
        assert 100 * likelihood.arithmetic(own) == pytest.approx(expected, abs=1e-6)
    for count, expected in case["atomicity_gm"].items():
        own = [
            likelihood.geometric(s)
            for s, n in zip(scores, case["atom_count"], strict=True)
            if str(n) == count
        ]
        assert 100 * likelihood.arithmetic(own) == pytest.approx(expected, abs=1e-6)


@pytest.mark.entries("vqascore", "first_token")
def test_vqascore_of_a_list_of_first_tokens(case: Any) -> None:
    top = [(token, probability) for token, probability in case["top"]]
    found = {
        "v3_0": likelihood.vqascore_3_0(top),
        "v3_1": likelihood.vqascore_3_1(top),
        "mass_of_yes": likelihood.mass(dict(top), likelihood.YES).low,
        "yes_of_yes_and_no": likelihood.yes_share(dict(top)),
        "flow_factory": likelihood.flow_factory(top, False),
        "flow_factory_canonical": likelihood.flow_factory(top, True),
    }
    check(case, {k: None if v is None else pytest.approx(v, abs=1e-6) for k, v in found.items()})


@pytest.mark.entries("vqascore", "label_mean")
def test_vqascore_of_label_tokens(case: Any) -> None:
    logprobs = []
    for logits, label in zip(case["logits"], case["labels"], strict=True):
        total = math.log(math.fsum(map(math.exp, logits)))
        logprobs.append(logits[label] - total)
    assert likelihood.label_mean(logprobs) == pytest.approx(case["score"], abs=1e-6)


@pytest.mark.entries("ranking")
def test_ranking_of_options(case: Any) -> None:
    names = {
        "acc": "sum",
        "acc_norm": "per_character",
        "acc_bytes": "per_byte",
        "acc_mutual_info": "mutual_information",
    }
    options, logprobs = case["choices"], case["token_logprobs"]
    by = likelihood.statistics(options, logprobs, case["unconditional"])
    found = {f"lm_eval {key}": likelihood.best(by[name]) for key, name in names.items()}
    found["lmms_eval acc"] = likelihood.best(by["mean"])
    found["lmms_eval acc_norm"] = likelihood.lmms_eval_norm(options, logprobs)
    assert {key: found[key] for key in case["chosen"]} == case["chosen"]


@pytest.mark.entries("image", "sets")
def test_measures_of_sets(case: Any) -> None:
    real, fake = np.array(case["real"]), np.array(case["fake"])
    values = case["values"]
    if "cmmd_of_unit_rows" in values:
        assert sets.cmmd(real, fake) == pytest.approx(values["cmmd_of_unit_rows"], abs=1e-6)
    for name, found in values.items():
        if name.startswith("prdc_"):
            ours = vars(sets.manifold(real, fake, int(name.removeprefix("prdc_"))))
            recorded = {key: ours[key] for key in found}
            assert recorded == pytest.approx(found, abs=1e-9), name
    if "kernel_distance" in values:
        distance = sets.kernel_distance(real, fake)
        assert distance == pytest.approx(values["kernel_distance"], abs=1e-6)
    for name, order in (("vendi", 1.0), ("vendi_inf", math.inf)):
        if name in values:
            own = [sets.vendi(features, order) for features in (real, fake)]
            assert own == pytest.approx(values[name], abs=1e-6)


def test_clipscore_of_vectors(scoring_vectors: Vectors) -> None:
    case = part(scoring_vectors, "image", "clipscore")
    pairs = zip(np.array(case["image"]), np.array(case["text"]), strict=True)
    found = [cosine(image, text) for image, text in pairs]
    assert found == pytest.approx(case["cosine"], abs=1e-9)
    by = {recipe: [score(cos, recipe) for cos in found] for recipe in ("hessel", "torchmetrics")}
    assert by["hessel"] == pytest.approx(case["per_image"], abs=1e-9)
    assert np.mean(by["hessel"]) == pytest.approx(case["mean"], abs=1e-9)
    # The original shows a mean below 0 as 0.
    shown = max(float(np.mean(by["torchmetrics"])), 0.0)
    assert shown == pytest.approx(case["torchmetrics_mean"], abs=1e-4)


def test_fid_infinity(scoring_vectors: Vectors) -> None:
    known = part(scoring_vectors, "image", "infinity")
    assert at_infinity(known["n"], known["values"]) == pytest.approx(known["intercept"], abs=1e-9)


@pytest.mark.entries("image", "infinity", "grid")
def test_sizes_of_fid_infinity(case: Any) -> None:
    count, sizes = case
    assert infinity_sizes(int(count)) == sizes


@pytest.mark.entries("text", "oneig")
def test_oneig_text(case: Any) -> None:
    target = rendered_text.oneig_text(case["text_content"])
    read = rendered_text.oneig_read(case["ocr"])
    assert (target, read) == (case["normal"], case["read"])
    assert rendered_text.edit_distance(target, read) == case["edit_distance"]
    found = rendered_text.oneig_words(target, read)
    assert found == (case["matched"], case["words"])


@pytest.mark.entries("text", "oneig_total")
def test_oneig_total(case: Any) -> None:
    language, known = case
    score = rendered_text.oneig_score(known["ED"], known["CR"], known["WAC"], language)
    assert score == pytest.approx(known["score"], abs=1e-9)


@pytest.mark.entries("text", "longtext")
def test_longtext_words(case: Any) -> None:
    found = rendered_text.longtext_words(case["text"], case["ocr"], case["mode"])
    assert found == (case["matched"], case["words"])


def test_longtext_total(scoring_vectors: Vectors) -> None:
    pairs = [
        rendered_text.longtext_words(case["text"], case["ocr"], case["mode"])
        for case in part(scoring_vectors, "text", "longtext")
    ]
    total = part(scoring_vectors, "text", "longtext_total")
    right, words = map(sum, zip(*pairs, strict=True))
    assert right / words == pytest.approx(total, abs=1e-9)


@pytest.mark.entries("text", "tiif")
def test_tiif_text(case: Any) -> None:
    found = rendered_text.tiif(case["words"], case["lines"])
    assert found == pytest.approx((case["gned"], case["recall"]), abs=1e-9)


@pytest.mark.entries("text", "ocr_reward")
def test_ocr_reward(case: Any) -> None:
    target = rendered_text.reward_target(case["prompt"])
    assert target == case["target"]
    assert rendered_text.reward(target, case["ocr"]) == pytest.approx(case["reward"])


def test_a_set_against_itself(scoring_vectors: Vectors) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6))
    assert sets.cmmd(x, x) == pytest.approx(0, abs=1e-9)
    own = sets.manifold(x, x, 3)
    assert (own.precision, own.recall, own.coverage) == (1.0, 1.0, 1.0)
    assert sets.vendi(np.ones((5, 3))) == pytest.approx(1.0)
    assert sets.vendi(np.eye(5)) == pytest.approx(5.0)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(41, 4)) + 0.5
    whole = sets.cmmd(x, y), vars(sets.manifold(x, y, 3))
    monkeypatch.setattr(sets, "BLOCK", 7)
    assert (sets.cmmd(x, y), vars(sets.manifold(x, y, 3))) == (pytest.approx(whole[0]), whole[1])


def test_the_edit_distance_is_linear_in_memory_and_bounded_in_time() -> None:
    assert rendered_text.edit_distance("kitten", "sitting") == 3
    assert rendered_text.edit_distance("", "abc") == 3
    assert rendered_text.edit_distance("a" * 10**6, "b") == rendered_text.LIMIT
    assert rendered_text.accuracy("Hello  World", "hello world") == 1.0
    assert rendered_text.accuracy("", "") == 1.0 and rendered_text.accuracy("ab", "") == 0.0


@pytest.mark.entries("vqascore", "first_token")
def test_recipes_of_vqascore_read_such_lists_as_the_originals(case: Any) -> None:
    """Where all of the distribution was seen, our two have no other ends than their value."""
    top = tuple((token, probability) for token, probability in case["top"])
    if not top:
        return
    yes, no = (likelihood.mass(dict(top), forms).low for forms in (likelihood.YES, likelihood.NO))
    both, one = First((yes, no), top=top), First((yes,), top=top)
    for name, key in (
        ("gpt4o_3_0", "v3_0"),
        ("gpt4o_3_1", "v3_1"),
        ("flow_factory", "flow_factory"),
    ):
        assert RECIPES[name].read(both).value == pytest.approx(case[key], abs=1e-6)
    assert RECIPES["yes_mass"].read(one).value == pytest.approx(case["mass_of_yes"])
    if case["yes_of_yes_and_no"] is None:
        with pytest.raises(Unscorable):
            RECIPES["yes_share"].read(both)
    else:
        found = RECIPES["yes_share"].read(both)
        expected = pytest.approx(case["yes_of_yes_and_no"], abs=1e-6)
        assert found.value == found.least == found.most == expected
