"""Where spread comes from, what pays, and the contrast of published with fresh prompts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmon_eval import registry
from harmon_eval.comparing.contrast import contrasts
from harmon_eval.comparing.sources_of_spread import advice
from harmon_eval.metrics.intervals import Repeats
from harmon_eval.metrics.spread import Spread, judge_variance, spread

GENEVAL = registry.task("geneval")


def rows_of(chances: Any, images: int, rng: Any) -> pd.DataFrame:
    """``chances``: of each prompt of one tag."""
    rows = pd.DataFrame(
        {"group": f"{n:04d}", "stratum": "colors", "tag": "colors", "correct": bool(right)}
        for n, own in enumerate(chances)
        for right in rng.random(images) < own
    )
    rows["id"] = [f"{group}/{n}" for n, group in enumerate(rows["group"])]
    return rows


def drawn(rows: pd.DataFrame) -> Repeats:
    return Repeats(dict(zip(rows["id"], rows["group"], strict=True)))


def test_components_of_the_variance_are_those_of_the_beta_binomial() -> None:
    """Chances from beta(2, 2): 0.05 between prompts, 0.2 within."""
    rng = np.random.default_rng(0)
    rows = rows_of(rng.beta(2, 2, 800), 4, rng)
    found = spread(GENEVAL, rows, "overall", drawn(rows))
    assert found is not None and (found.groups, found.drawings) == (800, 4)
    assert found.prompts * 800 == pytest.approx(0.05, rel=0.2)
    assert found.seeds * 800 * 4 == pytest.approx(0.2, rel=0.1)
    assert found.shares[0] == pytest.approx(0.5, abs=0.1)


def test_one_drawing_a_prompt_cannot_tell_them_apart() -> None:
    rows = rows_of([0.5] * 20, 1, np.random.default_rng(1))
    assert spread(GENEVAL, rows, "overall", drawn(rows)) is None


def test_more_prompts_pay_and_more_drawings_have_a_floor() -> None:
    own = Spread(prompts=0.05 / 100, seeds=0.2 / 400, groups=100, drawings=4)
    assert own.reach(400, 1) < own.reach(200, 2) < own.reach(100, 4)
    assert own.reach(100, 1e9) == pytest.approx(1.96 * (0.05 / 100) ** 0.5)
    same, more = advice(own)
    assert "400 x 1: ±0.049" in same and "100 x 4: ±0.062" in same
    assert "8 drawings" in more and "never less than ±0.044" in more


def test_a_judge_that_changes_its_mind_is_part_of_the_spread() -> None:
    """Every mark is the other one with a chance of 0.1: a variance of 0.09 in each."""
    rng = np.random.default_rng(2)
    true = rows_of([0.5] * 300, 4, rng).assign(response=lambda rows: rows["id"])

    def judged() -> pd.DataFrame:
        return true.assign(correct=true["correct"] ^ (rng.random(len(true)) < 0.1))

    found = judge_variance(GENEVAL, judged(), judged(), "overall")
    assert found == pytest.approx(0.09 / 1200, rel=0.25)
    assert judge_variance(GENEVAL, true, true, "overall") == pytest.approx(0)
    assert judge_variance(GENEVAL, true, true.assign(response="other"), "overall") is None


def test_what_is_missing_is_said_and_names_stay_as_they_are(call: Any, made_run: Any) -> None:
    run = made_run("run[x]", [[1, 0], [1, 1]], task="toy_draw")
    told = call("show", run, "--spread").out
    assert "prompts and seeds cannot be told apart" in told
    assert "nothing is drawn, and each question is asked once" in " ".join(told.split())
    rows = (run / "toy_draw/rows.parquet").read_bytes()
    shutil.rmtree(run / "toy_draw/.marks", ignore_errors=True)
    (run / "toy_draw/rows.parquet").unlink()
    told = call("show", run, "--spread").out
    assert f"its rows.parquet is missing: `mark {run}` makes it again" in " ".join(told.split())
    assert "\\" not in told
    (run / "toy_draw/responses.jsonl").unlink()
    assert "are missing: only its metrics are here" in call("show", run, "--spread").out
    (run / "toy_draw/rows.parquet").write_bytes(rows)
    assert "its responses.jsonl is missing" in call("show", run, "--spread").out


def test_each_pilot_is_spoken_of_by_its_name(call: Any, made_run: Any) -> None:
    for name, marks in (("a", [[1], [0], [1]] * 9), ("b", [[1], [1], [0]] * 9)):
        made_run(name, marks, model=name)
    options = ("plan", "--effect", 0.1, "--tasks", "toy_ask", "--pilot")
    assert "\na:\ntoy_ask" in (both := call(*options, "a", "b").out) and "\nb:\ntoy_ask" in both
    assert "\na:" not in call(*options, "a").out


# -- contamination -----------------------------------------------------------------------------


def stored(value: float, reach: float) -> dict[str, Any]:
    interval = {"overall": [value - reach, value + reach]}
    return {"headline": "overall", "metrics": {"overall": value}, "intervals": interval}


def test_the_contrast_of_published_and_fresh_prompts_is_tested() -> None:
    (same,) = contrasts({"geneval": stored(0.70, 0.03), "geneval_fresh": stored(0.69, 0.04)})
    assert same.interval == pytest.approx((-0.04, 0.06))
    assert same.p == pytest.approx(0.695, abs=0.001) and "no evidence" in str(same)
    (learnt,) = contrasts({"geneval": stored(0.85, 0.03), "geneval_fresh": stored(0.69, 0.04)})
    assert learnt.p < 1e-6 and learnt.interval[0] > 0 and "trained on them" in str(learnt)
    (other,) = contrasts({"geneval": stored(0.60, 0.03), "geneval_fresh": stored(0.69, 0.04)})
    assert other.p < 0.05 and "no sign" in str(other)


def test_what_has_no_counterpart_or_other_thresholds_has_no_contrast() -> None:
    fresh = stored(0.69, 0.04)
    assert contrasts({"geneval_fresh": fresh}) == []
    assert contrasts({"geneval": fresh, "geneval_fresh:threshold=0.4": fresh}) == []
    assert contrasts({"geneval:threshold=0.4": fresh, "geneval_fresh:threshold=0.4": fresh})


def test_a_share_has_an_interval_that_covers() -> None:
    """Half of the variance of a drawing lies between prompts, in 40 prompts with 4 drawings."""
    rng, inside = np.random.default_rng(3), []
    for _ in range(60):
        found = spread(GENEVAL, rows := rows_of(rng.beta(2, 2, 40), 4, rng), "overall", drawn(rows))
        assert found is not None
        low, high = found.share_interval
        assert low <= found.shares[0] <= high
        inside.append(low <= 0.5 <= high)
    assert np.mean(inside) >= 0.85


def test_few_prompts_do_not_tell_prompts_from_seeds(call: Any, tmp_path: Path) -> None:
    run = ["--tasks", "geneval", "--limit", "6", "--steps", "1", "--output", str(tmp_path / "run")]
    assert call(*run, "--quiet").code == 0
    told = call("show", str(tmp_path / "run"), "--spread").out
    assert "too few to tell prompts from seeds: from 6 prompts" in told
    assert "the same cost" not in told
