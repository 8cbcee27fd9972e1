"""GenEval's prompts: the official files made again, and fresh prompts of the same distribution."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmon_eval.core import UserError
from harmon_eval.suites.mini.scenes import SHAPES
from harmon_eval.tasks.geneval import mini, prompts
from harmon_eval.tasks.geneval.layout import fault

SHARED = Path(__file__).parents[2] / "../shared/data/geneval"
TEXTS = {
    "evaluation_metadata.jsonl": prompts.official_metadata(),
    "generation_prompts.txt": "".join(
        item["prompt"] + "\n" for item in prompts.generate(prompts.OFFICIAL_SEED)
    ),
    "object_names.txt": "".join(name + "\n" for name in prompts.OBJECT_NAMES),
}
SHA256 = {
    "evaluation_metadata.jsonl": "5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13",
    "generation_prompts.txt": "55b6e3650e980c13daf30569eb666e000faf19bfc2b7b4cbe999fcdb7aa9d680",
    "object_names.txt": "608f6a0e5c8ca1c7a92b818430141fe268c85b7930b50f4160f1d65893b5bacd",
}
OFFICIAL = [json.loads(line) for line in TEXTS["evaluation_metadata.jsonl"].splitlines()]


@pytest.mark.parametrize("name", SHA256)
def test_official_files_are_made_again_byte_for_byte(name: Any) -> None:
    made = TEXTS[name].encode()
    assert hashlib.sha256(made).hexdigest() == SHA256[name]
    if SHARED.exists():
        assert made == (SHARED / name).read_bytes()


def test_the_official_prompts_by_tag_number_position_and_color() -> None:
    assert Counter(item["tag"] for item in OFFICIAL) == {
        "single_object": 80,
        "two_object": 99,
        "counting": 80,
        "colors": 94,
        "position": 100,
        "color_attr": 100,
    }
    clauses = [clause for item in OFFICIAL for clause in item["include"]]
    relations = Counter(clause["position"][0] for clause in clauses if "position" in clause)
    assert relations == {"below": 28, "right of": 27, "above": 26, "left of": 19}
    colors = Counter(clause["color"] for clause in clauses if "color" in clause)
    assert colors["red"] == 35 and colors["pink"] == 24
    assert len({item["prompt"] for item in OFFICIAL}) == 553
    assert OFFICIAL[277]["prompt"] == "a photo of an orange orange"


def test_the_mini_suite_holds_every_prompt_of_the_tags_that_it_calls_complete() -> None:
    found = Counter(item["tag"] for item in mini.geneval_items(mini.SEED))
    shapes = len(SHAPES)
    there = {
        "single_object": shapes,
        "two_object": shapes * (shapes - 1),
        "counting": 3 * shapes,
    }
    assert set(there) == set(mini.CENSUS)
    assert {tag: found[tag] for tag in there} == there


def test_other_numbers_from_numpy_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "OFFICIAL_SEED", 44)
    with pytest.raises(UserError, match="--data"):
        prompts.official_metadata()


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_another_seed_gives_sound_fresh_prompts_of_the_same_kinds(seed: Any) -> None:
    items = prompts.generate(seed)
    assert {fault(item) for item in items} == {None}
    assert {item["tag"] for item in items} == set(prompts.TAGS)
    assert len({json.dumps(item) for item in items}) == len(items) <= 580
    assert items == prompts.generate(seed)
    names = {c["class"] for i in items if "color" in i["include"][0] for c in i["include"]}
    assert "person" not in names


def test_prompts_do_not_touch_numpys_global_stream() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    prompts.generate(7)
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (prompts.counting("bus", 3), "a photo of three buses"),
        (prompts.counting("toothbrush", 2), "a photo of two toothbrushs"),
        (prompts.counting("knife", 4), "a photo of four knifes"),
        (prompts.colors("apple", "red"), "a photo of a red apple"),
        (prompts.single("umbrella"), "a photo of an umbrella"),
        (
            prompts.position("dog", "right of", "teddy bear"),
            "a photo of a dog right of a teddy bear",
        ),
        (
            prompts.color_attr("car", "orange", "oven", "blue"),
            "a photo of an orange car and a blue oven",
        ),
    ],
)
def test_grammar_with_its_quirks(item: Any, text: str) -> None:
    assert item["prompt"] == text


def test_a_position_prompt_lists_its_reference_first() -> None:
    item = prompts.position("dog", "right of", "teddy bear")
    assert [clause["class"] for clause in item["include"]] == ["teddy bear", "dog"]
    assert item["include"][1]["position"] == ["right of", 0]
