"""A stream of checkpoints: a fixed baseline, few false alarms, and nothing but the stored runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import gate_streams
from harmon_eval.comparing.history import HISTORY, PLOT, Watch, history, update
from harmon_eval.comparing.stream import slope
from harmon_eval.core import UserError
from harmon_eval.store.run_folder import RunFolder

Made = Callable[..., Path]
Call = Callable[..., Any]
Stream = Callable[..., Path]
PROMPTS = 120


@pytest.fixture
def stream(made_run: Made, tmp_path: Path) -> Stream:
    """``out/step-N`` for each N: two marks a group, right with a chance for each checkpoint."""

    def stream(chances: dict[int, float], **changed: Any) -> Path:
        for step, chance in chances.items():
            rng = np.random.default_rng(step)
            marks = (rng.random((PROMPTS, 2)) < chance).astype(float)
            run = RunFolder(made_run(f"out/step-{step}", marks.tolist(), **changed))
            run.update(state="done")
        return tmp_path / "out"

    return stream


def heads(output: Path) -> pd.DataFrame:
    known = history(output)
    return known[known["headline"]].set_index("checkpoint")


def test_all_are_compared_with_the_first_and_only_the_user_moves_it(stream: Stream) -> None:
    out = stream({10: 0.8, 20: 0.8, 30: 0.8})
    update(out, Watch())
    assert list(heads(out)["against"]) == ["", "step-10", "step-10"]
    stream({5: 0.8})  # comes late: the baseline stays
    update(out, Watch())
    assert list(heads(out)["against"]) == ["", "", "step-10", "step-10"]
    update(out, Watch(baseline="step-20"))
    assert list(heads(out)["against"]) == ["", "", "", "step-20"]
    update(out, Watch())
    assert heads(out)["against"].iloc[-1] == "step-20", "as the user decided"
    with pytest.raises(UserError, match="did you mean 'step-20'"):
        update(out, Watch(baseline="step-2O"))


def test_a_single_checkpoint_is_the_baseline_of_what_comes(stream: Stream) -> None:
    out = stream({10: 0.8})
    assert update(out, Watch()) == {}
    stream({5: 0.8, 20: 0.8})
    update(out, Watch())
    assert list(heads(out)["against"]) == ["", "", "step-10"]


def test_a_run_from_elsewhere_is_a_baseline_too(stream: Stream, made_run: Made) -> None:
    other = made_run("released", np.ones((PROMPTS, 2)).tolist())
    out = stream({10: 0.5, 20: 0.99})
    gates = update(out, Watch(baseline=str(other)))
    assert {name: gate.code for name, gate in gates.items()} == {"step-10": 1, "step-20": 0}
    assert set(heads(out)["against"]) == {str(other)}


def test_the_history_follows_from_the_stored_runs(stream: Stream, tmp_path: Path) -> None:
    chances = {step: 0.8 - step / 100 for step in range(0, 50, 10)}
    together = stream(chances)
    update(together, Watch())
    expected = history(together)
    (together / HISTORY).unlink()
    update(together, Watch())
    pd.testing.assert_frame_equal(history(together), expected)

    shutil.rmtree(together)
    for step in (0, 30, 10, 40, 20):  # out of order, looked at after each
        stream({step: chances[step]})
        update(together, Watch())
    pd.testing.assert_frame_equal(history(together), expected)
    before = (together / HISTORY).read_bytes()
    assert update(together, Watch()) == {} and (together / HISTORY).read_bytes() == before


def test_a_checkpoint_that_is_evaluated_again_is_judged_again_and_stays_one(stream: Stream) -> None:
    out = stream({10: 0.9, 20: 0.9, 30: 0.9})
    update(out, Watch())
    shutil.rmtree(out / "step-20")
    stream({20: 0.3})
    gates = update(out, Watch())
    assert gates["step-20"].code == 1
    assert list(heads(out).index) == ["step-10", "step-20", "step-30"]
    assert list(heads(out)["fails"]) == [False, True, False]
    shutil.rmtree(out / "step-20")  # to save room
    stream({40: 0.9})
    update(out, Watch())
    assert list(heads(out)["fails"]) == [False, True, False, False], "what is gone is remembered"


def test_a_task_that_one_checkpoint_lacks_is_no_loss_of_it(stream: Stream, made_run: Made) -> None:
    out = stream({10: 0.9, 20: 0.9, 30: 0.9})
    for step in (10, 30):
        more = made_run("more", np.ones((PROMPTS, 2)).tolist(), task="toy_draw")
        (more / "toy_draw").rename(out / f"step-{step}/toy_draw")
        run = RunFolder(out / f"step-{step}")
        tasks = run.manifest["tasks"]
        run.update(tasks={**tasks, "toy_draw": tasks["toy_ask"]})
    gates = update(out, Watch())
    assert {name: gate.code for name, gate in gates.items()} == {"step-20": 0, "step-30": 0}
    assert {line.task for line in gates["step-20"].lines} == {"toy_ask"}
    assert {line.task for line in gates["step-30"].lines} == {"toy_ask", "toy_draw"}


def test_a_slow_decline_is_found_by_its_trend_before_any_step_shows_it(stream: Stream) -> None:
    out = stream({step: 0.9 - 0.02 * step for step in range(13)})
    gates = update(out, Watch())
    known = heads(out)
    assert known["trend"].iloc[-1] == pytest.approx(-0.24, abs=0.06)
    first = {
        kind: next(n for n, g in gates.items() for x in g.lines if x.fails and x.metric == kind)
        for kind in ("accuracy", "accuracy (trend)")
    }
    by_level, by_trend = (int(name.split("-")[1]) for name in first.values())
    assert by_trend <= by_level
    assert gates["step-12"].code == 1
    assert np.isnan(known["trend"].iloc[1]), "two checkpoints have no trend"


def test_the_boundary_is_the_value_that_would_have_failed(stream: Stream) -> None:
    out = stream({10: 0.9, 20: 0.9, 30: 0.5})
    update(out, Watch(tolerance="0.1"))
    known = heads(out)
    assert known["boundary"].iloc[1] < known["value"].iloc[0] - 0.1
    assert list(known["value"] < known["boundary"]) == list(known["fails"])
    assert Image.open(out / PLOT).size[0] > 100


def test_more_checkpoints_than_planned_have_no_error_left_to_spend(stream: Stream) -> None:
    out = stream({10: 0.9, 20: 0.9, 30: 0.2})
    gates = update(out, Watch(planned=1))
    assert gates["step-20"].code == 0 and gates["step-30"].code == 2
    assert "move the baseline" in gates["step-30"].lines[0].reason
    with pytest.raises(UserError, match="--planned 0"):
        Watch(planned=0).check([], {})


def test_a_wider_stream_asks_for_more(stream: Stream) -> None:
    out = stream({10: 0.9, 20: 0.78})
    assert update(out, Watch(planned=1))["step-20"].code == 1
    assert update(out, Watch(planned=1000))["step-20"].code == 0


def test_no_worse_is_asked_of_each_checkpoint(stream: Stream) -> None:
    out = stream({10: 0.9, 20: 0.9, 30: 0.8, 40: 0.2})
    gates = update(out, Watch(no_worse_than="0.15"))
    assert [gate.code for gate in gates.values()] == [0, 2, 1]


def test_the_trend_is_the_line_of_least_squares() -> None:
    values = np.array([0.9, 0.7, 0.8, 0.4])
    line = np.polyfit(range(4), values, 1)
    assert slope(4) @ values == pytest.approx(3 * line[0])
    assert slope(4).sum() == pytest.approx(0)


def test_the_simulated_stream_is_tested_as_the_real_one(stream: Stream) -> None:
    """``benchmarks.gate_streams`` skips the run folders, not the arithmetic."""
    chances = {step: 0.9 - 0.04 * step for step in range(6)}
    out = stream(chances)
    stopped = any(gate.code == 1 for gate in update(out, Watch()).values())
    marks = []
    for step, chance in chances.items():
        marks.append((np.random.default_rng(step).random((PROMPTS, 2)) < chance).mean(1))
    for length in range(2, 7):
        told = any(gate.code == 1 for gate in _first(out, length).values())
        assert gate_streams.tracked(np.array(marks[:length])) == told
    assert stopped


def _first(out: Path, length: int) -> dict[str, Any]:
    part = out.with_name(f"first-{length}")
    for step in range(length):
        shutil.copytree(out / f"step-{step}", part / f"step-{step}")
    return update(part, Watch())


def test_streams_are_gated_by_the_command_line(call: Call, stream: Stream, tmp_path: Path) -> None:
    stream({10: 0.9, 20: 0.9})
    (tmp_path / "checkpoints").mkdir()
    told = call("track", "checkpoints", "--output", "out", "--settle", 0, "--planned", 0)
    assert told.code == 2 and "--planned 0" in told.err
    here = ("track", "checkpoints", "--output", "out", "--settle", 0)
    told = call(*here, "--tasks", "foo")
    assert told.code == 2 and "foo" in told.err
    told = call(*here, "--tasks", "toy_ask", "--baseline", "step-999")
    assert told.code == 2 and "no such run folder, and there is no checkpoint yet" in told.err
    told = call(*here, "--tasks", "toy_ask", "--tolerance", "1e9")
    assert told.code == 2 and "no loss is as large" in told.err
    both = ("--no-worse-than", "0.1", "--tolerance", "0.1")
    told = call("track", "checkpoints", "--output", "out", "--settle", 0, *both)
    assert told.code == 2 and "give one of them" in told.err


def test_nothing_can_differ_between_equal_checkpoints_nor_over_them(stream: Stream) -> None:
    """The same weights, settings and seed with the same marks: no loss, and no trend."""
    out = stream({10: 0.8})
    for step in (20, 30):
        shutil.copytree(out / "step-10", out / f"step-{step}")
    gates = update(out, Watch())
    (trend,) = [line for line in gates["step-30"].lines if line.metric.endswith("(trend)")]
    assert (trend.verdict, trend.reason, trend.interval) == ("no evidence", "", (0.0, 0.0))
    assert gates["step-30"].code == 0
