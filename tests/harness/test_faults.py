"""Full disks, folders that cannot be written, models that fail: said in one line, nothing lost."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval.core import Draw, Embed, Unscorable

Call = Callable[..., Any]
DRAW = ("--model", "scripted", "--tasks", "toy_draw")


def limited(
    tmp_path: Path, plugin: Path, arguments: Sequence[object], limit: Callable[[], None]
) -> Any:
    path = os.pathsep.join(filter(None, [str(plugin), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "harmon_eval", *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        preexec_fn=limit,
        timeout=120,
    )


def test_a_file_that_cannot_grow_ends_the_run_with_one_line_and_it_goes_on_later(
    call: Call, plugin: Path, tmp_path: Path
) -> None:
    """As on a full disk: the log may have 4,000 bytes, so that its last write is torn."""
    call(*DRAW, "--output", "whole")
    ended = limited(
        tmp_path,
        plugin,
        (*DRAW, "--batch-size", 3, "--output", "run"),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)),
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("error: no space left")
    assert "Traceback" not in ended.stderr
    log = tmp_path / "run" / "toy_draw" / "responses.jsonl"
    assert 0 < log.stat().st_size <= 4000
    again = call(*DRAW, "--batch-size", 3, "--output", "run")
    assert again.code == 0 and "reused" in again.err
    for name in ("rows.parquet", "metrics.json"):
        whole = tmp_path / "whole" / "toy_draw" / name
        assert (tmp_path / "run" / "toy_draw" / name).read_bytes() == whole.read_bytes()


def without_special_rights() -> None:
    """Root obeys the permissions of files too: it loses CAP_DAC_OVERRIDE for what it starts."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


@pytest.mark.parametrize("place", ["run", ".", "run/toy_draw"])
def test_a_folder_that_cannot_be_written_is_one_line(
    call: Call, plugin: Path, tmp_path: Path, place: str
) -> None:
    if place != ".":
        call(*DRAW, "--limit", 2, "--output", "run")
    folder = tmp_path / place
    folder.chmod(0o555)
    try:
        ended = limited(tmp_path, plugin, (*DRAW, "--output", "run"), without_special_rights)
    finally:
        folder.chmod(0o755)
    assert ended.returncode == 2, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("error: ") and "--output" in last and "Traceback" not in ended.stderr


@pytest.mark.usefixtures("plugin")
def test_pictures_and_vectors_of_nan_are_unscored_with_their_reason() -> None:
    import toy_benchmark

    from harmon_eval.core import Sample
    from harmon_eval.running.asking import respond

    class Broken(toy_benchmark.Flaky):
        def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
            pixels = np.zeros((2, 2), np.float32)
            pixels[0, 0] = np.nan
            return [Image.fromarray(pixels), Image.new("RGB", (2, 2))][: len(requests)]

        def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray]:
            return [np.array([1.0, np.inf], np.float32)]

    draws = [Sample(name, Draw(name), {}, name) for name in "ab"]
    answers = respond(Broken(), draws, print)
    assert str(answers["a"]) == "the model gave NaN or infinity in 1 of 4 numbers"
    assert isinstance(answers["a"], Unscorable) and isinstance(answers["b"], Image.Image)
    vectors = respond(Broken(), [Sample("e", Embed(Path("x")), {}, "e")], print)
    assert isinstance(vectors["e"], Unscorable)


@pytest.mark.parametrize("name", ["correct", "score"])
@pytest.mark.parametrize("value", [float("nan"), np.float32("inf")])
def test_a_mark_that_is_no_number_is_unscored(name: str, value: float) -> None:
    from harmon_eval.core import About, Answer, Ask, Sample, Task
    from harmon_eval.running.marking import mark_batch

    task = Task(
        samples=lambda data: [],
        mark=lambda answers, instruments: [{name: value}, {name: 1.0}],
        summarize=lambda rows: {},
        metrics=(),
        about=About("none", "1"),
    )
    answers = [Answer(Sample(i, Ask("?"), {}, i), "yes") for i in "ab"]
    bad, good = mark_batch(task, {}, answers)
    assert bad["unscored"] == f"the mark {name!r} is {value}" and "unscored" not in good


@pytest.mark.parametrize("error", [RuntimeError, TypeError, OSError, AssertionError, KeyError])
def test_a_model_that_raises_on_one_sample_goes_on_and_the_score_has_bounds(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    import toy_benchmark

    paint = toy_benchmark.Flaky._paint

    def failing(self: Any, request: Draw) -> Any:
        if request.prompt == "red picture 1":
            raise error("broken")
        return paint(self, request)

    monkeypatch.setattr(toy_benchmark.Flaky, "_paint", failing)
    done = call("--model", "toy_flaky", "--tasks", "toy_draw", "--output", "run")
    assert done.code == 1
    found = json.loads((tmp_path / "run/toy_draw/metrics.json").read_text())
    assert found["n"] == 66 and sum(found["unscored"].values()) == 6
    assert any(error.__name__ in reason for reason in found["unscored"])
    assert found["bounds"] == pytest.approx([66 / 72, 1.0])
    line = "toy_draw accuracy: 0.917 if the 6 unscored were all wrong, 1.000 if all were right"
    assert line in done.out


def test_a_score_without_unscored_samples_has_no_bounds(call: Call, tmp_path: Path) -> None:
    call(*DRAW, "--output", "run")
    assert "bounds" not in json.loads((tmp_path / "run/toy_draw/metrics.json").read_text())


def test_exact_asks_and_marks_one_at_a_time_and_is_never_mixed_with_batches(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_benchmark

    from harmon_eval.running import machine

    sizes = []
    draw = toy_benchmark.Flaky.draw

    def noting(self: Any, requests: Sequence[Draw]) -> Any:
        sizes.append(len(requests))
        return draw(self, requests)

    monkeypatch.setattr(machine, "deterministic_kernels", lambda: None)
    monkeypatch.setattr(toy_benchmark.Flaky, "draw", noting)
    model = ("--model", "toy_flaky", "--tasks", "toy_draw", "--limit", "3")
    call(*model, "--exact")
    assert set(sizes) == {1}
    run = tmp_path / "runs" / "toy_flaky-mini-exact"
    assert len(pd.read_parquet(run / "toy_draw" / "rows.parquet")) == 6
    refused = call(*model, "--output", run)
    assert refused.code == 2 and "exact: True -> none" in refused.err
