"""WISE's two editions by their protocols: replies, categories, totals, files; the mini judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval.core import Answer, Ask, Responder, UserError
from harmon_eval.instruments.judge.rules import RuleJudge
from harmon_eval.instruments.judging import Judge, judge_of
from harmon_eval.registry import task
from harmon_eval.running.jobs import Job
from harmon_eval.running.results import assumed, score_bounds
from harmon_eval.suites.mini.language import VOCABULARY
from harmon_eval.suites.mini.scenes import COLORS, SHAPES, compose, render
from harmon_eval.tasks.wise import rules as wise
from harmon_eval.tasks.wise.mini import make, records
from harmon_eval.tasks.wise.rules import LEGACY, VERIFIED, parse_legacy, parse_verified, wiscore


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        ("Consistency: 2\nRealism: 1\nAesthetic Quality: 0", (2, 1, 0)),
        ("**Consistency**: 2\n**Realism**: 1\n**Aesthetic Quality**: 0", (2, 1, 0)),
        ("**Consistency:** 2\n**Realism:** 1\n**Aesthetic Quality:** 0", (2, 1, 0)),
        ("Consistency (0-2): 2\nRealism: 1", None),
        ("2\n1\n0", (2, 1, 0)),
        ("2\n1", None),
        ("Consistency: 2/2\nRealism 1\naesthetic quality:0", (2, 1, 0)),
        ("Consistency：2\nRealism：1\nAesthetic Quality：0", (2, 1, 0)),
        ("Consistency: 1\nConsistency: 2\nRealism: 1\nAesthetic Quality: 0", (2, 1, 0)),
        ("Consistency: 2\nRealism: 1.5\nAesthetic Quality: 0", None),
        ("Consistency - 2\nRealism - 1\nAesthetic Quality - 0", (2, 1, 0)),
        ("| Consistency | 2 |\n| Realism | 1 |\n| Aesthetic Quality | 0 |", (2, 1, 0)),
        ("", None),
    ],
)
def test_replies_of_the_legacy_edition(reply: str, scores: tuple[Any, ...] | None) -> None:
    found = parse_legacy(reply)
    assert (tuple(found[name] for name in wise.SCORES) if found else None) == scores


def test_a_score_beyond_2_is_no_score() -> None:
    assert parse_legacy("Consistency: 5\nRealism: 10\nAesthetic Quality: 2") is None


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        *((text, 1) for text in ("Score: 1", "**Score**: 1", "score 1", "1", "Score: 1.0")),
        *((text, None) for text in ("Score: 0.5", "Score: 2", "Score: 10", "Score: 10\n1", "1\n0")),
        *((text, 1) for text in ("**Score:** 1", "Final score is 1", "WiScore: 0 ... Score: 1")),
        ("<think>Score: 0?</think>\nScore: 1", 1),
        ("</think>Score: 1", 1),
        ("", None),
    ],
)
def test_replies_of_the_verified_edition(reply: Any, score: Any) -> None:
    assert parse_verified(reply) == score


@pytest.mark.parametrize(
    ("scores", "value"), [((2, 1, 0), 0.8), ((1, 1, 1), 0.5), ((0, 2, 2), 0.3), ((2, 2, 2), 1.0)]
)
def test_wiscore_as_worked_in_the_specification(scores: tuple[Any, ...], value: float) -> None:
    assert wiscore(*scores) == value


def frame(values: Any, column: Any, judge: str = "gpt-4o", total: int = 6) -> Any:
    rows = [{"category": c, column: v} for c, v in zip(wise.CATEGORIES, values, strict=False)]
    return pd.DataFrame(rows).assign(judge=judge, total=total)


def test_the_published_rows_of_harmon_and_bagel() -> None:
    harmon = frame((0.38, 0.48, 0.52, 0.37, 0.44, 0.29), "wiscore")
    found = wise.totals(harmon, "wiscore", LEGACY, "wiscore")
    assert found["wiscore[gpt-4o]"] == pytest.approx(0.41132)
    bagel = frame((0.44, 0.55, 0.68, 0.44, 0.60, 0.39), "wiscore")
    found = wise.totals(bagel, "wiscore", LEGACY, "wiscore")
    assert round(found["wiscore[gpt-4o]"], 2) == 0.50
    assert round(found["unweighted_mean[gpt-4o]"], 2) == 0.52


def test_a_missing_category_leaves_no_total_but_a_lower_bound() -> None:
    found = wise.totals(frame((1.0, 0.5), "score"), "score", VERIFIED, "verified_score")
    assert found == {"as_zero[gpt-4o]": 0.25, "culture": 1.0, "time": 0.5}


def test_weights_are_the_sizes_of_the_categories_and_ids_alone_decide() -> None:
    assert list(LEGACY.weights.values()) == [0.4, 0.167, 0.133, 0.1, 0.1, 0.1]
    assert list(VERIFIED.weights.values()) == [0.4, 0.12, 0.12, 0.12, 0.12, 0.12]
    legacy = {
        1: "culture",
        400: "culture",
        401: "time",
        567: "time",
        568: "space",
        700: "space",
        701: "biology",
        801: "physics",
        901: "chemistry",
        1000: "chemistry",
    }
    assert {number: LEGACY.category(number) for number in legacy} == legacy
    assert [VERIFIED.category(n) for n in (520, 521, 640, 641, 760, 761, 880, 881)] == [
        "time",
        "space",
        "space",
        "biology",
        "biology",
        "physics",
        "physics",
        "chemistry",
    ]


# -- files ---------------------------------------------------------------------------------------


def test_images_lie_where_wise_expects_them_and_the_explanation_is_the_judges_alone(
    tmp_path: Path,
) -> None:
    make(tmp_path)
    found = list(wise.samples(tmp_path, LEGACY))
    first = found[0]
    assert (len(found), first.id, first.stratum) == (80, "1", "culture")
    assert first.target["Explanation"] not in first.request.prompt
    (ask,) = wise.judged(first, Path("1.png"))
    assert f'PROMPT: "{first.target["Prompt"]}"' in ask.question
    assert f'EXPLANATION: "{first.target["Explanation"]}"' in ask.question
    assert (ask.max_new_tokens, ask.images) == (2000, (Path("1.png"),))


def test_the_prompts_of_the_mini_editions_are_words_the_model_knows_and_differ() -> None:
    words = set(VOCABULARY) | {","}
    prompts = [[r["Prompt"] for r in records(e, s)] for e, s in ((LEGACY, 1000), (VERIFIED, 2000))]
    assert all(set(p.replace(",", " ,").split()) <= words for own in prompts for p in own)
    assert prompts[0] != prompts[1]


def test_a_rubric_of_ones_own_is_used_raw_and_changes_the_data(tmp_path: Path) -> None:
    make(tmp_path)
    ours = next(iter(wise.samples(tmp_path, LEGACY)))
    (tmp_path / "rubric.txt").write_text('{explanation}|{prompt}|{"x": 1}')
    theirs = next(iter(wise.samples(tmp_path, LEGACY)))
    assert theirs.target["question"].endswith('|{"x": 1}')
    assert ours.target["rubric"] != theirs.target["rubric"]
    assert wise.filled("{prompt} {explanation}", "{explanation}", "b") == "{explanation} b"
    (tmp_path / "rubric.txt").write_text("{prompt} only")
    with pytest.raises(UserError, match=r"lacks \{explanation\}"):
        list(wise.samples(tmp_path, LEGACY))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt_id": "7"}, "record 1: needs 'prompt_id', int"),
        ({"Explanation": None}, "record 1: needs 'Explanation', str"),
        ({"prompt_id": 1001}, "must be 1 to 1000"),
        ({"prompt_id": 2}, "must not repeat"),
    ],
)
def test_a_flaw_in_the_files_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    make(tmp_path)
    file = tmp_path / LEGACY.files[0]
    data = json.loads(file.read_text())
    file.write_text(json.dumps([{**data[0], **change}, *data[1:]]))
    with pytest.raises(UserError, match=words):
        wise.read_records(tmp_path, LEGACY)
    file.unlink()
    with pytest.raises(UserError, match="is missing"):
        wise.read_records(tmp_path, LEGACY)


# -- from images to the score --------------------------------------------------------------------


class Says(Responder):
    name = "says"

    def __init__(self, reply: Any) -> None:
        self.reply = reply

    def ask(self, requests: Any) -> Any:
        return [self.reply for _ in requests]


def answers_to(folder: Path, edition: Any, seed: Any, draw: Any) -> Any:
    """Answers with the image that ``draw`` makes of each sample."""
    from harmon_eval.tasks.wise.mini import write

    write(folder, edition, seed)
    found = []
    for sample in wise.samples(folder, edition):
        Image.fromarray(draw(sample)).save(folder / f"{sample.id}.png")
        found.append(Answer(sample, folder / f"{sample.id}.png"))
    return found


def truth(sample: Any) -> Any:
    """A scene of exactly what the prompt names."""
    prompt = sample.request.prompt.replace(",", "").split()
    counts = {"two": 2, "three": 3, "four": 4}
    times = next((counts[word] for word in prompt if word in counts), 1)
    shapes = [w for w in prompt if w in SHAPES or w.rstrip("s") in SHAPES or w[:-2] in SHAPES]
    names = [next(s for s in SHAPES if word.startswith(s)) for word in shapes]
    colors = [word for word in prompt if word in COLORS]
    relation = next(
        (r for r in ("left of", "right of", "above", "below") if r in sample.request.prompt), None
    )
    kinds = list(zip(names, colors, strict=True)) * times
    return render(compose(np.random.default_rng(int(sample.id)), kinds, relation))


@pytest.mark.parametrize(
    ("name", "edition", "top"),
    [
        ("wise", LEGACY, "wiscore[shape-rules-1]"),
        ("wise_verified", VERIFIED, "verified_score[shape-rules-1]"),
    ],
)
def test_perfect_pictures_score_1_and_empty_ones_the_floor(
    tmp_path: Path, name: str, edition: Any, top: str
) -> None:
    own, judge = task(name), {"judge": Judge(RuleJudge())}
    perfect = own.mark(answers_to(tmp_path, edition, 5, truth), judge)
    summary = own.summarize(pd.DataFrame(perfect))
    assert round(summary[top], 9) == 1.0 and summary["time"] == 1.0
    grey = np.full((64, 64, 3), 128, np.uint8)
    empty = own.mark(answers_to(tmp_path, edition, 5, lambda _: grey), judge)
    # One missing object still leaves half of the points for composition: 0.1 / 2.
    floor = own.summarize(pd.DataFrame(empty))
    assert floor[top] < 0.02 and floor["time"] == 0.0


@pytest.mark.parametrize(
    ("name", "edition", "reply"),
    [
        ("wise", LEGACY, "Consistency: 1\nRealism: 1\nAesthetic Quality: 1"),
        ("wise_verified", VERIFIED, "Score: 1"),
    ],
)
def test_images_that_were_not_judged_bound_the_score(
    tmp_path: Path, name: str, edition: Any, reply: str
) -> None:
    """Two of the 32 images of culture, which weighs 0.4, have no verdict."""
    own, grey = task(name), np.full((64, 64, 3), 128, np.uint8)
    answers = answers_to(tmp_path, edition, 5, lambda _: grey)
    samples = [answer.sample for answer in answers]
    marks = own.mark(answers, {"judge": Judge(Says(reply))})
    marks[0] = marks[1] = {"unscored": "the judge failed"}
    rows = pd.DataFrame(
        {"id": s.id, "group": s.group, "stratum": s.stratum, "unscored": None, **mark}
        for s, mark in zip(samples, marks, strict=True)
    )
    value = 0.5 if name == "wise" else 1.0
    missing = 0.4 * 2 / 32
    job = Job(name, own, samples, samples, None)
    scored = rows[rows["unscored"].isna()]
    low, high = score_bounds(job, assumed(job, rows), scored)
    assert low == pytest.approx(value - missing * value)
    assert high == pytest.approx(value + missing * (1 - value))
    assert score_bounds(
        job, assumed(job, rows.assign(unscored="failed")), rows[:0]
    ) == pytest.approx((0, 1))
    # Of one category alone there is no total to bound.
    part = Job(name, own, samples, samples[:5], 5)
    assert score_bounds(part, assumed(part, rows[:5]), scored[:3]) is None


def test_rows_of_two_judges_are_never_one_number() -> None:
    with pytest.raises(UserError, match=r"several judges \(a, b\)"):
        judge_of(pd.DataFrame({"judge": ["a", None, "b"]}))
    assert judge_of(pd.DataFrame({"judge": [None, "a"]})) == "a"


def test_what_the_judge_says_stands_in_rows_and_in_wises_own_files(tmp_path: Path) -> None:
    own = task("wise")
    answers = answers_to(tmp_path, LEGACY, 5, truth)[:3]
    reply = "Consistency: 2\nRealism: 1\nAesthetic Quality: 0"
    rows = own.mark(answers, {"judge": Judge(Says(reply))})
    assert rows[0]["wiscore"] == 0.8 and rows[0]["reply"] == reply
    files = own.files_after([], pd.DataFrame(rows))
    scores = [json.loads(line) for line in files["scores.jsonl"].splitlines()]
    assert scores[0] == {
        "prompt_id": 1,
        "Subcategory": "culture",
        "consistency": 2,
        "realism": 1,
        "aesthetic_quality": 0,
    }
    full = json.loads(files["full_results.json"])
    assert set(full[0]) == {"prompt_id", "prompt", "key", "image_path", "evaluation"}
    refused = own.mark(answers, {"judge": Judge(Says("I cannot say"))})
    assert all("does not parse" in row["unscored"] for row in refused)


def test_the_editions_never_meet() -> None:
    assert task("wise").headline != task("wise_verified").headline
    assert Ask("?").system == ""
