"""Comparisons where the prompts are all there are: there the drawings are the sample."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harmon_eval
from benchmarks import coverage_census
from harmon_eval import cli, registry
from harmon_eval.comparing.margins import Settings
from harmon_eval.comparing.output import cells
from harmon_eval.comparing.paired import differences
from harmon_eval.comparing.runs import TaskPair, pairs, pooled
from harmon_eval.comparing.verdict import Line, compare
from harmon_eval.core import Ask, Draw, Sample
from harmon_eval.instruments.vocabulary import OBJECT_NAMES
from harmon_eval.running.jobs import Job
from harmon_eval.running.results import summarize
from harmon_eval.store.durable import read_json, write_json
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites.mini.scenes import SHAPES
from harmon_eval.tasks.geneval import prompts
from harmon_eval.tasks.geneval.prompts import TAGS

GENEVAL = registry.task("geneval")
PROMPTS, IMAGES = 6, 4
SINGLE = ("single_object",)


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
    found = differences(GENEVAL, ALL, ALL, frozenset((*TAGS, "overall")), strata=SINGLE)
    single = found["single_object"]
    assert single.interval == exactly(PROMPTS * IMAGES)
    assert (single.census, single.groups, single.unit) == (True, PROMPTS * IMAGES, "drawing")
    assert found["colors"].interval == exactly(PROMPTS), "there are other colors and objects"
    for name in ("colors", "overall"):
        assert not found[name].census, "other prompts count, too"
    assert found["overall"].groups == len(TAGS) * PROMPTS, "told in prompts"


def test_a_part_of_the_prompts_is_no_census() -> None:
    found = differences(GENEVAL, ALL, ALL, frozenset(TAGS))
    assert found["single_object"].interval == exactly(PROMPTS)
    assert not found["single_object"].census


def test_a_metric_that_counts_prompts_keeps_them_as_groups() -> None:
    """Right in any of the four images: 36 prompts, all with nothing changed."""
    found = differences(GENEVAL, ALL, ALL, frozenset({"correct_prompts"}), strata=SINGLE)
    assert found["correct_prompts"].interval == exactly(len(TAGS) * PROMPTS)
    assert not found["correct_prompts"].census


def test_one_image_of_each_that_is_lost_counts_as_so_many_drawings() -> None:
    """Of 24 drawings six are lost, whether of one prompt or of six: the same evidence."""
    spread, packed = np.ones((2, PROMPTS, IMAGES), bool)
    spread[:, 0] = False
    packed.ravel()[:6] = False
    names = frozenset({"single_object", "overall"})
    one = differences(GENEVAL, ALL, rows(spread), names, strata=SINGLE)
    other = differences(GENEVAL, ALL, rows(packed), names, strata=SINGLE)
    for name in names:
        assert one[name].value == pytest.approx(other[name].value)
        assert one[name].interval == pytest.approx(other[name].interval)
    assert one["single_object"].value == pytest.approx(-0.25)


def test_one_drawing_a_prompt_is_the_same_with_and_without_a_census() -> None:
    once = ALL[ALL["id"].str.endswith("/0")].reset_index(drop=True)
    lost = once.assign(correct=once.index != 0)
    names = frozenset({"single_object", "overall"})
    for name, found in differences(GENEVAL, once, lost, names, strata=SINGLE).items():
        assert found.interval == differences(GENEVAL, once, lost, names)[name].interval


def test_unequal_numbers_of_drawings_count_drawing_by_drawing() -> None:
    """One object was drawn four times, the others once: nine drawings, all of equal weight."""
    first = ALL["group"].ne("single_object0") & ~ALL["id"].str.endswith("/0")
    some = ALL[~(first & ALL["stratum"].eq("single_object"))].reset_index(drop=True)
    found = differences(GENEVAL, some, some, frozenset(SINGLE), strata=SINGLE)["single_object"]
    assert found.interval == exactly(IMAGES + PROMPTS - 1) and found.groups == 9


# -- which prompts are all there are ------------------------------------------------------------


def asked(names: Any, images: int = 2) -> list[Sample]:
    items = [prompts.single(name) for name in names]
    return [
        Sample(f"{n}/{k}", Draw(item["prompt"], index=k), item, f"{n}", "single_object")
        for n, item in enumerate(items)
        for k in range(images)
    ]


@pytest.mark.parametrize("names", [OBJECT_NAMES, SHAPES])
def test_single_objects_are_a_census_only_if_none_is_missing_and_none_was_added(names: Any) -> None:
    assert GENEVAL.census is not None
    every = list(names)
    assert GENEVAL.census(asked(every)) == SINGLE
    assert GENEVAL.census(asked([*every, every[0]])) == SINGLE, "one is asked for twice"
    assert GENEVAL.census(asked(every[1:])) == ()
    assert GENEVAL.census(asked([*every, "unicorn"])) == ()
    assert GENEVAL.census(asked(every[:3])) == ()


def test_rewritten_prompts_are_a_sample_of_rewritings() -> None:
    assert registry.task("geneval:rewritten").census is None
    assert registry.task("geneval:threshold=0.4").census is GENEVAL.census


def strata_of(samples: list[Sample], marked: int | None = None, **changes: Any) -> tuple[str, ...]:
    """Of a run on ``samples``, of which the first ``marked`` have a mark."""
    columns = {"id": [s.id for s in samples], "group": [s.group for s in samples]}
    found = pd.DataFrame(columns).assign(stratum="single_object", tag="single_object", correct=True)
    missing = np.arange(len(samples)) >= (len(samples) if marked is None else marked)
    found["unscored"] = ["no image" if own else None for own in missing]
    job = Job("geneval", replace(GENEVAL, **changes), samples, samples, None)
    return summarize(job, found, {}).census_strata


def test_a_census_is_of_scored_drawings_that_depend_on_nothing_but_their_seeds() -> None:
    samples = asked(SHAPES)
    assert strata_of(samples) == SINGLE
    assert strata_of(samples, marked=len(samples) - 1) == (), "one is unscored"
    assert strata_of(samples, whole_groups=True) == (), "a prompt's marks depend on each other"
    assert strata_of(samples, census=None) == ()
    turn = replace(samples[1], after=(samples[0].id,))
    assert strata_of([samples[0], turn, *samples[2:]]) == (), "drawn after another one"

    def any_samples(_: Any) -> tuple[str, ...]:
        return SINGLE

    told = [replace(s, request=Ask(s.request.text)) for s in samples]
    assert strata_of(told, census=any_samples) == (), "answers are no drawings"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """Of a file with all six shapes and six other prompts two runs and a part; of a file with three
    of the shapes two runs."""
    root = tmp_path_factory.mktemp("runs")
    for name, count in (("all", len(SHAPES)), ("some", 3)):
        items = [prompts.single(shape) for shape in list(SHAPES)[:count]]
        items += [prompts.colors(shape, "red") for shape in SHAPES]
        (folder := root / "data" / name / "geneval_fresh").mkdir(parents=True)
        (folder / prompts.FILE).write_text(prompts.to_jsonl(items))
    found = {}
    for name, data, *more in (
        ("a", "all", "--seed", "0"),
        ("b", "all", "--seed", "1"),
        ("part", "all", "--limit", "10"),
        ("some", "some", "--seed", "0"),
        ("some too", "some", "--seed", "1"),
    ):
        run = ["run", "--model", "scripted", "--tasks", "geneval_fresh", "--quiet", *more]
        output = str(root / name)
        assert cli.main([*run, "--data", str(root / "data" / data), "--output", output]) == 0
        found[name] = RunFolder(root / name)
    return found


def pair_of(one: RunFolder, two: RunFolder) -> TaskPair:
    (found,) = pairs(one, two, None, False, ids=True)
    return found


def test_compare_knows_whether_runs_hold_all_prompts(runs: dict[str, RunFolder]) -> None:
    whole, other, part = runs["a"], runs["b"], runs["part"]
    full, some = pair_of(whole, other), pair_of(part, other)
    assert full.census == SINGLE and some.census == ()
    for two, census in (((whole, other), True), ((part, other), False)):
        lines = harmon_eval.compare(*(run.path for run in two)).lines
        (single,) = [line.difference for line in lines if line.metric == "single_object"]
        assert single is not None and single.census == census


def test_some_of_the_prompts_in_data_of_ones_own_are_no_census(runs: dict[str, RunFolder]) -> None:
    """Whole runs of a file with three of the six shapes."""
    own, other = runs["some"], runs["some too"]
    stored = read_json(own.path / "geneval_fresh/metrics.json", own.path)
    assert stored["n"] == stored["total"] and "census" not in stored
    pair = pair_of(own, other)
    assert pair.census == () and not any("census" in note for note in pair.notes)


def test_runs_that_do_not_say_so_are_compared_by_prompt(
    runs: dict[str, RunFolder], tmp_path: Path
) -> None:
    """Of an older version, or marked by `serve`, which does not know what was left out."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in runs[name].path.rglob("*"):
            if file.is_file():
                place = tmp_path / name / file.relative_to(runs[name].path)
                place.parent.mkdir(exist_ok=True, parents=True)
                place.write_bytes(file.read_bytes())
    file = tmp_path / "b/geneval_fresh/metrics.json"
    stored = read_json(file, tmp_path)
    assert stored.pop("census_strata") == list(SINGLE)
    write_json(file, stored, tmp_path)
    assert pair_of(RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")).census == ()


def test_pooled_seeds_are_a_census_only_if_every_pair_is_one(runs: dict[str, RunFolder]) -> None:
    full = pair_of(runs["a"], runs["b"])
    assert pooled([full, full]).census == SINGLE
    assert pooled([full, replace(full, census=())]).census == ()
    less = replace(full, baseline=full.baseline[1:], candidate=full.candidate[1:])
    assert pooled([full, less]).census == (), "not all prompts are in both"


# -- what is said -------------------------------------------------------------------------------


def pair(before: np.ndarray, after: np.ndarray, metrics: frozenset[str]) -> TaskPair:
    frames = rows(before), rows(after)
    head = min(metrics)
    return TaskPair("geneval", GENEVAL, head, True, *frames, metrics, (), (), census=SINGLE)


def test_what_is_printed_says_that_an_interval_is_for_other_seeds(
    runs: dict[str, RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(runs[name].path) for name in ("a", "b")]
    stored = tmp_path / "found.json"
    assert cli.main(["compare", *paths, "--all-metrics", "--json", str(stored)]) == 0
    said = capsys.readouterr().out
    assert "census of single_object: there are no other prompts" in said
    found = json.loads(stored.read_text())["metrics"]
    assert [line["metric"] for line in found if line.get("census")] == ["single_object"]
    frame = harmon_eval.compare(*paths).frame
    assert frame.loc[frame["census"].astype(bool), "metric"].tolist() == ["single_object"]


def test_how_many_it_would_take_is_told_in_drawings() -> None:
    """No more prompts could be asked, but each can be drawn more often."""
    ones = np.ones((PROMPTS, IMAGES), bool)
    margin = Settings({"": 0.0}, {}, no_worse_than={"": 0.05})
    (line,) = compare([pair(ones, ones, frozenset(SINGLE))], margin).lines
    assert line.verdict == "cannot be told" and line.reason.startswith("24 drawings; it takes")
    assert line.needed is not None and line.needed > 24
    assert "census" in cells(line)[5]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.05, 0.15, 0.3]),
    st.booleans(),
    st.sampled_from([0.0, 0.3, 0.9]),
)
@settings(max_examples=30, deadline=None)
def test_verdict_interval_p_and_detectable_effect_agree_with_a_census(
    seed: int, margin: float, proof: bool, lost: float
) -> None:
    rng = np.random.default_rng(seed)
    chance = rng.beta(rng.choice([0.3, 1, 30]), rng.choice([0.3, 1, 30]), (PROMPTS, 1))
    before, after = (rng.random((PROMPTS, IMAGES)) < c for c in (chance, chance * (1 - lost)))
    name = ("overall", "single_object")[seed % 2]
    known = Settings({"": margin}, {}, no_worse_than={"": margin} if proof else None)
    (line,) = compare([pair(before, after, frozenset({name}))], known).lines
    check(line, margin, proof)


def check(line: Line, margin: float, proof: bool) -> None:
    assert line.interval and line.difference
    low, high = line.interval
    assert low <= line.difference.value + 1e-12 and line.difference.value <= high + 1e-12
    assert line.fails == (high < -margin)
    assert line.detectable is None or 0 < line.detectable <= 1
    if proof:
        assert (line.verdict == "no worse") == (low > -margin)
        assert (line.verdict == "no worse") == ((line.p_no_worse or 0) < 0.05)
        assert (line.verdict == "cannot be told") == (low <= -margin <= high)
        assert line.verdict != "cannot be told" or (line.needed or 10**9) > line.difference.groups
    else:
        assert (line.verdict == "worse") == (high < 0)
        assert (line.verdict == "better") == (low > 0)


# -- does it keep its word? ---------------------------------------------------------------------


@pytest.mark.parametrize("same_seed", [True, False])
@pytest.mark.parametrize("right", [0.98, 0.5])
@pytest.mark.parametrize(("prompts_", "each", "margin"), [(2, 4, 0.45), (3, 4, 0.3)])
def test_a_loss_of_the_margin_is_called_no_worse_in_at_most_one_of_twenty(
    prompts_: int, each: int, margin: float, right: float, same_seed: bool
) -> None:
    """By the exact chance of every number of losses and gains, not by simulation."""
    before = np.full(prompts_, right)
    for after in (before - margin, coverage_census.packed(before, margin)):
        found = coverage_census.shares(before, after, each, same_seed, margin)
        assert found["no worse"] <= 0.05 and found["worse"] <= 0.05
        assert found["held"] >= 0.9, "two one-sided bounds of 95 %"
    equal = coverage_census.shares(before, before, each, same_seed, margin)
    assert equal["held"] >= 0.9 and equal["no worse"] > 0.2


@pytest.mark.parametrize(
    "chances",
    [[0.3] + [0.99] * 5, [0.15] + [0.99] * 5, [0.1] * 3 + [0.9] * 3, [0.98] * 6, [0.5] * 6],
)
def test_the_interval_of_one_run_holds_the_share_of_all_prompts_there_are(
    chances: list[float],
) -> None:
    """With one hard object of six, 0.3, its four drawings are often all wrong and all others right:
    that was taken for a spread of nearly nothing, and the interval held the truth in 0.76."""
    held, trials = 0, 300
    rng, own = np.random.default_rng(0), np.array(chances)[:, None]
    for _ in range(trials):
        low, high = coverage_census.alone(rng.random((len(chances), IMAGES)) < own)
        held += int(low <= np.mean(chances) <= high)
    assert held >= 0.92 * trials
