"""LongText-Bench and the OCR reward: the mini pages, texts by hand, flaws, the folder layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import Answer, Data, Sample, Unscorable, UserError
from harmon_eval.instruments.reader.mini import PageReader
from harmon_eval.instruments.reader.rapidocr import open_instrument
from harmon_eval.suites.mini.pages import page
from harmon_eval.tasks.longtext.files import FILES, read_prompts
from harmon_eval.tasks.longtext.task import image_row

TASKS = ("longtext", "longtext:zh", "ocr")
GREY = np.full((64, 64, 3), 128, np.uint8)


def wanted(sample: Sample) -> list[str]:
    return sample.target.get("texts") or [sample.target["text"]]


def answered(name: str, folder: Path, picture: Callable[[Sample], np.ndarray]) -> list[Answer]:
    task = registry.task(name)
    task.sources["mini"].make(folder)
    answers = []
    for number, sample in enumerate(task.samples(Data.at(folder, "mini", images_per_prompt=1))):
        file = folder / f"{number}.png"
        Image.fromarray(picture(sample)).save(file)
        answers.append(Answer(sample, file))
    return answers


def metrics_of(name: str, answers: list[Answer], reader: Any) -> dict[str, float]:
    task = registry.task(name)
    marks = task.mark(answers, {"reader": reader})
    rows = pd.DataFrame(
        {"group": a.sample.group, "stratum": "", **mark}
        for a, mark in zip(answers, marks, strict=True)
    )
    return {key.partition("[")[0]: value for key, value in task.summarize(rows).items()}


@pytest.mark.parametrize("name", TASKS)
def test_perfect_pages_score_1_empty_ones_0_and_one_page_for_all_little(
    name: str, tmp_path: Path
) -> None:
    for kind in ("perfect", "empty", "blind"):
        (tmp_path / kind).mkdir()
    reader = PageReader()
    best = metrics_of(name, answered(name, tmp_path / "perfect", lambda s: page(wanted(s))), reader)
    assert set(best.values()) == {1.0}
    empty = metrics_of(name, answered(name, tmp_path / "empty", lambda _: GREY), reader)
    assert set(empty.values()) == {0.0}
    # A model that does not look at its prompt always writes the same words.
    same = page(["十日"] if name.endswith("zh") else ["Open all day"])
    blind = metrics_of(name, answered(name, tmp_path / "blind", lambda _: same), reader)
    headline = next(iter(best))
    assert 0 < blind[headline] < 0.5 and blind["exact"] < 0.2


def test_rapidocr_reads_the_perfect_pages(tmp_path: Path) -> None:
    answers = answered("longtext", tmp_path, lambda s: page(wanted(s)))[:6]
    found = metrics_of("longtext", answers, open_instrument())
    assert found["longtext_en"] > 0.9 and found["text_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("language", "texts", "read", "matched", "words"),
    [
        # Words match as often as they occur, in any order; case and line breaks are of no account.
        ("en", ["Open all", "day, all"], "DAY all\nopen", 3, 4),
        ("en", ["Open"], "", 0, 1),
        ("en", ["one"], "one one one", 1, 1),
        ("zh", ["日日田"], "田 日\n山", 2, 3),
    ],
)
def test_words_by_hand(language: str, texts: Any, read: str, matched: int, words: int) -> None:
    target = {"texts": texts, "language": language, "category": "", "length": ""}
    row = image_row(Sample("0", None, target, "0"), read)  # type: ignore[arg-type]
    assert (row["matched"], row["words"]) == (matched, words)


def test_the_total_is_over_all_words_not_a_mean_of_images() -> None:
    task = registry.task("longtext")
    rows = pd.DataFrame(
        {
            "reader": "r",
            "text_accuracy": 0.5,
            "exact": 0.0,
            "category": c,
            "length": "",
            "matched": m,
            "words": w,
        }
        for m, w, c in ((9, 10, "a"), (0, 2, "b"))
    )
    found = task.summarize(rows)
    assert found["longtext_en[r]"] == pytest.approx(9 / 12)
    assert (found["category/a"], found["category/b"]) == (0.9, 0.0)
    two = rows.assign(reader=["r", "s"])
    with pytest.raises(UserError, match="several readers"):
        task.summarize(two)


def test_rewards_by_hand(tmp_path: Path) -> None:
    """Of the specification: one letter of five wrong 0.8, something else 0, contained 1."""
    (tmp_path / "test.txt").write_text('a sign "Hello"\n\na sign "Hi"\n')
    task = registry.task("ocr")
    first, second = task.samples(Data.at(tmp_path, images_per_prompt=1))
    files = [tmp_path / "a.png"] * 3
    Image.fromarray(GREY).save(files[0])

    class Says:
        name = "says"

        def read(self, files: Any) -> list[Any]:
            return ["Hellp", "completely different", Unscorable("no picture")]

    answers = [Answer(s, f) for s, f in zip((first, second, first), files, strict=True)]
    rows = task.mark(answers, {"reader": Says()})
    assert [row.get("ocr_reward") for row in rows] == [pytest.approx(0.8), 0.0, None]
    assert rows[2] == {"unscored": "no picture"}
    assert task.bounds and [row["ocr_reward"] for row in task.bounds(first)] == [0.0, 1.0]


def test_a_prompt_that_asks_for_no_text_is_refused_and_gets_no_0(tmp_path: Path) -> None:
    task = registry.task("ocr")
    (tmp_path / "test.txt").write_text('a sign "Hello"\na cat\n')
    with pytest.raises(UserError, match="line 2: the prompt 'a cat' has no text in quotation"):
        list(task.samples(Data.at(tmp_path)))
    assert task.reward and task.reward.target
    assert task.reward.target("a sign 'Hi'", {}) == {"text": "Hi"}
    for prompt in ("a cat", '""'):
        with pytest.raises(Unscorable, match="no text in quotation marks"):
            task.reward.target(prompt, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "Open"}, "line 2: 'text' must be a list"),
        ({"text": []}, "line 2: 'text' must be a list"),
        ({"prompt_id": 0}, "line 2: prompt_id 0 occurs twice"),
        ({"prompt_id": "x"}, "'prompt_id' must be a whole number"),
        ({"prompt": None}, "'prompt' is missing"),
    ],
)
def test_a_flaw_in_the_file_is_named(tmp_path: Path, change: Any, message: str) -> None:
    line = {"prompt_id": 0, "prompt": "p", "text": ["Open"]}
    lines = [line, {**line, "prompt_id": 1, **change}]
    (tmp_path / FILES["en"]).write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UserError, match=message):
        read_prompts(tmp_path / FILES["en"])


def test_the_published_folder_is_read_and_written(tmp_path: Path) -> None:
    task = registry.task("longtext")
    assert task.layout and task.published
    for name in ("0000_1.png", "0003_4.png", "0007.png", "note.png"):
        Image.fromarray(GREY).save(tmp_path / name)
    found = {drawn.file.name: drawn.sample for drawn in task.layout(tmp_path) or ()}
    assert found == {"0000_1.png": "0000/0000", "0003_4.png": "0003/0003", "0007.png": "0007/0000"}
    sample = Sample("0003/0003", None, {}, "0003")  # type: ignore[arg-type]
    assert list(task.published([Answer(sample, tmp_path / "0003_4.png")])) == ["0003_4.png"]


def test_what_trainers_get_for_an_image() -> None:
    ocr, longtext = registry.task("ocr").reward, registry.task("longtext").reward
    assert ocr and ocr.target and longtext
    assert ocr.target("a 'Hi' sign", {}) == {"text": "Hi"}
    row = {"text_accuracy": 0.5, "exact": 0.0}
    assert next(iter(ocr.scores({**row, "ocr_reward": 0.8}).items())) == ("ocr_reward", 0.8)
    assert longtext.scores({**row, "matched": 3, "words": 4})["longtext"] == 0.75
