"""Comparisons where the prompts are all there are: there the drawings are the sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import harmon_eval
from harmon_eval import cli, registry
from harmon_eval.comparing.paired import differences
from harmon_eval.comparing.runs import pairs
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.tasks.geneval.prompts import TAGS

GENEVAL = registry.task("geneval")
PROMPTS, IMAGES = 6, 4


def rows(single: np.ndarray) -> pd.DataFrame:
    """GenEval's, six prompts a tag with four images each. ``single`` (6, 4): marks of the single
    objects; all else is right."""
    tags = np.repeat(TAGS, PROMPTS * IMAGES)
    prompt = np.tile(np.repeat(np.arange(PROMPTS), IMAGES), len(TAGS))
    image = np.tile(np.arange(IMAGES), PROMPTS * len(TAGS))
    correct = np.ones(len(tags), bool)
    correct[tags == "single_object"] = single.ravel()
    group = [f"{t}{p}" for t, p in zip(tags, prompt, strict=True)]
    ids = [f"{g}/{i}" for g, i in zip(group, image, strict=True)]
    columns = {"id": ids, "group": group, "stratum": tags, "tag": tags, "correct": correct}
    return pd.DataFrame(columns).assign(unscored=None)


def exactly(groups: int) -> object:
    """Nothing changed in ``groups``: the bounds of Clopper and Pearson."""
    bound = 1 - 0.05 ** (1 / groups)
    return pytest.approx((-bound, bound))


ALL = rows(np.ones((PROMPTS, IMAGES), bool))


def test_drawings_of_every_single_object_there_is_are_the_sample() -> None:
    found = differences(GENEVAL, ALL, ALL, frozenset(TAGS), complete=True)
    assert found["single_object"].interval == exactly(PROMPTS * IMAGES)
    assert found["single_object"].groups == PROMPTS, "told in prompts"
    assert found["colors"].interval == exactly(PROMPTS), "there are other colors and objects"


def test_a_part_of_the_prompts_is_no_census() -> None:
    found = differences(GENEVAL, ALL, ALL, frozenset(TAGS))
    assert found["single_object"].interval == exactly(PROMPTS)


def test_a_metric_that_counts_prompts_keeps_them_as_groups() -> None:
    """Right in any of the four images: 36 prompts, all with nothing changed."""
    found = differences(GENEVAL, ALL, ALL, frozenset({"correct_prompts"}), complete=True)
    assert found["correct_prompts"].interval == exactly(len(TAGS) * PROMPTS)


def test_one_image_of_each_that_is_lost_counts_as_so_many_drawings() -> None:
    """Of 24 drawings six are lost, whether of one prompt or of six: the same evidence."""
    spread, packed = np.ones((2, PROMPTS, IMAGES), bool)
    spread[:, 0] = False
    packed.ravel()[:6] = False
    names = frozenset({"single_object", "overall"})
    one = differences(GENEVAL, ALL, rows(spread), names, complete=True)
    other = differences(GENEVAL, ALL, rows(packed), names, complete=True)
    for name in names:
        assert one[name].value == pytest.approx(other[name].value)
        assert one[name].interval == pytest.approx(other[name].interval)
    assert one["single_object"].value == pytest.approx(-0.25)


def test_compare_knows_whether_runs_hold_all_prompts(tmp_path: Path) -> None:
    run = ["--model", "scripted", "--tasks", "geneval_fresh", "--quiet", "--output"]
    assert cli.main([*run, str(tmp_path / "a"), "--seed", "0"]) == 0
    assert cli.main([*run, str(tmp_path / "b"), "--seed", "1"]) == 0
    assert cli.main([*run, str(tmp_path / "part"), "--limit", "60"]) == 0
    whole, other, part = (RunFolder(tmp_path / name) for name in ("a", "b", "part"))
    (full,) = pairs(whole, other, None, False)
    (some,) = pairs(part, other, None, False)
    assert full.complete and not some.complete
    widths = []
    for two in ((whole, other), (part, other)):
        line = harmon_eval.compare(*(run.path for run in two)).lines[0]
        assert line.metric == "overall" and line.interval is not None
        widths.append(line.interval[1] - line.interval[0])
    assert widths[0] < widths[1]
