"""Tasks that ask questions: what perfect, clueless and trivial models get.

For a new one, add its headline's range to ``RANGE`` and what trivial models get to ``TRIVIAL``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import registry
from harmon_eval.metrics.floors import if_marked
from harmon_eval.running.results import headline
from tests.tasks.test_all_tasks import PERFECT, TASKS, answered

# Task: (what the perfect model scores, what one that never answers the question scores).
RANGE: dict[str, tuple[float, float]] = {
    "easy_vqa": (100, 0),
    "gqa": (100, 0),
    "mmbench": (100, 0),
    "mme": (2000, 0),
    "mmmu": (100, 0),
    "pope": (100, 200 / 3),  # the official rule reads silence as yes: precision 1/2, recall 1
    "seed": (100, 0),
    "vqa": (100, 0),
}


def scored(name: Any, mini: Any, folder: Path, reply: Any) -> tuple[Any, ...]:
    """A whole run of a question task."""
    task = registry.task(name)
    return task, answered(name, task, mini, folder, reply)


@pytest.mark.parametrize("name", [n for n in TASKS if n not in PERFECT])
def test_a_perfect_model_scores_the_maximum_and_a_clueless_one_the_floor(
    name: Any, mini: Any, tmp_path: Path
) -> None:
    best, floor = RANGE[name]
    task = registry.task(name)
    for folder, reply, expected in (
        ("perfect", lambda s, task=task: task.bounds(s)[1], best),
        ("clueless", lambda s: "?", floor),
    ):
        task, result = scored(name, mini, tmp_path / folder, reply)
        assert result.metrics[headline(task, result.metrics)] == pytest.approx(expected), folder
        assert result.n == result.total and not result.unscored
        interval = result.intervals.get(headline(task, result.metrics))
        # A clueless model's F1 between 0 and 1 is that of every resample: it has no interval.
        assert interval or (name, folder) == ("pope", "clueless")
        if interval:
            assert interval[0] <= expected + 1e-9 and interval[1] >= expected - 1e-9
        assert {"reply", "parsed", "rule"} <= {*result.rows}
        stored = json.loads((tmp_path / folder / name / "metrics.json").read_text())
        assert stored["floor"]["score"] == pytest.approx(TRIVIAL[name]["constant"])


@pytest.mark.parametrize("name", [n for n in TASKS if n not in PERFECT])
def test_the_rows_that_are_assumed_for_unscored_samples_bound_the_score(
    name: Any, mini: Any, marked: Any
) -> None:
    task = registry.task(name)
    samples = list(task.samples(mini.data(name, task)))
    ends = []
    for right in (False, True):
        rows = marked(task, samples, lambda s, right=right: task.bounds(s)[right])
        assumed = if_marked(task, samples[-1], right)
        assert {key: rows.iloc[-1][key] for key in assumed} == assumed
        ends.append(task.summarize(rows))
    key = headline(task, ends[1])
    assert ends[0][key] == 0 and ends[1][key] == RANGE[name][0]


# -- trivial models, worked by hand ----------------------------------------------------------------

# Headlines in the mini suite, from counts in its files: a model that always says yes, one that
# always says A, one that reads the question and never looks, and the best constant reply.
TRIVIAL: dict[str, dict[str, float]] = {
    # 12 of 72 answers are yes, 16 triangle; blind: circle, to questions in small letters.
    "easy_vqa": {"yes": 1200 / 72, "A": 0, "blind": 800 / 72, "constant": 1600 / 72},
    # 43 answers are no and 41 yes; blind: 43 no, 11 two, 9 circle and 1 red.
    "gqa": {"yes": 4100 / 256, "A": 0, "blind": 6400 / 256, "constant": 4300 / 256},
    # A stands at the right option in one rotation alone. The blind model takes the same option in
    # all rotations of a question: it is the right one in 15 of 78.
    "mmbench": {"yes": 0, "A": 0, "blind": 1500 / 78, "constant": 0},
    # One of each pair is right: 50 in each of ten subtasks. A is neither yes nor no.
    "mme": {"yes": 500, "A": 0, "blind": 500, "constant": 500},
    # 39 and, for B, 65 of the 210 letters; blind: 55 letters, and 10 of 30 open answers are two.
    "mmmu": {"yes": 0, "A": 3900 / 240, "blind": 6500 / 240, "constant": 6500 / 240},
    # Whatever is not no is yes: precision 1/2, recall 1. The blind model says no: nothing is found.
    "pope": {"yes": 200 / 3, "A": 200 / 3, "blind": 0, "constant": 200 / 3},
    # 64 and, for C, 72 of 252 letters are right; the first text by the alphabet in 57.
    "seed": {"yes": 0, "A": 6400 / 252, "blind": 5700 / 252, "constant": 7200 / 252},
    # 9 answers are yes; 2 letters are A, 10 are D; blind: 9 of 24 letters and 9 open answers.
    "vqa": {"yes": 900 / 60, "A": 200 / 60, "blind": 1800 / 60, "constant": 1000 / 60},
}


def blind(sample: Any) -> Any:
    """By the question's words: the first option by the alphabet, no, or a usual word."""
    question = sample.request.question.removeprefix("<image 1>\n")
    if options := sample.target.get("options"):
        return min(options, key=options.get)
    usual = {"How many": "two", "What color": "red"}
    start = " ".join(question.split()[:2])
    return "no" if start.split()[0] in ("Is", "Are") else usual.get(start, "circle")


def always(word: Any) -> Callable[..., Any]:
    return lambda sample: word


@pytest.mark.parametrize("name", TRIVIAL)
@pytest.mark.parametrize(
    ("kind", "reply"), [("yes", always("yes")), ("A", always("A")), ("blind", blind)]
)
def test_a_model_that_does_not_look_gets_exactly_what_the_protocol_gives_it(
    name: Any, kind: str, reply: Any, mini: Any, marked: Any
) -> None:
    task = registry.task(name)
    metrics = task.summarize(marked(task, list(task.samples(mini.data(name, task))), reply))
    assert metrics[headline(task, metrics)] == pytest.approx(TRIVIAL[name][kind])


def test_every_question_task_has_its_trivial_models() -> None:
    assert TRIVIAL.keys() == RANGE.keys() == {*TASKS} - PERFECT.keys()


def test_always_yes_and_always_no_at_pope(mini: Any, tmp_path: Path) -> None:
    """Half of the labels are yes. Always yes: P 1/2, R 1, F1 2/3. Always no: nothing is found."""
    _, yes = scored("pope", mini, tmp_path / "yes", always("yes"))
    for name, value in (("accuracy", 50), ("precision", 50), ("recall", 100), ("yes_ratio", 100)):
        assert yes.metrics[f"coco_popular_{name}"] == value
    _, no = scored("pope", mini, tmp_path / "no", always("no"))
    assert no.metrics["coco_acc_macro[pope-60]"] == 50
    assert no.metrics["coco_f1_macro[pope-60]"] == no.metrics["coco_random_yes_ratio"] == 0


@pytest.mark.parametrize("word", ["yes", "no"])
def test_a_constant_reply_gets_50_of_200_in_every_subtask_of_mme(
    mini: Any, tmp_path: Path, word: str
) -> None:
    """Half of the questions right, no pair right: 50 + 0, fourteen times."""
    _, result = scored("mme", mini, tmp_path, always(word))
    assert (result.metrics["perception"], result.metrics["cognition"]) == (500, 200)
    assert result.metrics["at_50"] == 14


def test_always_a_at_mmbench_is_never_right_in_all_rotations(mini: Any, tmp_path: Path) -> None:
    """Rotated over N options the answer is A exactly once: plain 1/N, circular 0."""
    _, result = scored("mmbench", mini, tmp_path, always("A"))
    rows, questions = result.total, result.rows["group"].nunique()
    assert result.metrics["circular"] == 0
    assert result.metrics["vanilla_all"] == pytest.approx(100 * questions / rows)


def test_always_a_at_seed_and_mmmu_gets_the_share_of_a(mini: Any, tmp_path: Path) -> None:
    for name, metric in (("seed", "seed_image"), ("mmmu", "mmmu_mc")):
        _, result = scored(name, mini, tmp_path / name, always("A"))
        asked = result.rows[result.rows["answer"].isin(list("ABCD"))]
        share = 100 * (asked["answer"] == "A").mean()
        assert result.metrics[metric] == pytest.approx(share)
        assert 15 < share < 35
