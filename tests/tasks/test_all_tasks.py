"""Every task there is: what it says of itself, its metrics and sources.

A new task is found by itself. One that asks questions is also tried in ``test_question_tasks.py``;
a task that asks for something else names its test of a perfect model in ``PERFECT``.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from harmon_eval import registry
from harmon_eval.adapters.scripted import ScriptedResponder
from harmon_eval.core import About
from harmon_eval.metrics.columns import lean, reads
from harmon_eval.report.task_pages import pages
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.running.progress import Progress
from harmon_eval.running.results import headline
from harmon_eval.running.runner import run_job
from harmon_eval.store.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
TASKS = registry.bundled_task_names()
# Tasks that draw or embed, with the test of a perfect model in their own file.
PERFECT = {
    "coco_fid": "test_coco_fid.py::"
    "test_the_pipeline_is_in_the_name_and_the_metrics_are_those_of_mjhq",
    **dict.fromkeys(
        ("checklist", "dsg", "specv", "tiif", "unigenbench"),
        "test_checklist.py::"
        "test_perfect_pictures_score_100_and_empty_ones_only_for_their_background",
    ),
    "dpg": "test_dpg.py::test_yes_to_all_is_100_no_to_all_is_0_and_anything_else_is_unscored",
    "emu_edit": "test_emu_edit.py::"
    "test_exact_targets_follow_the_captions_and_a_copy_is_perfect_only_to_its_source",
    "fidelity": "test_fidelity_models.py::test_drawing_the_references_themselves_is_at_no_distance",
    "gedit": "test_gedit.py::test_exact_targets_get_full_marks_and_both_floors_stand_beside_them",
    "genai_bench": "test_genai_bench.py::"
    "test_perfect_pictures_score_what_the_judge_is_sure_of_and_empty_ones_the_rest",
    "geneval": "test_geneval.py::test_perfect_pictures_of_the_mini_suite_score_a_hundred_percent",
    "geneval2": "test_geneval2.py::"
    "test_perfect_pictures_score_what_the_judge_is_sure_of_and_empty_ones_the_rest",
    "geneval_fresh": "test_geneval_fresh.py::"
    "test_the_mini_suite_has_its_own_and_the_rules_are_genevals",
    "held_out": "test_held_out.py::test_all_right_is_one_and_all_wrong_is_nothing",
    "imgedit": "test_imgedit.py::test_exact_targets_get_full_marks_and_copies_the_least",
    "kris": "test_kris.py::test_exact_edits_get_the_most_and_copies_only_what_they_keep",
    "linear_probe": "test_linear_probe_runs.py::"
    "test_the_mini_suite_gives_100_to_labels_and_chance_to_a_blind_model",
    **dict.fromkeys(
        ("longtext", "ocr"),
        "test_longtext.py::test_perfect_pages_score_1_empty_ones_0_and_one_page_for_all_little",
    ),
    "magicbrush": "test_magicbrush.py::"
    "test_exact_targets_are_perfect_and_a_copy_of_the_source_is_not",
    "omnicontext": "test_omnicontext.py::"
    "test_exact_pictures_get_full_marks_and_trivial_models_do_not",
    "oneig": "test_oneig.py::test_perfect_pictures_of_the_alignment_part_score_100",
    "pie": "test_pie.py::test_exact_edits_keep_everything_and_so_do_copies",
    "shape_edits": "test_shape_edits.py::"
    "test_exact_targets_are_all_right_and_trivial_models_are_not",
    "prompts": "test_prompts.py::test_perfect_pictures_fit_their_prompts_and_empty_ones_do_not",
    "rise": "test_rise.py::test_exact_edits_are_complete_and_copies_are_not",
    **dict.fromkeys(
        ("mjhq", "mjhq_gigagan256", "mjhq_pytorch_fid"),
        "test_mjhq.py::test_drawing_the_references_themselves_scores_zero",
    ),
    "reconstruction": "test_reconstruction.py::"
    "test_a_copy_of_the_source_is_perfect_and_the_vae_loses_a_little",
    "synergy": "test_synergy.py::test_perfect_replies_and_drawings_name_and_draw_everything",
    **dict.fromkeys(
        ("wise", "wise_verified"),
        "test_wise.py::test_perfect_pictures_score_1_and_empty_ones_the_floor",
    ),
}
MAX_LINES = 160
# Otherwise their data are the user's, and only the mini world's rules can judge its edits.
ONLY_MINI = {"checklist", "fidelity", "prompts", "shape_edits", "vqa"}
# Groups in a trial run, where 24 are too few: FID needs more images than features, of each category
# where it is given by category, and a probe needs whole classes.
TRIED = {
    "coco_fid": 96,
    "fidelity": None,
    "linear_probe": None,
    "mjhq": None,
    "mjhq_gigagan256": 96,
    "mjhq_pytorch_fid": 96,
}


class Scripted(ScriptedResponder):
    """Replies by question and image, and draws noise."""

    def __init__(self, replies: Any) -> None:
        super().__init__()
        self.replies = replies

    def ask(self, requests: Any) -> Any:
        return [self.replies[request.question, request.images] for request in requests]


def answered(name: Any, task: Any, mini: Any, folder: Path, reply: Any, limit: Any = None) -> Any:
    """The result of a run whose model answers ``reply(sample)``, and draws noise."""
    job = prepare(name, task, mini, RunSettings(limit=limit))
    replies = {}
    for sample in job.samples:
        if sample.request.gives == "text":
            key = sample.request.question, sample.request.images
            replies.setdefault(key, reply(sample))
    run = RunFolder(folder)
    with run.locked():
        run.start({"suite": "mini", "seed": 0})
        result = run_job(job, Scripted(replies), mini, run, 64, Progress(name))
    assert result is not None
    return result


@pytest.mark.parametrize("name", TASKS)
def test_it_says_where_it_comes_from_and_what_it_costs(name: Any) -> None:
    task = registry.task(name)
    for field in fields(About):
        assert getattr(task.about, field.name).strip(), f"{name}: {field.name} is empty"
    assert task.headline.strip()
    assert task.about.paper == "none" or re.fullmatch(r"arXiv \d{4}\.\d{5}", task.about.paper)


@pytest.mark.parametrize("name", TASKS)
def test_it_has_data_in_both_suites(name: Any) -> None:
    sources = registry.task(name).sources
    wanted = {"mini"} if name in ONLY_MINI else {"mini", "official"}
    assert sources.keys() - {"real"} == wanted
    assert sources["mini"].make is not None
    for source in sources.values():
        assert source.make or (source.files and source.text), "say which files are needed"


@pytest.mark.parametrize("name", TASKS)
def test_every_number_it_gives_is_declared_with_the_rows_it_counts(
    name: Any, mini: Any, tmp_path: Path
) -> None:
    task = registry.task(name)
    assert sum(metric.headline for metric in task.metrics) == 1
    turn = cycle((False, True, True))

    def reply(sample: Any) -> Any:
        """Wrong for every third sample."""
        end = task.bounds(sample)[next(turn)] if task.bounds else None
        return end if isinstance(end, str) else "yes"

    result = answered(
        name,
        replace(task, intervals=lambda rows, summarize: {}, replicates=None),
        mini,
        tmp_path,
        reply,
        TRIED.get(name, 24),
    )
    assert result.metrics and headline(task, result.metrics) in result.metrics
    rows = result.rows[result.rows["unscored"].isna()]
    few = rows[list(filter(reads(task, once=True), map(str, rows)))]  # what a run reads to add up
    assert result.metrics.keys() == task.summarize(rows).keys()
    for number in result.metrics:
        metric = task.metric(number)  # raises KeyError for one that is not declared
        for part in filter(None, (metric.rows, metric.of, metric.span)):
            found = [np.asarray(part(own, number), float) for own in (few, rows)]
            np.testing.assert_array_equal(*found)
        own = rows if metric.rows is None else rows[metric.rows(rows, number)]
        assert len(own), f"{number} counts no rows"
        assert result.counts[number].n == len(own)
        assert result.counts[number].groups == own["group"].nunique()
    assert not undeclared(task, rows)


class Asked(pd.DataFrame):
    """Rows that note which columns they were asked for, whether they have them or not."""

    names: ClassVar[set[str]] = set()

    @property
    def _constructor(self) -> type[Asked]:
        return Asked

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, pd.Series | np.ndarray):
            self.names.update(name for name in np.atleast_1d(key) if isinstance(name, str))
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.names.add(str(key))
        return super().__contains__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        self.names.add(str(key))
        return super().get(key, default)


def undeclared(task: Any, rows: pd.DataFrame) -> set[str]:
    """Columns that a number needs and ``columns`` or ``columns_once`` do not name: it would be
    missing from runs, intervals or comparisons without a word."""
    Asked.names.clear()
    whole = task.summarize(Asked(rows))
    for number in whole:
        metric = task.metric(number)
        for part in filter(None, (metric.rows, metric.of, metric.span)):
            part(Asked(rows), number)
    asked = set(map(str, Asked.names))
    resampled, once = (reads(task, once=once) for once in (False, True))
    # A column that these rows lack, and that others may have, is no exception.
    missing = {name for name in asked if not once(name)}
    missing |= {name for name in asked - {*map(str, rows)} if not resampled(name)}
    if task.intervals is None and task.replicates is None:
        try:
            few = task.summarize(lean(task, rows))
        except KeyError:
            few = {}
        spans = [name for name in whole if task.metric(name).interval]
        own, full = [few.get(name, np.inf) for name in spans], [whole[name] for name in spans]
        if not np.allclose(own, full, equal_nan=True):
            missing |= {name for name in asked if not resampled(name)}
            assert missing
    return missing


@pytest.mark.parametrize(
    ("name", "declared", "lacks"),
    [
        ("vqa", {"columns": ("choice", "correct")}, {"unmatched"}),  # is read once, if at all
        ("gqa", {"columns_once": ()}, {"global", "answer", "parsed"}),
        ("mme", {"columns": ("subtask", "correct")}, {"other"}),
    ],
)
def test_a_column_that_a_task_does_not_declare_is_found(
    name: str, declared: Any, lacks: set[str], mini: Any, tmp_path: Path
) -> None:
    task = registry.task(name)
    rows = answered(name, task, mini, tmp_path, lambda sample: "yes", 24).rows
    assert not undeclared(task, rows)
    assert lacks <= undeclared(replace(task, **declared), rows)


@pytest.mark.parametrize("name", TASKS)
def test_its_file_is_short_and_has_a_test_of_its_own(name: Any) -> None:
    folder = ROOT / "tasks" / name
    file = folder / "task.py" if folder.is_dir() else folder.with_suffix(".py")
    assert len(file.read_text().splitlines()) <= MAX_LINES
    own, _, test = PERFECT.get(name, f"test_{name}.py::").partition("::")
    assert f"def {test}" in (ROOT / "tests" / "tasks" / own).read_text()


def test_the_page_of_tasks_is_made_from_the_tasks() -> None:
    page = (ROOT / "docs" / "tasks.md").read_text()
    assert page == pages(), "make it again: python -m harmon_eval list --pages docs/tasks.md"


@pytest.mark.parametrize("name", ["pope", "mme", "mmbench"])
def test_a_limit_keeps_together_what_is_asked_together(name: str, mini: Any) -> None:
    task = registry.task(name)
    job = prepare(name, task, mini, RunSettings(limit=7))
    chosen = {sample.group for sample in job.samples}
    assert len(chosen) == 7
    assert len(job.samples) == sum(sample.group in chosen for sample in job.everything)


def test_all_tasks_of_the_mini_suite_together_take_minutes(mini: Any) -> None:
    """Some ten drawings a second on two cores: 6,000 are ten minutes, and all else is less."""
    tasks = {name: registry.task(name) for name in TASKS}
    samples = [s for name, task in tasks.items() for s in task.samples(mini.data(name, task))]
    assert sum(s.request.gives == "image" for s in samples) < 6_000
    assert sum(s.request.gives == "text" for s in samples) < 2_600


@pytest.mark.parametrize("name", TASKS)
def test_a_layout_can_be_shown_to_whoever_has_another(name: str) -> None:
    """``folder:`` names the layout of the benchmark that is asked."""
    task = registry.task(name)
    needed = task.layout is not None and not task.any_images
    assert bool(task.layout_shown) == needed
