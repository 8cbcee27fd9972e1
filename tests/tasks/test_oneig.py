"""OneIG-Bench: its files, three parts on the mini suite, scores by hand, black tiles, layout."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import Answer, Data, Sample, UserError
from harmon_eval.instruments.dino.mini import open_instrument as open_dino
from harmon_eval.instruments.judge.rules import open_instrument as open_judge
from harmon_eval.instruments.reader.mini import PageReader
from harmon_eval.suites.mini.pages import page
from harmon_eval.tasks.oneig import diversity, text
from harmon_eval.tasks.oneig.files import read_prompts, read_questions

from .test_checklist import drawn

GREY = np.full((64, 64, 3), 128, np.uint8)
INSTRUMENTS = {"judge": open_judge, "reader": PageReader, "dino": open_dino}


def rows_of(name: str, folder: Path, picture: Callable[[Sample], np.ndarray]) -> pd.DataFrame:
    task = registry.task(name)
    folder.mkdir()
    task.sources["mini"].make(folder)
    answers = []
    for number, sample in enumerate(task.samples(Data.at(folder, "mini"))):
        file = folder / f"{number}.png"
        Image.fromarray(picture(sample)).save(file)
        answers.append(Answer(sample, file))
    marks = task.mark(answers, {role: INSTRUMENTS[role]() for role in task.instruments})
    return pd.DataFrame(
        {"group": a.sample.group, "stratum": "", **mark}
        for a, mark in zip(answers, marks, strict=True)
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_perfect_pictures_of_the_alignment_part_score_100(language: str, tmp_path: Path) -> None:
    name = f"oneig:alignment+{language}"
    best = rows_of(name, tmp_path / "a", lambda s: drawn(s.request.prompt))
    summarize = registry.task(name).summarize
    headline = f"oneig_alignment_{language}[shape-rules-1]"
    assert summarize(best)[headline] == 100.0
    assert {"class/anime", "class/human", "class/object"} <= summarize(best).keys()
    empty = rows_of(name, tmp_path / "b", lambda _: GREY)
    assert summarize(empty)[headline] < 30, "only its background is right"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_written_pages_are_read_and_empty_ones_score_nothing(language: str, tmp_path: Path) -> None:
    name = f"oneig:text+{language}"

    def written(sample: Sample) -> np.ndarray:
        return page(ast.literal_eval(sample.target["text"]))

    best = rows_of(name, tmp_path / "a", written)
    found = registry.task(name).summarize(best)
    assert found[f"oneig_text_{language}[page-reader-1]"] == 1.0
    assert found["completed[page-reader-1]"] == 1.0 and found["edit_distance[page-reader-1]"] == 0
    empty = registry.task(name).summarize(rows_of(name, tmp_path / "b", lambda _: GREY))
    assert empty["completed[page-reader-1]"] == empty["word_accuracy[page-reader-1]"] == 0.0
    blind = rows_of(name, tmp_path / "c", lambda _: page(["all day"]))
    assert registry.task(name).summarize(blind)["completed[page-reader-1]"] == 0.0


def test_the_text_score_is_a_product_so_one_good_factor_hides_the_rest() -> None:
    """ED 2, CR 1/2, WAC 3/4: 1 - 2 x 1/2 x 1/4 / 100 in English, / 50 in Chinese."""
    rows = pd.DataFrame(
        {
            "reader": "r",
            "edit_distance": d,
            "completed": c,
            "matched": m,
            "words": 2,
            "text_accuracy": 0.5,
        }
        for d, c, m in ((0, 1.0, 2), (4, 0.0, 1))
    )
    assert text.summarize(rows, "en")["oneig_text_en[r]"] == pytest.approx(0.9975)
    assert text.summarize(rows, "zh")["oneig_text_zh[r]"] == pytest.approx(0.995)
    far = rows.assign(edit_distance=1000, completed=0.0, matched=0)
    assert text.summarize(far, "en")["oneig_text_en[r]"] == 0.0, "the distance is cut at M"


def test_equal_drawings_have_no_diversity_and_others_do(tmp_path: Path) -> None:
    same = rows_of(
        "oneig:diversity", tmp_path / "a", lambda s: drawn("a red circle and a blue ring")
    )
    name = "oneig_diversity_en[1-cos "
    task = registry.task("oneig:diversity")
    (headline, value), *_ = task.summarize(same).items()
    assert headline.startswith(name) and value == pytest.approx(0.0, abs=1e-9)

    def varied(sample: Sample) -> np.ndarray:
        return np.roll(drawn("a red circle and a blue ring"), 9 * sample.request.index, axis=1)

    assert (
        next(iter(task.summarize(rows_of("oneig:diversity", tmp_path / "b", varied)).values())) > 0
    )


def test_diversity_by_hand() -> None:
    """Vectors at 0, 90 and 180 degrees: pairs 1, 2 and 1; a prompt with one image is left out."""
    vectors = [("a", [1.0, 0.0]), ("a", [0.0, 1.0]), ("a", [-1.0, 0.0]), ("b", [1.0, 0.0])]
    rows = pd.DataFrame(
        {"group": g, "network": "n", "class": "anime", "vector": v} for g, v in vectors
    )
    found = diversity.summarize(rows, "en")
    assert found["oneig_diversity_en[1-cos n]"] == pytest.approx(4 / 3)
    marks, weights = diversity._share(rows, "")
    assert 2 * marks.sum() / weights.sum() == pytest.approx(4 / 3)
    assert "oneig_diversity_en[1-cos n]" not in diversity.summarize(rows[3:], "en")


def test_black_images_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = rows_of(
        "oneig:text",
        tmp_path / "a",
        lambda s: (
            np.zeros_like(GREY) if s.request.index else page(ast.literal_eval(s.target["text"]))
        ),
    )
    assert (rows["unscored"].dropna() == "all black: OneIG-Bench leaves such images out").all()
    assert rows["unscored"].notna().sum() == 3 * rows["group"].nunique()
    scored = rows[rows["unscored"].isna()]
    assert text.summarize(scored, "en")["oneig_text_en[page-reader-1]"] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dependency": "{}"}, "must have the same numbers"),
        ({"question": "no JSON"}, "must be objects by number"),
        ({"dependency": '{"1": 0}'}, "question 1: its dependency must be a list"),
    ],
)
def test_a_flaw_in_the_questions_is_named(tmp_path: Path, change: Any, message: str) -> None:
    entry = {"question": '{"1": "Is it?"}', "dependency": '{"1": [0]}', **change}
    (tmp_path / "Q_D").mkdir()
    (tmp_path / "Q_D" / "human.json").write_text(json.dumps({"007": entry}))
    with pytest.raises(UserError, match=f"human.json, 007.*{message}"):
        read_questions(tmp_path, "human", "en")
    with pytest.raises(UserError, match=r"put scripts/alignment/Q_D/anime.json"):
        read_questions(tmp_path, "anime", "en")


def test_prompts_of_the_repository_and_questions_without_one(tmp_path: Path) -> None:
    place = tmp_path / "scripts" / "alignment" / "Q_D"
    place.mkdir(parents=True)
    head = "category,id,prompt_en,type,prompt_length,class\n"
    (tmp_path / "OneIG-Bench.csv").write_text(head + 'Portrait,007,"a man, a dog",NP,short,None\n')
    assert read_prompts(tmp_path, "en")["human-007"].text == "a man, a dog"
    entry = {"question": {"1": "Is it?"}, "dependency": {"1": [0]}}
    for cls in ("anime", "human", "object"):
        (place / f"{cls}.json").write_text(json.dumps({} if cls != "human" else {"008": entry}))
    with pytest.raises(UserError, match="the questions of human 008 have no prompt"):
        list(registry.task("oneig").samples(Data.at(tmp_path)))
    (tmp_path / "OneIG-Bench.csv").write_text(head + "Portraits,007,a man,NP,short,None\n")
    with pytest.raises(UserError, match="row 2: 'Portraits' is none of"):
        read_prompts(tmp_path, "en")


def test_the_published_folder_of_grids_is_read(tmp_path: Path) -> None:
    layout = registry.task("oneig").layout
    assert layout and layout(tmp_path) is None
    (tmp_path / "human" / "mine").mkdir(parents=True)
    Image.fromarray(GREY).save(tmp_path / "human" / "mine" / "007.webp")
    (drawn_,) = layout(tmp_path) or ()
    assert (drawn_.sample, drawn_.grid) == ("human-007/0000", True)
    (tmp_path / "human" / "other").mkdir()
    assert layout(tmp_path) is None, "of two models nobody knows which is meant"
