"""Every task there is: metadata, length, the perfect and the silent model, and trivial models.

A new question task is found by itself as soon as it gives ``extremes``; add its headline's range to
``RANGE``. A task that asks for something else names its own test file in ``ELSEWHERE``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from harmon_eval import registry
from harmon_eval.core import Ask, Responder
from harmon_eval.progress import Progress
from harmon_eval.runner import RunSettings, headline, prepare, run_job
from harmon_eval.store import RunFolder
from harmon_eval.task_pages import FIELDS, pages

ROOT = Path(__file__).resolve().parents[2]
TASKS = registry.bundled_task_names()
# Task: (what the perfect model scores, what the silent model scores).
RANGE = {
    "gqa": (100, 0),
    "mmbench": (100, 0),
    "mme": (2000, 0),
    "mmmu": (100, 0),
    "pope": (100, 200 / 3),  # the official rule reads silence as yes: precision 1/2, recall 1
    "seed": (100, 0),
    "vqa": (100, 0),
}
# Tasks that draw or embed, with the file that tests a perfect and a silent model.
ELSEWHERE = {
    "coco_fid": "test_coco_fid.py",
    "dpg": "test_dpg.py",
    "geneval_fresh": "test_geneval_fresh.py",
    "held_out": "test_held_out.py",
    "wise": "test_wise.py",
    "wise_verified": "test_wise.py",
    "geneval": "test_geneval.py",
    "linear_probe": "test_linear_probe.py",
    "mjhq": "test_mjhq.py",
    "mjhq_gigagan256": "test_mjhq.py",
    "mjhq_pytorch_fid": "test_mjhq.py",
    "synergy": "test_synergy.py",
}
LONGER = {"mjhq.py": 165}  # three protocols in one


class Scripted(Responder):
    """Replies by question and image; blind to images where it is told the same for each."""

    name = fingerprint = "scripted"

    def __init__(self, replies):
        self.replies = replies

    def ask(self, requests):
        return [self.replies(request) for request in requests]


def scored(name, mini, folder, reply):
    """The result of a whole run whose model answers ``reply(sample)``."""
    task = registry.task(name)
    task = replace(task, intervals=partial(task.intervals, resamples=20))
    job = prepare(name, task, mini, RunSettings())
    by_request = {}
    for sample in job.samples:
        by_request.setdefault((sample.request.question, sample.request.images), reply(sample))
    model = Scripted(lambda request: by_request[request.question, request.images])
    run = RunFolder(folder)
    with run.locked():
        run.start({"suite": "mini", "seed": 0})
        result = run_job(job, model, mini, run, 64, Progress(name))
    assert result is not None
    return task, result


@pytest.mark.parametrize("name", TASKS)
def test_it_says_where_it_comes_from_and_what_it_costs(name):
    task = registry.task(name)
    for field in (*FIELDS, "headline", "version"):
        assert getattr(task, field).strip(), f"{name}: {field} is empty"
    assert task.paper == "none" or re.fullmatch(r"arXiv \d{4}\.\d{5}", task.paper)


@pytest.mark.parametrize("name", TASKS)
def test_its_file_is_short_and_has_a_test_of_its_own(name):
    file = ROOT / "tasks" / f"{name}.py"
    assert len(file.read_text().splitlines()) <= LONGER.get(file.name, 150)
    assert (ROOT / "tests" / "tasks" / ELSEWHERE.get(name, f"test_{name}.py")).is_file()


def test_the_page_of_tasks_is_made_from_the_tasks():
    page = (ROOT / "docs" / "tasks.md").read_text()
    assert page == pages(), "make it again: python -m harmon_eval list --pages docs/tasks.md"


@pytest.mark.parametrize("name", [n for n in TASKS if n not in ELSEWHERE])
def test_a_perfect_model_scores_the_maximum_and_a_silent_one_the_floor(name, mini, tmp_path):
    best, floor = RANGE[name]
    task = registry.task(name)
    for folder, reply, expected in (
        ("perfect", lambda s, task=task: task.extremes(s)[1], best),
        ("silent", lambda s: "", floor),
    ):
        task, result = scored(name, mini, tmp_path / folder, reply)
        assert result.metrics[headline(task, result.metrics)] == pytest.approx(expected), folder
        assert result.n == result.total and not result.unscored
        low, high = result.intervals[headline(task, result.metrics)]
        assert low <= expected + 1e-9 and high >= expected - 1e-9
        for column in ("reply", "parsed", "rule"):
            assert column in result.rows


@pytest.mark.parametrize("name", [n for n in TASKS if n not in ELSEWHERE])
def test_the_rows_that_are_assumed_for_unscored_samples_bound_the_score(name, mini, marked):
    task = registry.task(name)
    samples = list(task.samples(mini))
    ends = []
    for right in (False, True):
        rows = marked(task, samples, lambda s, right=right: task.extremes(s)[right])
        assumed = task.assume(samples[-1], right)
        assert {key: rows.iloc[-1][key] for key in assumed} == assumed
        ends.append(task.summarize(rows))
    key = headline(task, ends[1])
    assert ends[0][key] == 0 and ends[1][key] == RANGE[name][0]


@pytest.mark.parametrize("name", ["pope", "mme", "mmbench"])
def test_a_limit_keeps_together_what_is_asked_together(name, mini):
    task = registry.task(name)
    job = prepare(name, task, mini, RunSettings(limit=7))
    chosen = {sample.group for sample in job.samples}
    assert len(chosen) == 7
    assert len(job.samples) == sum(sample.group in chosen for sample in job.everything)


# -- trivial models, worked by hand ----------------------------------------------------------------


def always(word):
    return lambda sample: word


def test_always_yes_and_always_no_at_pope(mini, tmp_path):
    """Half of the labels are yes. Always yes: P 1/2, R 1, F1 2/3. Always no: nothing is found."""
    _, yes = scored("pope", mini, tmp_path / "yes", always("yes"))
    for name, value in (("accuracy", 50), ("precision", 50), ("recall", 100), ("yes_ratio", 100)):
        assert yes.metrics[f"coco_popular_{name}"] == value
    _, no = scored("pope", mini, tmp_path / "no", always("no"))
    assert no.metrics["coco_acc_macro[pope-60]"] == 50
    assert no.metrics["coco_f1_macro[pope-60]"] == no.metrics["coco_random_yes_ratio"] == 0


@pytest.mark.parametrize("word", ["yes", "no"])
def test_a_constant_reply_gets_50_of_200_in_every_subtask_of_mme(mini, tmp_path, word):
    """Half of the questions right, no pair right: 50 + 0, fourteen times."""
    _, result = scored("mme", mini, tmp_path, always(word))
    assert (result.metrics["perception"], result.metrics["cognition"]) == (500, 200)
    assert result.metrics["at_50"] == 14


def test_always_a_at_mmbench_is_never_right_in_all_rotations(mini, tmp_path):
    """Rotated over N options the answer is A exactly once: plain 1/N, circular 0."""
    _, result = scored("mmbench", mini, tmp_path, always("A"))
    rows, questions = result.total, result.rows["group"].nunique()
    assert result.metrics["circular"] == 0
    assert result.metrics["vanilla_all"] == pytest.approx(100 * questions / rows)


def test_always_a_at_seed_and_mmmu_gets_the_share_of_a(mini, tmp_path):
    for name, metric in (("seed", "seed_image"), ("mmmu", "mmmu_mc")):
        _, result = scored(name, mini, tmp_path / name, always("A"))
        asked = result.rows[result.rows["answer"].isin(list("ABCD"))]
        share = 100 * (asked["answer"] == "A").mean()
        assert result.metrics[metric] == pytest.approx(share)
        assert 15 < share < 35


@pytest.mark.parametrize("name", ["gqa", "pope"])
def test_a_model_that_does_not_look_gets_what_the_question_alone_gives(name, mini, tmp_path):
    """It knows the first right reply to each wording and gives it for every picture."""
    task = registry.task(name)
    samples = list(task.samples(mini))
    first = {}
    for sample in samples:
        assert isinstance(sample.request, Ask)
        first.setdefault(sample.request.question, task.extremes(sample)[1])
    _, blind = scored(name, mini, tmp_path, lambda s: first[s.request.question])
    right = [first[s.request.question] == task.extremes(s)[1] for s in samples]
    if name == "gqa":
        assert blind.metrics["gqa_accuracy"] == pytest.approx(100 * sum(right) / len(right))
    rows = blind.rows
    assert len({*rows.loc[rows["group"].notna(), "parsed"]}) > 1
    best = RANGE[name][0]
    assert blind.metrics[headline(task, blind.metrics)] < 0.95 * best
