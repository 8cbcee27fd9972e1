"""VQAScore by its published recipes, and GenAI-Bench's files, skills and bounds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import (
    Answer,
    Data,
    InstrumentMissing,
    Responder,
    Unscorable,
    UserError,
)
from harmon_eval.instruments.judge.rules import open_instrument
from harmon_eval.instruments.judging import Judge
from harmon_eval.instruments.measure import vqascore
from harmon_eval.instruments.vqascore import RECIPES
from harmon_eval.metrics.floors import LEAST, MOST, at_end
from harmon_eval.replies.probabilities import First, Whole
from harmon_eval.tasks.genai_bench.files import PROMPTS, SKILLS, read_files

from .test_geneval2 import drawn

GREY = np.full((64, 64, 3), 128, np.uint8)


def rows_of(name: str, folder: Path, picture: Any, judge: Any) -> pd.DataFrame:
    task = registry.task(name)
    folder.mkdir(exist_ok=True)
    task.sources["mini"].make(folder)
    answers = []
    for sample in task.samples(Data.at(folder, "mini")):
        file = folder / f"{sample.id}.png"
        Image.fromarray(picture(sample.request.prompt)).save(file)
        answers.append(Answer(sample, file))
    marks = task.mark(answers, {"judge": judge})
    return pd.DataFrame(
        {"group": a.sample.group, "stratum": "", **mark}
        for a, mark in zip(answers, marks, strict=True)
    )


@pytest.mark.parametrize(
    ("recipe", "sure"),
    [
        ("yes_mass", 0.97),
        ("yes_share", 0.97),
        ("clip_flant5", math.sqrt(0.97)),
        ("instructblip", math.sqrt(0.97)),
        ("qwen_vl", 0.97),
        ("gpt4o_3_0", 0.97),
        ("gpt4o_3_1", 0.97),
        ("flow_factory", 0.97),
    ],
)
def test_perfect_pictures_score_what_the_judge_is_sure_of_and_empty_ones_the_rest(
    recipe: str, sure: float, tmp_path: Path
) -> None:
    task = registry.task(f"genai_bench:{recipe}")
    name = f"vqascore_{recipe}[shape-rules-1]"
    best = rows_of(f"genai_bench:{recipe}", tmp_path / "a", drawn, open_instrument())
    assert task.summarize(best)[name] == pytest.approx(sure)
    empty = rows_of(f"genai_bench:{recipe}", tmp_path / "b", lambda _: GREY, open_instrument())
    found = task.summarize(empty)
    assert found[name] == pytest.approx(0.03 if sure == 0.97 else math.sqrt(0.03))
    blind = "a red circle left of a blue ring"  # drawn whatever the prompt says
    rows = rows_of(
        f"genai_bench:{recipe}", tmp_path / "c", lambda _: drawn(blind), open_instrument()
    )
    assert found[name] <= task.summarize(rows)[name] < 0.7 * sure
    assert {"skill/counting", "skill/basic", "skill/spatial relation"} <= found.keys()


def test_all_recipes_have_a_question_with_the_text_as_it_stands() -> None:
    for name, recipe in RECIPES.items():
        asked = recipe.ask('a {red} "dog"', Path("a.png"))
        assert 'Does this figure show "a {red} "dog""? Please answer' in asked.question, name
        assert asked.images == (Path("a.png"),) and asked.kind == recipe.kind
    assert RECIPES["instructblip"].ask("x", None).question.startswith("Question: Does")


def test_the_worked_list_of_tokens() -> None:
    """No .7, Yes .25, no .05: release 3.0 says 0.30, 3.1 and our rules 0.25."""
    top = (("No", 0.7), ("Yes", 0.25), ("no", 0.05))
    two = First((0.25, 0.75), top=top)
    assert RECIPES["gpt4o_3_0"].read(two).value == pytest.approx(0.30)
    assert RECIPES["gpt4o_3_1"].read(two).value == pytest.approx(0.25)
    assert RECIPES["yes_share"].read(two).value == pytest.approx(0.25)
    assert RECIPES["yes_mass"].read(First((0.25,), top=top)).value == pytest.approx(0.25)
    label = Whole(((math.log(0.9),),), (math.log(0.4),))
    assert RECIPES["clip_flant5"].read(label).value == pytest.approx(0.6), "sqrt(P(Yes) P(end))"


def test_bounds_from_what_was_not_seen() -> None:
    """Yes .40, yes .05, No .30, seen .75: [0.45, 0.70]; yes over yes and no [0.45, 0.70] too."""
    mass = RECIPES["yes_mass"].read(First((0.45,), seen=0.75))
    assert (mass.value, mass.least, mass.most) == pytest.approx((0.45, 0.45, 0.70))
    share = RECIPES["yes_share"].read(First((0.45, 0.30), seen=0.75))
    assert (share.value, share.least, share.most) == pytest.approx((0.6, 0.45, 0.70))


@pytest.mark.parametrize(
    ("recipe", "found"),
    [
        ("yes_mass", Whole(((-1.0,),), (-1.0,))),
        ("clip_flant5", First((0.5,))),
        ("clip_flant5", Whole(((-1.0,),), (None,))),
        ("gpt4o_3_0", First((0.5, 0.1))),
        ("yes_share", First((0.0, 0.0), seen=0.4)),
    ],
)
def test_what_a_recipe_cannot_read_is_unscored_never_0(recipe: str, found: Any) -> None:
    with pytest.raises(Unscorable):
        RECIPES[recipe].read(found)


class Sees(Responder):
    """An endpoint that lists a part of its first tokens."""

    name, fingerprint = "sees", "1"

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)

    def score(self, requests: Any) -> Any:
        return [self.replies.pop(0) for _ in requests]


def test_the_headline_has_bounds_where_a_part_was_seen(tmp_path: Path) -> None:
    part, all_of_it = First((0.45,), seen=0.75).written(), First((0.2,)).written()
    judge = Judge(Sees(*[part, all_of_it, OSError("gone")] + [all_of_it] * 37))
    rows = rows_of("genai_bench", tmp_path, lambda prompt: GREY, judge)
    same = rows.iloc[:2]  # equal pictures and other prompts: each asked by itself
    assert same["vqascore"].tolist() == [0.45, 0.2]
    assert "gone" in rows.iloc[2]["unscored"]
    assert at_end(same, MOST)["vqascore"].tolist() == pytest.approx([0.70, 0.2])
    assert at_end(same, LEAST)["vqascore"].tolist() == pytest.approx([0.45, 0.2])


@pytest.mark.parametrize(
    ("prompts", "skills", "message"),
    [
        ([], {}, "must be an object: id"),
        ({"0": {"prompt": "p"}}, {"counting": "0"}, "must be an object: skill"),
        ({"0": {"prompt": "p"}}, {"counting": ["1"]}, "'counting' has '1', which has no prompt"),
        ({"0": {"prompt": "p"}}, {}, "names no prompts"),
        ({"0": {}}, {"counting": ["0"]}, "'prompt' is missing"),
    ],
)
def test_a_flaw_in_the_files_is_named(
    tmp_path: Path, prompts: Any, skills: Any, message: str
) -> None:
    (tmp_path / PROMPTS).write_text(json.dumps(prompts))
    (tmp_path / SKILLS).write_text(json.dumps(skills))
    with pytest.raises(UserError, match=message):
        read_files(tmp_path)


def test_each_prompt_counts_once_in_the_headline_however_many_skills_it_has() -> None:
    task = registry.task("genai_bench")
    rows = pd.DataFrame(
        [
            {"judge": "j", "vqascore": 1.0, "skill:counting": True, "skill:negation": True},
            {"judge": "j", "vqascore": 0.0, "skill:counting": True},
        ]
    )
    found = task.summarize(rows)
    assert found == {"vqascore_yes_mass[j]": 0.5, "skill/counting": 0.5, "skill/negation": 1.0}


def test_a_trainer_gets_the_score_of_any_prompt() -> None:
    reward = registry.task("genai_bench").reward
    assert reward is not None and reward.target is not None
    assert reward.target("a {cat}", {}) == {"prompt": "a {cat}", "skills": []}
    assert reward.scores({"judge": "j", "vqascore": 0.25}) == {"vqascore": 0.25}


def nowhere(weights: Any) -> Path:
    raise InstrumentMissing("no weights are needed")


def test_as_a_measure_of_any_image_and_text() -> None:
    prompt = "a red circle left of a blue ring"
    images = [Image.fromarray(drawn(prompt)), Image.fromarray(GREY), Image.fromarray(GREY)]
    for recipe, sure in (("yes_mass", 0.97), ("gpt4o_3_0", 0.97), ("instructblip", 0.97**0.5)):
        measure = registry.instrument("measure", f"vqascore:rules?recipe={recipe}", nowhere)
        found = measure.measure(images, [prompt, prompt, " "])
        assert found[0] == pytest.approx(sure) and found[1] < 0.2
        assert isinstance(found[2], Unscorable)
        assert measure.name == f"vqascore-{recipe},shape-rules-1"
    with pytest.raises(UserError, match="recipe=best: give one of yes_mass"):
        registry.instrument("measure", "vqascore:rules?recipe=best", nowhere)
    with pytest.raises(InstrumentMissing, match="needs a judge that gives probabilities"):
        registry.instrument("measure", "vqascore", nowhere)


def test_clip_flant5_sees_a_square_with_the_mean_colour() -> None:
    wide = vqascore.padded(Image.new("RGB", (4, 2), "white"))
    assert wide.size == (4, 4)
    assert [wide.getpixel((0, y)) for y in range(4)] == [
        vqascore.MEAN_COLOR,
        (255,) * 3,
        (255,) * 3,
        vqascore.MEAN_COLOR,
    ]
