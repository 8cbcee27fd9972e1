"""The guard tells whether a ratio fell; paired differences of a setting with itself are zero."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import __main__ as everything
from benchmarks import compare, gpu, heads, pareto, pareto_page, sampling
from benchmarks.paired import FULL, candidates, difference, verdict
from harmon_eval.adapters._harmon_settings import Settings, draw_settings
from harmon_eval.comparing.verdict import CANNOT_TELL, NO_WORSE, WORSE
from harmon_eval.model.checkpoint import load
from harmon_eval.model.fast.rows import fill_rows
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.sampling import FAST, Cheaper, DrawSettings
from harmon_eval.store.task_folder import ROWS


@pytest.mark.parametrize(
    ("after", "code"),
    [
        ({"a": 1.3, "b": 2.0}, 0),
        ({"a": 1.2, "b": 2.0}, 0),
        ({"a": 1.1, "b": 2.0}, 1),
        ({"a": 9}, 1),
    ],
)
def test_a_ratio_that_fell_or_is_gone_fails(
    tmp_path: Path, after: dict[str, float], code: int
) -> None:
    for name, ratios in (("before", {"a": 1.3, "b": 2.0}), ("after", after)):
        record = {"machine": "same", "ratios": ratios}
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    assert compare.main([str(tmp_path / "before.json"), str(tmp_path / "after.json")]) == code


def test_the_plain_sampler_does_not_pay_for_rows_that_only_ours_fills(
    tiny: Harmon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not a pipeline had the model before."""
    layers: dict[str, set[str]] = {"release_draw": set(), "mar_iterations": set()}
    for name, seen in layers.items():
        draw = getattr(sampling, name)

        def watched(model: Harmon, *given: Any, draw: Any = draw, seen: Any = seen) -> Any:
            seen.add(type(model.head.input_proj).__module__.partition(".")[0])
            return draw(model, *given)

        monkeypatch.setattr(sampling, name, watched)
    how = DrawSettings(iterations=2, diffusion_steps=50, image_size=64)
    for prepare in (fill_rows, sampling.leave_rows):
        model = copy.deepcopy(tiny)
        prepare(model)
        sampling.one_batch(model, 1, how, repeats=1, captured=False)
    assert layers == {"release_draw": {"torch"}, "mar_iterations": {"harmon_eval"}}


def geneval_rows() -> pd.DataFrame:
    """All right: four prompts of each of two tags."""
    tags = ["counting"] * 4 + ["colors"] * 4
    names = list("abcdefgh")
    return pd.DataFrame(
        {"id": names, "group": names, "tag": tags, "stratum": tags, "correct": [True] * 8}
    )


def mjhq_rows() -> pd.DataFrame:
    reference, drawn = np.random.default_rng(0).normal(size=(2, 120, 3))
    names = [f"{i:03d}" for i in range(120)]
    return pd.DataFrame(
        {
            "id": names,
            "group": names,
            "stratum": "people",
            "setting": "playground,mini",
            "features": list(drawn),
            "reference_features": list(reference),
        }
    )


def test_geneval_is_paired_by_sample() -> None:
    """Worked by hand: one of four prompts of a tag is lost, so the tag falls by 1/4 and the mean
    of the two tags by 1/8."""
    rows = geneval_rows()
    worse = rows.assign(correct=rows["id"] != "a").sample(frac=1, random_state=0)
    lost = difference("geneval", rows, worse)
    assert (lost.baseline, lost.value) == pytest.approx((1, -1 / 8))
    assert lost.interval is not None and lost.interval[0] <= lost.value <= lost.interval[1]
    assert lost.interval[1] < 1, "eight groups, of which one differs, exclude little"


def test_fid_is_paired_by_sample() -> None:
    full = mjhq_rows()
    same = difference("mjhq", full, full.sample(frac=1, random_state=1))
    assert same.interval is not None
    assert (same.value, *same.interval) == pytest.approx((0, 0, 0), abs=1e-9)
    moved = full.assign(features=[features + 1.0 for features in full["features"]])
    more = difference("mjhq", full, moved)
    assert 2 < more.value <= more.candidate
    assert more.interval is not None and more.interval[0] < more.value < more.interval[1]


def row(name: str, **changed: object) -> dict[str, object]:
    same = {
        "setting": name,
        "speed": 2.0,
        "full_fid": 2.0,
        "geneval_change": 0.0,
        "geneval_interval": (-0.01, 0.02),
        "fid_change": 0.0,
        "fid_interval": (-0.05, 0.05),
    }
    return same | changed


def test_no_worse_needs_both_intervals_within_the_margins() -> None:
    assert verdict(row("a")) == NO_WORSE
    assert verdict(row("a", geneval_interval=(-0.04, 0.05))) == CANNOT_TELL
    assert verdict(row("a", fid_interval=(-0.1, 0.3))) == CANNOT_TELL
    assert verdict(row("a", geneval_interval=(-0.08, -0.04))) == WORSE
    assert verdict(row("a", geneval_interval=(-0.04, 0.05), fid_interval=(0.3, 0.4))) == WORSE


def test_what_lost_too_much_on_the_part_is_not_confirmed_and_the_fastest_comes_first() -> None:
    screened = [
        row(FULL, speed=1.0),
        row("slower", speed=0.9),
        row("twice", geneval_interval=(-0.2, 0.2)),
        row("four times", speed=4.0, fid_change=0.1),
        row("worse", speed=5.0, geneval_change=-0.04),
        row("other pictures", speed=5.0, fid_change=0.11),
    ]
    assert candidates(screened) == ["four times", "twice"]


def test_a_new_setting_is_timed_beside_the_full_one_and_known_seconds_are_kept(
    tmp_path: Path,
) -> None:
    """A file of a much slower machine: the new setting's seconds are of that machine."""
    path = tmp_path / "seconds.json"
    path.write_text(json.dumps({FULL: 1000.0, "8 iterations": 500.0}))
    quick = {"steps": 1, "diffusion_steps": 1}
    settings = {name: quick for name in (FULL, "8 iterations", "new")}
    seconds = pareto.seconds_a_picture("harmon-mini", settings, 1, path)
    assert seconds == json.loads(path.read_text()) and [*seconds] == [*settings]
    assert (seconds[FULL], seconds["8 iterations"]) == (1000.0, 500.0) and seconds["new"] > 10


def test_a_stage_ends_with_the_first_setting_that_is_no_worse() -> None:
    found = {
        "lost": row("lost", geneval_interval=(-0.2, 0.2)),
        "kept": row("kept"),
        "slower": row("slower"),
        FULL: row(FULL),
    }

    def table(_: pareto.Stage, names: list[str]) -> list[dict[str, object]]:
        return [found[name] for name in names]

    stage = pareto.Stage("confirm", {}, {})
    tried = pareto.until_one_passes(table, stage, ["lost", "kept", "slower"])
    assert [each["setting"] for each in tried] == [FULL, "lost", "kept"]
    assert pareto.cheapest([*found.values()]) == "kept"
    assert pareto.cheapest([found["lost"], found[FULL]]) == FULL


@pytest.mark.parametrize("first", [1, 11])
def test_no_drawing_serves_in_two_stages(first: int) -> None:
    stages = pareto.stages(
        Namespace(screen=50, screen_fid=200, limit=None, fid_limit=None, seeds=2, first_seed=first)
    )
    for task in ("geneval", "mjhq"):
        seeds = [seed for stage in stages for seed in stage.seeds[task]]
        assert len(seeds) == len({*seeds})


def test_settings_are_named_by_what_they_come_to() -> None:
    own = DrawSettings(iterations=16, diffusion_steps=40)
    settings = pareto.grid(own)
    assert next(iter(settings)) == FULL and settings[FULL].than(own) == own
    assert {f"{n} iterations" for n in (12, 8, 6, 4)} | {f"{n} steps" for n in (20, 10, 5)} <= {
        *settings
    }
    for solver in ("ddim", "dpm-solver++"):
        assert {f"{solver}, {n} steps" for n in (20, 10, 6, 4)} <= {*settings}
    fast = settings["8 iterations, dpm-solver++, 6 steps, guidance 0:0.5"].than(own)
    assert (fast.iterations, fast.diffusion_steps, fast.solver) == (8, 6, "dpm-solver++")
    assert fast.guidance == (0.0, 0.5)
    # Of the published settings, the same shares.
    published = Cheaper(iterations=0.5, diffusion_steps=0.15).than(DrawSettings())
    assert (published.iterations, published.diffusion_steps) == (32, 15)


def test_savings_of_papers_are_settings_with_names() -> None:
    own = DrawSettings(iterations=16, diffusion_steps=40, cfg_scale=2.0)
    settings = pareto.grid(own)
    adaptive = settings["12 iterations, ddim, 5 steps, trailing, adaptive 0.995"].than(own)
    assert (adaptive.spacing, adaptive.adaptive_guidance) == ("trailing", 0.995)
    assert Cheaper().than(adaptive) == adaptive
    papers = pareto.papers(own)
    assert papers.keys().isdisjoint(settings)
    drawn = [draw_settings(own, Settings(**given)) for given in papers.values()]
    assert len({*drawn, own}) == len(papers) + 1
    assert [drawn[0].steps_at(k) for k in (0, 15)] == [40, 5] and drawn[0].last_step == 950
    assert drawn[1] == FAST.than(own)


def test_the_fast_preset_is_of_the_models_own_settings_and_gives_way_to_what_is_set() -> None:
    own = DrawSettings(iterations=16, diffusion_steps=40, cfg_scale=2.0)
    assert draw_settings(own, Settings(fast=True)) == FAST.than(own) != own
    assert draw_settings(own, Settings(fast=True, steps=3)).iterations == 3
    assert draw_settings(own, Settings()) == own
    many = draw_settings(own, Settings(fast=True, diffusion_steps=4))
    assert {many.steps_at(k) for k in range(many.iterations)} == {4}, "not annealed"
    # A head that was taught to draw in so many steps has none to spare.
    taught = DrawSettings(iterations=16, diffusion_steps=8, solver="ddim", spacing="trailing")
    assert draw_settings(taught, Settings(fast=True)) == replace(taught, iterations=12)


def test_seeds_of_a_stage_are_pooled_and_paired_and_end_on_the_page(tmp_path: Path) -> None:
    """Rows as the harness leaves them: one setting loses a quarter of one tag, in both seeds."""
    part = {"geneval": 8, "mjhq": 120}
    stage = pareto.Stage("confirm", {"geneval": [1, 2], "mjhq": [1]}, part)
    for name, lost in ((FULL, ""), ("8 iterations", "a")):
        geneval, mjhq = geneval_rows(), mjhq_rows()
        geneval["correct"] = geneval["id"] != lost
        for task, seed, rows in (
            ("geneval", 1, geneval),
            ("geneval", 2, geneval),
            ("mjhq", 1, mjhq),
        ):
            folder = pareto.folder_of(tmp_path, stage, name, task, seed) / "run" / task
            folder.mkdir(parents=True)
            rows.to_parquet(folder / ROWS)
    seconds = {FULL: 1.0, "8 iterations": 0.25}
    full, half = pareto.measured(lambda _, jobs: jobs, stage, tmp_path, seconds, seconds)
    assert full["drawings"] == half["drawings"] == {"geneval": 16, "mjhq": 120}
    assert (full["geneval_change"], half["geneval_change"]) == pytest.approx((0, -1 / 8))
    assert half["speed"] == 4.0 and half["fid_change"] == pytest.approx(0)
    assert verdict(full) == NO_WORSE and verdict(half) == CANNOT_TELL
    tables = {"screened": [full, half], "confirmed": [full, half]}
    text = pareto_page.page("a model", DrawSettings(), tables, FULL)
    assert "No setting is shown" in text and "| 8 iterations | 4.00× |" in text
    assert "**half**" in pareto_page.page("a model", DrawSettings(), tables, "half")
    pareto_page.plot(tables, tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").stat().st_size > 1000


def test_a_head_comes_closer_to_its_tokens_of_many_steps_with_every_step() -> None:
    model = load("harmon-mini")
    found = heads.distances(model, model, [2, 6, heads.EXACT], images=2)
    assert found["teacher"] == found["student"]
    few, more, exact = found["teacher"]
    assert few > more > exact == 0


def test_the_document_keeps_what_stands_around_the_table(tmp_path: Path) -> None:
    path = tmp_path / "speed.md"
    savings = "<!-- savings -->\nkept\n<!-- /savings -->\n"
    path.write_text(f"before\n<!-- pareto -->\nold\n<!-- /pareto -->\n{savings}after\n")
    for text in ("one", "two"):
        pareto_page.into_docs(text, path)
    pareto = "<!-- pareto -->\n\ntwo\n\n<!-- /pareto -->\n"
    assert path.read_text() == f"before\n{pareto}{savings}after\n"


def test_every_step_of_the_gpu_benchmark_runs_on_a_cpu(tmp_path: Path) -> None:
    """With a tiny model: equality, both samplers, captured passes, answering, features of FID, and
    every size of a batch."""
    gpu.main(["--rehearse", "--sizes", "0.5b", "--results", str(tmp_path)])
    written = json.loads((tmp_path / "gpu-rehearsal.json").read_text())
    measured = written["measured"]
    assert measured["difference"] <= gpu.TOLERANCE
    assert measured["FID features"]["images a second"] > 0
    assert measured["left out for want of time"] == []
    own = measured["0.5b"]
    assert own["answering"]["one by one"] > 0 and own["answering"]["in a batch"] > 0
    for kind in ("fast", "fast --compile"):
        for batch in (1, 4, 16, 32):
            assert own[f"{kind}, batch {batch}"]["of the limit"] > 0
        for batch in (1, 4):
            assert written["ratios"][f"0.5b, {kind}, batch {batch}: plain loop / ours"] > 0


def test_what_the_gpu_benchmark_has_no_time_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "equality", lambda device: 0.0)
    gpu.main(["--rehearse", "--sizes", "0.5b", "--minutes", "0", "--results", str(tmp_path)])
    left_out = json.loads((tmp_path / "gpu-rehearsal.json").read_text())["measured"][
        "left out for want of time"
    ]
    expected = {"FID features", "0.5b, plain loop, batch 1", "0.5b, fast --compile, batch 4"}
    assert expected | {"0.5b, answering"} <= {*left_out}


def test_what_does_not_fit_on_the_gpu_is_named_and_the_rest_is_measured_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawing(
        model: object, passes: object, how: object, batch: int, plain: bool = False
    ) -> object:
        def draw() -> None:
            if batch == 32:
                raise torch.OutOfMemoryError("CUDA out of memory: 90 GiB wanted\nmore")

        return draw

    monkeypatch.setattr(gpu, "drawing", drawing)
    monkeypatch.setattr(gpu, "equality", lambda device: 0.0)
    monkeypatch.setattr(gpu, "features", lambda clock, count: {})
    with pytest.raises(SystemExit, match=r"failed: 0\.5b, fast, batch 32, 0\.5b, fast --compile"):
        gpu.main(["--rehearse", "--sizes", "0.5b", "--results", str(tmp_path)])
    measured = json.loads((tmp_path / "gpu-rehearsal.json").read_text())["measured"]
    assert measured["failed"]["0.5b, fast, batch 32"] == "CUDA out of memory: 90 GiB wanted"
    assert measured["0.5b"]["fast, batch 16"]["seconds an image"] >= 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--sizes", "7b"], "no size '7b': choose from 0.5b, 1.5b"),
        (["--device", "cuda:77"], "cannot be used"),
    ],
)
def test_the_gpu_benchmark_says_in_a_line_what_it_needs(
    given: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main(given)
    assert says in capsys.readouterr().err


def test_all_ratios_stand_in_one_table_with_their_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that fails does not hide the others."""
    for name, ratio in (("start", 1.25), ("fid", 1.5)):
        machine = {"processor": "a processor", "vector instructions": "AVX2"}
        found = {"machine": machine, "date": "2026-01-01", "ratios": {"of all": ratio}}
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    failing = {name: replace(part, command="nothing") for name, part in everything.PARTS.items()}
    monkeypatch.setattr(everything, "PARTS", failing)
    monkeypatch.setattr("sys.argv", ["b", "--only", "start,fid", "--results", str(tmp_path)])
    assert everything.main() == 1
    said = capsys.readouterr().out
    assert "start (goal / ours), a processor, AVX2, 2026-01-01\n      1.25  of all" in said
    assert "fid ended with 1" in said


@pytest.mark.parametrize("name", ["overhead", "scale"])
def test_what_measures_the_memory_of_others_stays_small(name: str) -> None:
    """Linux counts a parent's memory as the peak of its children."""
    code = f"import sys, benchmarks.{name}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
