"""SEED-Bench: the image part of the file, averages, and the prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import Answer, Data, UserError
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.suites import load
from harmon_eval.tasks.seed.task import TASK, summarize


def entry(number: Any, kind: int = 1, **changes: Any) -> dict[str, Any]:
    choices = {f"choice_{letter}": text for letter, text in zip("abcd", "wxyz", strict=True)}
    return {
        "question_id": str(number),
        "question_type_id": kind,
        "data_type": "image",
        "data_id": "1",
        "question": "Which?",
        **choices,
        "answer": "B",
        **changes,
    }


def write(folder: Path, entries: Any) -> None:
    (folder / "SEED-Bench-image").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(folder / "SEED-Bench-image" / "1", "PNG")
    (folder / "SEED-Bench.json").write_text(json.dumps({"questions": entries}))


def test_videos_are_no_part_of_it(data_at: Any, tmp_path: Path) -> None:
    write(tmp_path, [entry(1), entry("v2", 10, data_type="video")])
    (sample,) = TASK.samples(data_at())
    assert sample.request.question == (
        "Which?\nA. w\nB. x\nC. y\nD. z\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert (sample.group, sample.target["dimension"]) == ("1", "Scene Understanding")


def test_lmms_eval_asks_this_benchmark_in_llavas_words(
    data_at: Any, tmp_path: Path
) -> None:  # seed.md, 3
    write(tmp_path, [entry(1)])
    asked = {
        name: next(iter(registry.task(f"seed:{name}").samples(data_at()))).request.question
        for name in ("llava", "lmms-eval", "janus")
    }
    assert asked["lmms-eval"] == asked["llava"]
    assert asked["janus"].startswith("\nWhich?\nA. w\n") and "\nD. z\n\nAnswer" in asked["janus"]


def test_averages_over_questions_and_over_dimensions() -> None:  # seed.md, E2
    kinds = ["Scene Understanding"] * 3 + ["Text Recognition"]
    rows = pd.DataFrame(
        {
            "dimension": kinds,
            "correct": [1, 1, 0, 0],
            "unmatched": False,
            "first-char": 0,
            "llava-exact": 0,
            "whole-letter": 0,
        }
    )
    found = summarize(rows)
    assert found["seed_image"] == 50
    assert found["macro_dimensions"] == pytest.approx(33.3333, abs=1e-4)


def test_an_unmatched_reply_is_wrong_counted_and_never_a_random_letter(
    data_at: Any, tmp_path: Path, marked: Any
) -> None:
    write(tmp_path, [entry(1), entry(2)])
    samples = list(TASK.samples(data_at()))
    found = summarize(marked(TASK, samples, lambda s: "B" if s.id == "1" else "hm"))
    assert (found["seed_image"], found["unmatched"]) == (50, 1)
    assert found["seed_image[random-letter]"] == pytest.approx(60)  # four letters and Z


def test_repeated_questions_are_refused(tmp_path: Path) -> None:  # E3
    write(tmp_path, [entry(1), entry(1)])
    with pytest.raises(UserError, match="two samples with the id '1'"):
        prepare("seed", TASK, load("mini", tmp_path), RunSettings())


def test_what_is_wrong_with_the_file_is_said(data_at: Any, tmp_path: Path) -> None:
    write(tmp_path, [entry(1, choice_c=None)])
    with pytest.raises(UserError, match="question 1: the field 'choice_c' is missing"):
        list(TASK.samples(data_at()))
    write(tmp_path, [entry(1, data_id="../../etc/passwd")])
    with pytest.raises(UserError, match="is missing: put it into"):
        list(TASK.samples(data_at()))
    write(tmp_path, [entry(1)])
    with pytest.raises(UserError, match="has 1 image questions"):
        list(TASK.samples(data_at(suite="official")))


def test_the_letter_of_a_word_is_one_to_vlmevalkit_and_none_to_our_rule(
    data_at: Any, tmp_path: Path, marked: Any
) -> None:
    write(tmp_path, [entry(1)])
    samples = list(TASK.samples(data_at()))
    right = samples[0].target["answer"]
    word = {"A": "apple", "B": "blue", "C": "clear", "D": "dark"}[right]
    found = summarize(marked(TASK, samples, lambda s: f"The answer is {word}"))
    assert (found["seed_image"], found["seed_image[whole-letter]"]) == (100, 0)


def test_ranking_by_likelihood_takes_the_likeliest_option(tmp_path: Path) -> None:
    """Three options; the first is likeliest by the sum, the last by the mean of its tokens."""
    from harmon_eval.replies.probabilities import Whole

    task = registry.task("seed:likelihood")
    folder = tmp_path / "seed"
    folder.mkdir()
    task.sources["mini"].make(folder)
    sample = next(iter(task.samples(Data.at(folder, "mini"))))
    assert sample.request.verb == "score" and sample.request.kind == "whole"
    letters = list(sample.target["options"])
    short, long = ((-1.0,), -0.5), ((-0.6, -0.6, -0.6), -0.6)
    options = [short] * (len(letters) - 1) + [long]
    reply = Whole(tuple(own for own, _ in options), tuple(end for _, end in options)).written()
    (row,) = task.mark([Answer(sample, reply)], {})
    assert row["parsed"] == letters[-1], "-0.6 a token against -0.75"
    assert row["mean"] == (sample.target["answer"] == letters[-1])
    assert row["sum"] == (sample.target["answer"] == letters[0]), "-1.5 against -2.4"
    (row,) = task.mark([Answer(sample, "A")], {})
    assert "no probabilities" in row["unscored"]


def test_the_bundled_model_ranks_options(tmp_path: Path) -> None:
    """From the command line, end to end; letters and likelihood never share a column."""
    from harmon_eval import cli

    out = tmp_path / "run"
    assert cli.main(["--tasks", "seed:likelihood", "--limit", "4", "--output", str(out)]) == 0
    (file,) = out.glob("*/metrics.json")
    metrics = json.loads(file.read_text())["metrics"]
    assert 0 <= metrics["seed_image_likelihood"] <= 100 and "seed_image" not in metrics
