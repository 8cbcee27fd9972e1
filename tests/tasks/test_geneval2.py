"""GenEval 2: Soft-TIFA on the mini suite, worked examples, replies without probabilities."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import Answer, Data, Responder, Sample, UserError
from harmon_eval.instruments.judge.rules import open_instrument
from harmon_eval.instruments.judging import Judge
from harmon_eval.replies.probabilities import First
from harmon_eval.suites.mini.language import NUMBERS, plural
from harmon_eval.suites.mini.scenes import SHAPES, Item, Scene, render
from harmon_eval.tasks.geneval2.files import read_prompts
from harmon_eval.tasks.geneval2.rules import image_row, summarize
from harmon_eval.tasks.geneval2.task import judged

PLACES = ((16, 16), (48, 16), (16, 48), (48, 48))
SIDES = {
    "left of": ((16, 32), (48, 32)),
    "right of": ((48, 32), (16, 32)),
    "above": ((32, 14), (32, 50)),
    "below": ((32, 50), (32, 14)),
}
SINGULAR = {plural(name): name for name in SHAPES}


def drawn(prompt: str) -> np.ndarray:
    number, color, name = prompt.split()[:3]
    if name in SINGULAR:
        places = PLACES[: NUMBERS.index(number)]
        return render(Scene(tuple(Item(SINGULAR[name], color, x, y, 9.5) for x, y in places)))
    (c1, s1), (c2, s2) = re.findall(r"\ban? (\w+) (\w+)", prompt)
    a, b = next(places for word, places in SIDES.items() if word in prompt)
    return render(Scene((Item(s1, c1, *a, 9.5), Item(s2, c2, *b, 9.5))))


def marked(folder: Path, picture: Any, judge: Any) -> dict[str, float]:
    task = registry.task("geneval2")
    task.sources["mini"].make(folder)
    answers, rows = [], []
    for sample in task.samples(Data.at(folder, "mini")):
        file = folder / f"{sample.id}.png"
        Image.fromarray(picture(sample.request.prompt)).save(file)
        answers.append(Answer(sample, file))
    for answer, mark in zip(answers, task.mark(answers, {"judge": judge}), strict=True):
        rows.append({"group": answer.sample.group, "stratum": "", **mark})
    return task.summarize(pd.DataFrame(rows))


def test_perfect_pictures_score_what_the_judge_is_sure_of_and_empty_ones_the_rest(
    tmp_path: Path,
) -> None:
    best = marked(tmp_path, drawn, open_instrument())
    assert best["soft_tifa_gm[shape-rules-1]"] == pytest.approx(97.0)
    assert best["tifa[shape-rules-1]"] == 100.0
    assert best["vqascore_yes_mass[shape-rules-1]"] == pytest.approx(97.0)
    assert {n for n in best if n.startswith(("skill", "atoms"))} == {
        "skill/object",
        "skill/count",
        "skill/attribute",
        "skill/position",
        "atoms/3",
        "atoms/5",
    }
    empty = marked(tmp_path, lambda _: np.full((64, 64, 3), 128, np.uint8), open_instrument())
    assert empty["soft_tifa_gm[shape-rules-1]"] == pytest.approx(3.0)
    assert empty["tifa[shape-rules-1]"] == 0.0


def sample(skills: list[str], atoms: int = 3) -> Sample:
    asked = {"questions": ["?"] * len(skills), "answers": ["Yes"] * len(skills)}
    target = {**asked, "skills": skills, "atoms": atoms, "prompt": "a {red} dog"}
    return Sample("0", None, target, "0")  # type: ignore[arg-type]


def test_the_worked_example_two_prompts_and_their_skills() -> None:
    rows = [
        {"judge": "j", **image_row(sample(["object", "count"]), [0.8, 0.2, 1.0], [True, False])},
        {"judge": "j", **image_row(sample(["object"]), [0.4, 0.0], [False])},
    ]
    found = summarize(pd.DataFrame(rows))
    assert found["skill/object"] == pytest.approx(60.0)
    assert found["skill/count"] == pytest.approx(20.0)
    assert found["soft_tifa_am[j]"] == pytest.approx(45.0)
    assert image_row(sample(["a"] * 4), [1, 0, 1, 1, 1], [True] * 4)["gm"] == 0
    assert image_row(sample(["a"] * 4), [1, 0, 1, 1, 1], [True] * 4)["am"] == 0.75


def test_a_bare_space_counts_for_a_number_only_as_published(tmp_path: Path) -> None:
    own = sample(["count"])
    own.target["answers"][0] = "three"  # type: ignore[index]
    ours, whole = judged(own, None, False)
    published, _ = judged(own, None, True)
    assert " " not in ours.options[0] and " " in published.options[0]
    assert "3" in ours.options[0] and 'show "a {red} dog"?' in whole.question


class Scores(Responder):
    name = "scores"

    def __init__(self, reply: str) -> None:
        self.reply = reply

    def score(self, requests: Any) -> Any:
        return [self.reply for _ in requests]


def test_without_probabilities_an_image_is_unscored_and_never_0(tmp_path: Path) -> None:
    task = registry.task("geneval2")
    task.sources["mini"].make(tmp_path)
    first = next(iter(task.samples(Data.at(tmp_path, "mini"))))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    answer = Answer(first, tmp_path / "a.png")
    (row,) = task.mark([answer], {"judge": Judge(Scores("Yes"))})
    assert "no probabilities" in row["unscored"]
    partial = Judge(Scores(First((0.45,), seen=0.75, likeliest="Yes").written()))
    (row,) = task.mark([answer], {"judge": partial})
    assert row["seen"] == 0.75 and row["am"] == pytest.approx(0.45)
    assert row["most:am"] == row["most:gm"] == row["most:vqascore"] == pytest.approx(0.7)
    blind = Judge(Responder())
    with pytest.raises(UserError, match="gives no probabilities"):
        task.mark([answer], {"judge": blind})


@pytest.mark.parametrize(
    "change",
    [
        {"vqa_list": []},
        {"skills": ["object"]},
        {"vqa_list": [["a"]] * 3},
        {"atom_count": "x"},
        {"prompt": None},
    ],
)
def test_a_flaw_in_the_file_is_named(tmp_path: Path, change: Any) -> None:
    line = {
        "prompt": "p",
        "atom_count": 3,
        "vqa_list": [["Is it?", "Yes"]] * 3,
        "skills": ["object"] * 3,
    }
    (tmp_path / "a.jsonl").write_text(json.dumps({**line, **change}))
    with pytest.raises(UserError, match="line 1"):
        read_prompts(tmp_path / "a.jsonl")
