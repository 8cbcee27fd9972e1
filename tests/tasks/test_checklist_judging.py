"""Checklists and their judges: unreadable replies, probabilities, and points in another order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval import cli, registry
from harmon_eval.core import Answer, Data, Responder, UserError
from harmon_eval.instruments.judging import Judge
from harmon_eval.replies.probabilities import First
from tests.tasks.test_checklist import TASKS, drawn, score_of
from tests.tasks.test_checklist_files import written


class Says(Responder):
    """A judge that gives the same reply to all."""

    name = "says"

    def __init__(self, reply: str) -> None:
        self.reply = reply

    def ask(self, requests: Any) -> Any:
        return [self.reply for _ in requests]


@pytest.mark.parametrize("name", TASKS)
def test_an_image_with_an_unreadable_reply_is_unscored_and_bounded(
    name: str, tmp_path: Path
) -> None:
    task = registry.task(name)
    task.sources["mini"].make(tmp_path)
    sample = next(iter(task.samples(Data.at(tmp_path, "mini"))))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    (row,) = task.mark([Answer(sample, tmp_path / "a.png")], {"judge": Judge(Says("I cannot say"))})
    assert "does not parse" in row["unscored"] and set(row) == {"unscored"}
    low, high = task.bounds(sample)
    assert (low["score"], high["score"]) == (0.0, 1.0)


class Likely(Responder):
    """First tokens and their probabilities by question; only ``seen`` of each distribution."""

    name, fingerprint = "likely", "1"

    def __init__(self, tops: dict[str, dict[str, float]]) -> None:
        self.tops = tops

    def score(self, requests: Any) -> Any:
        found = []
        for request in requests:
            top = self.tops[request.question]
            masses = [sum(top.get(form, 0.0) for form in forms) for forms in request.options]
            best = max(top, key=lambda token: top[token])
            found.append(First(tuple(masses), min(1.0, sum(top.values())), best).written())
        return found


THREE = {
    "three": 0.3,
    "Three": 0.2,
    " three": 0.05,
    " Three": 0.05,
    "3": 0.25,
    "2": 0.1,
    "dog": 0.05,
}


PARTLY = {"Yes": 0.40, "yes": 0.05, "No": 0.30}  # of which 0.25 was not seen


@pytest.mark.parametrize(("rule", "score"), [("mean", 0.7125), ("geometric", 0.633933)])
def test_an_item_of_geneval_2_by_probability_has_its_numbers(
    rule: str, score: float, tmp_path: Path
) -> None:
    """The specification's worked example: 0.85 for three, and yes 0.8, 0.95 and 0.25."""
    points = [{"id": 1, "text": "How many dogs?", "expect": "three", "forms": ["3"]}]
    points += [{"id": n, "text": f"Is it {n}?", "kind": "object"} for n in (2, 3, 4)]
    (tmp_path / "checklist.jsonl").write_text(
        json.dumps({"id": "a", "prompt": "three dogs", "images": 1, "points": points})
    )
    (tmp_path / "checklist.toml").write_text(f'reply = "probability"\nitem = "{rule}"\n')
    (tmp_path / "ask.txt").write_text("{point} Answer in one word.")
    tops = {
        f"Is it {n}? Answer in one word.": {"Yes": p, "No": 1 - p}
        for n, p in ((2, 0.8), (3, 0.95), (4, 0.25))
    }
    tops["How many dogs? Answer in one word."] = THREE
    row, found = by_probability(tmp_path, tops)
    assert row["score"] == pytest.approx(score, abs=1e-6)
    assert found["checklist[likely]"] == pytest.approx(100 * score, abs=1e-4)
    assert found["kind/object"] == pytest.approx(100 * 2 / 3)
    assert "most:score" not in row


def test_where_a_part_was_seen_the_score_has_an_upper_end(tmp_path: Path) -> None:
    points = [{"id": 1, "text": "Is it?"}, {"id": 2, "text": "Or is it?", "expect": "no"}]
    (tmp_path / "checklist.jsonl").write_text(
        json.dumps({"id": "a", "prompt": "p", "images": 1, "points": points})
    )
    (tmp_path / "checklist.toml").write_text('reply = "probability"\nitem = "product"\n')
    asked = "{} Please answer yes or no."
    tops = {asked.format("Is it?"): PARTLY, asked.format("Or is it?"): {"No": 0.5, "Yes": 0.5}}
    row, found = by_probability(tmp_path, tops)
    assert (row["score"], row["most:score"]) == pytest.approx((0.45 * 0.5, 0.70 * 0.5))
    assert found["checklist[likely]"] == pytest.approx(22.5)


def by_probability(folder: Path, tops: Any) -> tuple[dict[str, Any], dict[str, float]]:
    task = registry.task(f"checklist:{folder / 'checklist.jsonl'}")
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    answers = [Answer(s, folder / "a.png") for s in task.samples(Data.at(folder))]
    (row,) = task.mark(answers, {"judge": Judge(Likely(tops))})
    rows = pd.DataFrame([{**row, "group": answers[0].sample.group, "stratum": ""}])
    return dict(row), task.summarize(rows)


@pytest.mark.parametrize("name", ["tiif", "unigenbench:en", "specv"])
def test_points_in_another_order_get_the_same_answers_from_a_judge_that_does_not_care(
    name: str, tmp_path: Path
) -> None:
    joined = f"{name}{'+' if ':' in name else ':'}shuffle=7"
    head = name.partition(":")[0]

    def picture(prompt: str) -> np.ndarray:
        return drawn(prompt if prompt.startswith("a photo") else f"a photo of {prompt}")

    folders = [tmp_path / "plain", tmp_path / "shuffled"]
    for folder in folders:
        folder.mkdir()
    plain = score_of(name, folders[0], picture)
    shuffled = score_of(joined, folders[1], picture)
    assert shuffled[f"{head}[shape-rules-1, shuffle 7]"] == plain[f"{head}[shape-rules-1]"]
    task = registry.task(joined)
    samples = list(task.samples(Data.at(next(folders[1].iterdir()), images_per_prompt=1)))
    assert any(s.target["order"] != sorted(s.target["order"]) for s in samples)
    again = list(task.samples(Data.at(next(folders[1].iterdir()), images_per_prompt=1)))
    assert [s.target["order"] for s in again] == [s.target["order"] for s in samples]


def test_a_shuffled_reply_belongs_to_the_points_as_they_were_asked(tmp_path: Path) -> None:
    """The judge says yes to the first line alone: in any order that is one point of three."""
    points = [{"id": n, "text": f"Is it {n}?", "kind": f"k{n}"} for n in (1, 2, 3)]
    same = {"prompt": "a star", "points": points, "images": 1}
    file = written(tmp_path, *({"id": f"i{k}", **same} for k in range(6)))
    (tmp_path / "checklist.toml").write_text('ask = "together"\nreply = "lines"\n')
    task = registry.task(f"checklist:{file}+shuffle=3")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    answers = [Answer(s, tmp_path / "a.png") for s in task.samples(Data.at(tmp_path))]
    rows = task.mark(answers, {"judge": Judge(Says("yes\nno\nno"))})
    for answer, row in zip(answers, rows, strict=True):
        first = str(answer.sample.target["order"][0] + 1)
        assert {k for k, right in json.loads(row["points"]).items() if right} == {first}


def test_an_order_is_refused_where_it_is_of_no_account(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="asked about one by one"):
        task = registry.task("checklist:shuffle=1")
        task.sources["mini"].make(tmp_path)
        list(task.samples(Data.at(tmp_path)))
    for name in ("tiif:shuffle=x", "specv:order=1"):
        with pytest.raises(UserError, match=r"give (tiif|specv):shuffle=SEED"):
            registry.task(name)
    with pytest.raises(UserError, match="takes no argument"):
        registry.task("dsg:shuffle=1")


def test_the_option_shuffles_the_tasks_that_ask_together(capsys: Any, tmp_path: Path) -> None:
    given = ("--model", "scripted", "--limit", "2", "--output", str(tmp_path / "run"))
    assert cli.main(["--tasks", "tiif,dsg", "--shuffle-points", "5", *given]) == 0
    assert "tiif[shape-rules-1, shuffle 5]" in capsys.readouterr().out
    assert cli.main(["--tasks", "dsg", "--shuffle-points", "5", *given]) == 2
    assert "none of the tasks asks about several points" in capsys.readouterr().err
