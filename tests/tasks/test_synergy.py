"""Synergy: tables worked by hand, phi, and scripted models on the mini suite."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import matthews_corrcoef
from statsmodels.stats.proportion import proportion_confint

from harmon_eval.core import Responder, UserError
from harmon_eval.metrics.intervals import intervals
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.running.progress import Progress
from harmon_eval.running.runner import run_job
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites import load
from harmon_eval.suites.mini.scenes import render, scene_for
from harmon_eval.tasks.synergy.task import TASK, summarize
from harmon_eval.tasks.synergy.two_by_two import CELLS, asymmetric, phi

TAGS = ("single_object", "colors", "counting", "position")


def rows_of(tag: Any, *concepts: Any) -> Any:
    """Each concept: verdicts of replies, verdicts of drawings."""
    return pd.DataFrame(
        {
            "stratum": tag,
            "group": f"{tag}-{number}",
            "prompt": f"a photo of {number}",
            "side": side,
            "correct": bool(right),
            "unreadable": False,
            "reply": "maybe" if side == "named" else None,
            "reason": "expected star>=1, found 0" if side == "drawn" else None,
        }
        for number, sides in enumerate(concepts)
        for side, verdicts in zip(("named", "drawn"), sides, strict=True)
        for right in verdicts
    )


BOTH, NAMED, DRAWN, NEITHER = ([1], [1]), ([1], [0]), ([0], [1]), ([0], [0])
WORKED = rows_of("colors", *[BOTH] * 4, *[NAMED] * 2, DRAWN, *[NEITHER] * 3)


def test_a_table_worked_by_hand() -> None:
    """4, 2, 1, 3 of ten: phi = (4 * 3 - 2 * 1) / sqrt(6 * 4 * 5 * 5) = 10 / sqrt(600)."""
    found = summarize(WORKED)
    assert [found[f"colors_{cell}"] for cell in CELLS] == [0.4, 0.2, 0.1, 0.3]
    assert found["colors_phi"] == pytest.approx(10 / math.sqrt(600))
    assert (found["colors_naming"], found["colors_drawing"]) == (0.6, 0.5)
    assert (found["both"], found["colors_concepts"], found["one_sided"]) == (0.4, 10, 0)
    spans = intervals(TASK, WORKED)
    assert all(low <= found[name] <= high for name, (low, high) in spans.items())
    low, high = spans["colors_both"]
    assert (low, high) == pytest.approx(proportion_confint(4, 10, method="wilson"))
    assert {"both", "colors_phi"} < set(spans) and "colors_concepts" not in spans


def test_more_than_half_decides_and_tags_weigh_the_same() -> None:
    rows = pd.concat(
        [
            rows_of("colors", ([1, 1, 0, 0], [1, 1, 1, 0]), ([1, 1, 1, 0], [1, 1, 1, 1])),
            rows_of("counting", *[NEITHER] * 6),
        ]
    )
    found = summarize(rows)
    assert (found["colors_drawn_only"], found["colors_both"]) == (0.5, 0.5)
    assert (found["both"], found["drawn_only"], found["neither"]) == (0.25, 0.25, 0.5)
    assert found["colors_naming"] == 5 / 8
    assert math.isnan(found["counting_phi"])  # nothing varies


def test_a_concept_with_one_side_is_counted_and_in_no_table() -> None:
    found = summarize(rows_of("colors", BOTH, ([1], []), ([], [0])))
    assert (found["both"], found["colors_concepts"], found["one_sided"]) == (1, 1, 2)
    assert summarize(rows_of("colors", ([1], [])))["one_sided"] == 1


def test_the_asymmetric_concepts_say_what_was_wrong() -> None:
    named, drawn, other = (item for item in asymmetric(WORKED.iloc[8:]))
    assert [item["cell"] for item in (named, drawn, other)] == [
        "named_only",
        "named_only",
        "drawn_only",
    ]
    assert named["wrong_drawings"] == ["expected star>=1, found 0"] and not named["wrong_replies"]
    assert other["wrong_replies"] == ["maybe"] and not other["wrong_drawings"]
    assert other["concept"] == "a photo of 6"


@given(st.lists(st.integers(0, 8), min_size=4, max_size=4).filter(any))
def test_phi_is_the_correlation_of_the_two_sides(counts: Any) -> None:
    named = np.repeat([1, 1, 0, 0], counts)
    drawn = np.repeat([1, 0, 1, 0], counts)
    a, b, c, d = counts
    if min(a + b, c + d, a + c, b + d) == 0:
        assert math.isnan(phi(*counts))
    else:
        assert phi(*counts) == pytest.approx(matthews_corrcoef(named, drawn))
        assert phi(a, c, b, d) == pytest.approx(phi(*counts))  # the sides may be exchanged


def test_a_model_that_draws_exactly_what_it_names_has_phi_one() -> None:
    rows = rows_of("colors", *[BOTH] * 3, *[NEITHER] * 2)
    assert summarize(rows)["colors_phi"] == 1 and not list(asymmetric(rows))
    assert "colors_phi" not in intervals(TASK, rows)


# -- the mini suite --------------------------------------------------------------------------------


class Scripted(Responder):
    """Knows what is meant by every request; ``reply`` and ``paint`` take its sample's target."""

    name = fingerprint = "scripted"

    def __init__(self, samples: Any, reply: Any, paint: Any) -> None:
        self.reply, self.paint = reply, paint
        self.asked = {s.request.images: s.target for s in samples if not is_drawing(s)}
        self.drawn = {s.request.prompt: s.target for s in samples if is_drawing(s)}

    def ask(self, requests: Any) -> Any:
        return [self.reply(self.asked[request.images]) for request in requests]

    def draw(self, requests: Any) -> Any:
        return [self.paint(self.drawn[r.prompt], np.random.default_rng(r.seed)) for r in requests]


def is_drawing(sample: Any) -> bool:
    return sample.request.gives == "image"


def right(target: Any) -> str:
    return target["answers"][-1].capitalize() + "."


def well(target: Any, rng: Any) -> Any:
    return Image.fromarray(render(scene_for(target, rng)))


def blank(target: Any, rng: Any) -> Any:
    return Image.new("RGB", (64, 64), (140, 140, 140))


def run(mini: Any, folder: Path, reply: Any, paint: Any, limit: int = 16) -> tuple[Any, ...]:
    job = prepare("synergy", TASK, mini, RunSettings(limit=limit))
    run = RunFolder(folder)
    run.start({"suite": "mini", "seed": 0})
    model = Scripted(job.samples, reply, paint)
    return run_job(job, model, mini, run, 64, Progress()), folder / "synergy"


def test_perfect_replies_and_drawings_name_and_draw_everything(mini: Any, tmp_path: Path) -> None:
    result, folder = run(mini, tmp_path, right, well)
    assert result.metrics["both"] == 1 and (result.n, result.total) == (128, 640)
    assert not result.unscored and result.metrics["unreadable"] == 0
    assert (folder / "asymmetric.jsonl").read_text() == ""
    tables = pd.read_csv(folder / "tables.csv", index_col="tag")
    assert set(tables.index) == set(TAGS) and (tables["both"] == 1).all()
    assert (folder / "images").is_dir()


def test_a_model_that_is_never_right(mini: Any, tmp_path: Path) -> None:
    result, _ = run(mini, tmp_path, lambda target: "?", blank, limit=8)
    assert (result.metrics["both"], result.metrics["neither"]) == (0, 1)
    assert result.metrics["unreadable"] == 8  # two relations, four questions each
    low, high = result.intervals["both"]
    assert low == 0 < high


def test_a_model_that_names_but_cannot_draw(mini: Any, tmp_path: Path) -> None:
    result, folder = run(mini, tmp_path, right, blank, limit=4)
    assert result.metrics["named_only"] == 1
    items = [json.loads(line) for line in (folder / "asymmetric.jsonl").read_text().splitlines()]
    assert len(items) == 4 and all(len(item["wrong_drawings"]) == 4 for item in items)


def test_no_constant_reply_names_a_relation_and_each_concept_is_there_once(
    mini: Any, marked: Any
) -> None:
    samples = list(TASK.samples(mini.data("synergy", TASK)))
    assert Counter(s.stratum for s in samples if is_drawing(s)) == {
        "single_object": 24,
        "counting": 72,
        "colors": 96,
        "position": 128,
    }
    asked = [s for s in samples if not is_drawing(s)]
    assert asked[0].request.question.endswith(
        " object?\nAnswer the question using a single word or phrase."
    )
    for word in ("yes", "no"):
        rows = marked(TASK, asked, lambda sample, word=word: word)
        shares = rows["correct"].groupby([rows["stratum"], rows["group"]]).mean()
        assert (shares["position"] == 0.5).all() and not shares["colors"].any()
    kept = TASK.bounds(asked[0])[True]
    assert kept.items() <= {**rows.iloc[0].to_dict(), "correct": True}.items()


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (None, "line 1: the field 'shown' is missing"),
        ([{"image": "a.png", "question": "q"}], r"shown\[0\]: the field 'answers' is missing"),
        ([{"image": "../a.png", "question": "q", "answers": ["x"]}], "put it into"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(
    tmp_path: Path, data_at: Any, shown: list[Any] | None, message: str
) -> None:
    item = {"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": "a dog"}
    (tmp_path / "synergy.jsonl").write_text(json.dumps({**item, "shown": shown}))
    with pytest.raises(UserError, match=message):
        list(TASK.samples(data_at()))


def test_the_official_suite_says_that_pictures_must_be_ones_own(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none are published"):
        list(TASK.samples(load("official", tmp_path).data("synergy", TASK)))
