"""Intervals of every kind of metric: at few samples, near 0 and 1, in clusters, strata and parts.

The figures of the first tests are those of single cases that used to be misleading."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from harmon_eval import registry
from harmon_eval.core import Metric, UserError
from harmon_eval.metrics.intervals import Repeats, census, counts, intervals, seed_intervals
from harmon_eval.metrics.proportions import wilson
from harmon_eval.metrics.statistics import mean_interval, rate_interval

GENEVAL = registry.task("geneval")


def mme(right: dict[str, np.ndarray]) -> pd.DataFrame:
    """``right``: subtask -> (images, 2) bool, for the question with each answer."""
    return pd.DataFrame(
        {
            "subtask": subtask,
            "group": f"{subtask}/{image:03d}",
            "stratum": subtask,
            "correct": bool(pair[question]),
            "lmms-eval": bool(pair[question]),
            "vlmevalkit": bool(pair[question]),
            "other": False,
        }
        for subtask, marks in right.items()
        for image, pair in enumerate(marks)
        for question in (0, 1)
    )


def geneval(chances: dict[str, float], groups: int, images: int, rng: Any, rho: float = 0.3) -> Any:
    """Rows of ``groups`` prompts a tag; the chance of a prompt is beta distributed."""
    rows = []
    for tag, chance in chances.items():
        scale = 1 / rho - 1
        each = rng.beta(chance * scale, (1 - chance) * scale, groups)
        for number, own in enumerate(each):
            for right in rng.random(images) < own:
                row = {"group": f"{tag}{number}", "stratum": tag, "tag": tag}
                rows.append({**row, "correct": bool(right)})
    return pd.DataFrame(rows)


# -- cases that were wrong ---------------------------------------------------------------------


def test_a_subtask_of_ten_images_says_so_and_is_not_certain() -> None:
    """It was 100 [97.4, 100], with the n of all 140 images."""
    task = registry.task("mme")
    rows = mme({name: np.ones((10, 2)) for name in ("existence", "count", "posters")})
    found = intervals(task, rows)
    low, high = found["existence_accuracy"]
    assert (low, high) == pytest.approx((100 * proportion_confint(10, 10, method="wilson")[0], 100))
    assert 72 < low < 73
    own = counts(task, rows, task.summarize(rows))["existence_accuracy"]
    assert (own.n, own.groups) == (20, 10)


def test_one_right_question_tells_next_to_nothing() -> None:
    """It was 100 [73.5, 100], with the n of all dimensions."""
    task = registry.task("seed")
    rows = pd.DataFrame(
        {"group": f"i{n}", "stratum": "", "dimension": kind, "correct": True, "unmatched": False}
        for n, kind in enumerate(["Text Recognition"] + ["Scene Understanding"] * 11)
    )
    rows["first-char"] = rows["llava-exact"] = rows["whole-letter"] = rows["correct"]
    found = intervals(task, rows)
    name = next(n for n in task.summarize(rows) if n.lower().startswith("text"))
    assert found[name] == pytest.approx((5, 100))
    assert found["seed_image"][0] > 70
    assert counts(task, rows, {name: 100.0})[name].n == 1


def test_phi_has_no_interval_with_an_empty_cell_and_the_odds_ratio_is_exact() -> None:
    task = registry.task("synergy")

    def rows_of(*table: int) -> pd.DataFrame:
        kinds = [(1, 1), (1, 0), (0, 1), (0, 0)]
        every = [kind for kind, times in zip(kinds, table, strict=True) for _ in range(times)]
        return pd.DataFrame(
            {
                "stratum": "colors",
                "group": f"{number:03d}",
                "side": side,
                "correct": bool(right),
                "unreadable": False,
            }
            for number, pair in enumerate(every)
            for side, right in zip(("named", "drawn"), pair, strict=True)
        )

    empty = intervals(task, rows_of(8, 1, 1, 0))
    assert "colors_phi" not in empty
    low, high = empty["colors_odds_ratio"]
    assert low == 0 and high > 1, "nothing is shown about how the sides go together"
    perfect = intervals(task, rows_of(5, 0, 0, 5))
    assert perfect["colors_odds_ratio"][1] == math.inf and perfect["colors_odds_ratio"][0] > 1
    full = intervals(task, rows_of(12, 4, 5, 9))
    low, high = full["colors_phi"]
    assert low < task.summarize(rows_of(12, 4, 5, 9))["colors_phi"] < high


@pytest.mark.parametrize("limit", [12, 24, 60])
def test_few_prompts_cover_the_true_mean_over_tags(limit: int) -> None:
    """At --limit 60, 24 and 12 it was 0.93, 0.89 and 0.75."""
    rng = np.random.default_rng(limit)
    tags = dict(
        single_object=0.98,
        two_object=0.85,
        counting=0.6,
        colors=0.85,
        position=0.55,
        color_attr=0.45,
    )
    truth = float(np.mean(list(tags.values())))
    trials = 120
    inside = 0
    for _ in range(trials):
        rows = geneval(tags, limit // 6, 4, rng)
        low, high = intervals(GENEVAL, rows, wanted={"overall"})["overall"]
        inside += low <= truth <= high
    assert inside >= 105  # 0.93 of 120 are 112; four less than 106 happen in 1 of 100 tries


# -- what Wilson's interval says -----------------------------------------------------------------


def test_independent_marks_have_wilsons_interval() -> None:
    marks = np.random.default_rng(0).random(200) < 0.6
    task = registry.task("vqa")
    rows = pd.DataFrame({"correct": marks, "choice": True, "unmatched": False, "stratum": ""})
    rows["group"] = [f"i{n}" for n in range(200)]
    expected = proportion_confint(marks.sum(), 200, method="wilson")
    assert intervals(task, rows)["accuracy"] == pytest.approx(tuple(100 * e for e in expected))


@pytest.mark.parametrize(
    ("share", "n"), list(product((0.02, 0.05, 0.3, 0.9, 0.98), (5, 10, 30, 100)))
)
def test_the_modified_interval_covers_near_the_ends(share: float, n: int) -> None:
    """Exactly, by summing the binomial distribution: plain Wilson falls to 0.84 there."""
    from scipy import stats

    hits = [wilson(x / n, n) for x in range(n + 1)]
    inside = [low <= share <= high for low, high in hits]
    assert stats.binom.pmf(np.flatnonzero(inside), n, share).sum() > 0.92


def test_repeated_questions_about_one_image_add_no_evidence() -> None:
    rng = np.random.default_rng(1)
    images = rng.random(100) < 0.6
    task = registry.task("vqa")

    def found(times: int) -> tuple[float, float]:
        marks = np.repeat(images, times)
        rows = pd.DataFrame({"correct": marks, "choice": True, "unmatched": False, "stratum": ""})
        rows["group"] = np.repeat([f"i{n}" for n in range(100)], times)
        return intervals(task, rows)["accuracy"]

    assert found(6) == pytest.approx(found(1), abs=0.5)


def test_the_splits_of_pope_share_their_images_and_are_not_three_samples() -> None:
    task = registry.task("pope")
    rng = np.random.default_rng(2)
    right = rng.random(300) < 0.85
    label = np.where(np.arange(300) % 2, "yes", "no")
    said = np.where(right, label, np.where(label == "yes", "no", "yes"))
    rows = pd.DataFrame({"label": label, "source": "coco", "release": "r", "stratum": "coco"})
    rows["group"] = [f"coco/{n // 6}" for n in range(300)]
    for split in ("random", "popular", "adversarial"):
        rows[split] = 1
    for rule in ("parsed", "lmms-eval", "vlmevalkit", "strict"):
        rows[rule] = said
    found = intervals(task, rows)
    assert found["coco_f1_macro[r]"] == pytest.approx(found["coco_random_f1"], abs=0.3)


def test_a_metric_that_is_not_what_it_is_declared_to_be_is_refused() -> None:
    task = registry.task("vqa")
    wrong = Metric("accuracy", maximum=50.0, of=task.metrics[0].of)
    rows = pd.DataFrame({"correct": [True, False, True], "choice": True, "unmatched": False})
    rows["group"], rows["stratum"] = ["a", "b", "c"], ""
    with pytest.raises(UserError, match=r"accuracy.*mend"):
        intervals(replace(task, metrics=(wrong, *task.metrics[1:])), rows)


# -- metrics that declare nothing --------------------------------------------------------------


def plain(summarize: Any, *metrics: Metric) -> Any:
    return replace(registry.task("vqa"), summarize=summarize, metrics=metrics, columns=("*",))


def test_an_undeclared_mean_gets_nearly_the_same_interval() -> None:
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"correct": rng.random(80) < 0.7, "stratum": ""})
    rows["group"] = [f"i{n}" for n in range(80)]
    task = plain(lambda rows: {"mine": float(rows["correct"].mean())}, Metric("mine"))
    marks = rows["correct"].sum()
    expected = proportion_confint(marks, 80, method="wilson")
    assert intervals(task, rows)["mine"] == pytest.approx(expected, abs=0.005)
    rows["correct"] = True
    assert intervals(task, rows)["mine"] == pytest.approx(wilson(1.0, 80))


def test_an_undeclared_number_without_a_maximum_gets_t() -> None:
    rng = np.random.default_rng(4)
    rows = pd.DataFrame({"seconds": rng.normal(5, 1, 40), "stratum": ""})
    rows["group"] = [f"i{n}" for n in range(40)]
    task = plain(
        lambda rows: {"seconds": float(rows["seconds"].mean())},
        Metric("seconds", higher_is_better=False, maximum=None),
    )
    low, high = intervals(task, rows)["seconds"]
    assert high - low == pytest.approx(2 * 2.02 * rows["seconds"].std() / math.sqrt(40), rel=0.01)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_an_undeclared_mean_follows_from_sums_and_is_what_leaving_out_gives(scale: float) -> None:
    rng = np.random.default_rng(6)
    rows = pd.DataFrame({"seconds": rng.normal(5, 1, 200), "stratum": ""})
    rows["group"] = [f"i{n // 2}" for n in range(200)]
    rows.loc[::7, "seconds"] = np.nan  # not every sample has one
    calls = []

    def mean(rows: pd.DataFrame) -> dict[str, float]:
        calls.append(len(rows))
        return {"mine": scale * float(rows["seconds"].mean())}

    metric = Metric("mine", maximum=None)
    found = intervals(plain(mean, metric), rows)["mine"]
    assert len(calls) < 10
    # Without its column nothing tells that the metric is a mean.
    hidden = plain(lambda own: mean(rows.loc[own.index]), metric)
    assert found == pytest.approx(intervals(hidden, rows.drop(columns="seconds"))["mine"], rel=1e-9)
    assert len(calls) > 100


def test_what_is_a_mean_of_all_rows_only_is_left_out_group_by_group() -> None:
    """The mean up to a limit: the same number on all rows and without most groups."""
    rows = pd.DataFrame({"score": [0.0] * 50 + [1.0] * 50, "stratum": ""})
    rows["group"] = [f"i{n}" for n in range(100)]

    def capped(rows: pd.DataFrame) -> dict[str, float]:
        return {"mine": min(float(rows["score"].mean()), 0.5)}

    task = plain(capped, Metric("mine"))
    low, high = intervals(task, rows)["mine"]
    free = plain(lambda rows: {"mine": float(rows["score"].mean())}, Metric("mine"))
    whole_low, whole_high = intervals(free, rows)["mine"]
    assert high - low < 0.8 * (whole_high - whole_low)


def test_the_order_of_rows_does_not_matter() -> None:
    rows = geneval(dict.fromkeys(("counting", "colors"), 0.6), 8, 4, np.random.default_rng(5))
    mixed = rows.sample(frac=1, random_state=0, ignore_index=True)
    ours, theirs = intervals(GENEVAL, rows), intervals(GENEVAL, mixed)
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == pytest.approx(theirs[name]) for name in ours)


# -- what an interval is for ----------------------------------------------------------------------


def drawn(rows: pd.DataFrame) -> Repeats:
    """Every row is a drawing of its group's prompt."""
    rows["id"] = [f"{group}/{n}" for n, group in enumerate(rows["group"])]
    return Repeats(dict(zip(rows["id"], rows["group"], strict=True)))


def test_other_seeds_and_other_prompts_have_intervals_of_their_own() -> None:
    """Prompts that are always right or always wrong: the seeds tell nothing, the prompts much."""
    rng = np.random.default_rng(6)
    rows = geneval({"counting": 0.6, "colors": 0.6}, 60, 4, rng, rho=0.9)
    repeats = drawn(rows)
    prompts = intervals(GENEVAL, rows, repeats=repeats)
    seeds = seed_intervals(GENEVAL, rows, repeats)
    for name in ("overall", "counting", "correct_images"):
        (low, high), (inner, outer) = prompts[name], seeds[name]
        assert low < inner < outer < high and outer - inner < 0.5 * (high - low)
    alike = geneval({"counting": 0.6}, 60, 4, rng, rho=1e-6)
    repeats = drawn(alike)
    prompts, seeds = intervals(GENEVAL, alike), seed_intervals(GENEVAL, alike, repeats)
    width = prompts["counting"][1] - prompts["counting"][0]
    assert seeds["counting"][1] - seeds["counting"][0] == pytest.approx(width, rel=0.15)


def test_the_interval_for_other_seeds_covers_the_mean_of_these_prompts() -> None:
    rng = np.random.default_rng(7)
    chances = rng.beta(1.2, 0.6, 60)
    inside = 0
    for _ in range(200):
        rows = pd.DataFrame(
            {"group": f"{n}", "stratum": "colors", "tag": "colors", "correct": bool(right)}
            for n, own in enumerate(chances)
            for right in rng.random(4) < own
        )
        low, high = seed_intervals(GENEVAL, rows, drawn(rows))["colors"]
        inside += low <= chances.mean() <= high
    assert 180 <= inside <= 199


def test_one_drawing_a_prompt_tells_nothing_about_seeds() -> None:
    rows = geneval({"counting": 0.6}, 20, 1, np.random.default_rng(8))
    assert seed_intervals(GENEVAL, rows, drawn(rows)) == {}


def test_prompts_that_are_all_there_are_vary_by_their_seeds_only() -> None:
    """Six single objects, of which one is never right: another six do not exist."""
    marks = {f"{n}": [n != 0] * 3 + [n % 2 == 0 and n != 0] for n in range(6)}
    rows = pd.DataFrame(
        {"group": group, "stratum": "single_object", "tag": "single_object", "correct": right}
        for group, own in marks.items()
        for right in own
    )
    part_of = drawn(rows)
    repeats = replace(part_of, census=("single_object",))
    whole = intervals(GENEVAL, rows, repeats=repeats)
    part = intervals(GENEVAL, rows, repeats=part_of)
    assert census(GENEVAL, rows, repeats)[:2] == ("overall", "single_object")
    assert census(GENEVAL, rows, part_of) == ()
    widths = [high - low for low, high in (whole["single_object"], part["single_object"])]
    assert widths[0] < 0.6 * widths[1]
    assert whole["single_object"] == seed_intervals(GENEVAL, rows, repeats)["single_object"]


@pytest.mark.parametrize("groups", [12, 40])
@pytest.mark.parametrize("top", [None, 1.0])
def test_means_of_skewed_numbers_are_covered(groups: int, top: float | None) -> None:
    """Most images are nearly perfect and a few are poor; two images a group."""
    rng, names = np.random.default_rng(groups), np.repeat(np.arange(groups), 2)
    inside = []
    for _ in range(400):
        own = np.repeat(rng.beta(0.5, 4.5, groups), 2) * rng.uniform(0.5, 1.5, 2 * groups)
        values = own if top is None else top - own
        low, high = mean_interval(values, names, top) or (0, 0)
        inside.append(low <= (0.1 if top is None else 0.9) <= high)
    assert np.mean(inside) >= 0.925


def test_a_rate_has_the_limits_of_a_poisson_count() -> None:
    """Four errors in 400 prompts, one each: [1.09, 10.24] in all (Garwood 1936)."""
    errors = np.zeros(400)
    errors[:4] = 1
    left_out = (4 - errors) / 399
    low, high = np.array(rate_interval(0.01, left_out.tolist(), 400)) * 400
    assert low == pytest.approx(1.09, abs=0.05) and high == pytest.approx(10.24, abs=0.3)
    few = rate_interval(0.01, left_out.tolist(), 4)
    assert few is not None and few[1] * 400 > high, "four prompts tell little about the spread"
    assert rate_interval(0.0, [0.0] * 9, 0) is None


def test_numbers_on_both_sides_of_nought_without_a_top_have_no_end_to_start_from() -> None:
    assert mean_interval(np.array([-1.0, 1.0, 2.0]), np.arange(3), None) is None


@pytest.mark.parametrize("bottom", [-1.0, 0.0])
def test_limits_of_a_bounded_mean_stay_within_its_range(bottom: float) -> None:
    """Three cosines, as ``--limit 3`` marks them: one end is far and the mean is skewed."""
    for values in ([1.0, 1.0, 0.7], [0.0, 0.01, 0.9], [0.0, 0.0, 0.4]):
        limits = mean_interval(np.array(values), np.arange(3), 1.0, bottom)
        assert limits is not None
        assert bottom <= limits[0] <= float(np.mean(values)) <= limits[1] <= 1
