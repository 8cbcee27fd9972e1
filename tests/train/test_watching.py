"""What is said, written and drawn while a model trains: origins, scores, trackers, curves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate import tracking
from accelerate.utils import LoggerType
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harmon_eval.model.train.curves import loss_curve
from harmon_eval.model.train.export import export_checkpoint
from harmon_eval.model.train.loop import train_harmon
from harmon_eval.model.train.recipe import Evaluation, Recipe, RecipeError
from harmon_eval.model.train.run_folder import History, read_history
from harmon_eval.model.train.watching import image_grid, time_left
from harmon_eval.running.evaluate import Request
from harmon_eval.running.jobs import RunSettings
from harmon_eval.track import history, track


class Listed(tracking.GeneralTracker):
    """Stands where Comet does, and keeps what it is given."""

    name = "comet_ml"
    requires_logging_directory = True
    logged: ClassVar[list[tuple[int, dict[str, float]]]] = []
    begun: ClassVar[list[Any]] = []

    def __init__(self, run_name: str, logging_dir: str, **options: Any) -> None:
        super().__init__()

    @property
    def tracker(self) -> None:
        return None

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.begun.append(values)

    def log(self, values: dict[str, float], step: int | None = None, **options: Any) -> None:
        self.logged.append((step or 0, values))


def test_the_harness_scores_the_model_in_training_and_trackers_are_told(
    tiny: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two benchmarks with their intervals, in the history and on the curve; no copy of the weights
    stays. What is fresh and what is not is said first."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "comet_ml", Listed)
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: [LoggerType("comet_ml")])
    evaluation = Evaluation(every=2, tasks=("geneval", "pope"), limit=2)
    drawn = {"draw_every": 2, "prompts": ("a red circle",)}
    watch = replace(tiny.watch, trackers=("tensorboard", "comet_ml"), **drawn)
    run = tmp_path / "run"
    train_harmon(replace(tiny, steps=2, eval=evaluation, watch=watch), run)
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["part", "trained", "frozen", "from"]
    assert said[1].startswith("vae") and said[1].endswith(tiny.start.vae)
    assert said[2].startswith("mar") and said[2].endswith("fresh")
    scores = {e["task"]: e for e in read_history(run / "history.jsonl") if "task" in e}
    assert scores["geneval"]["metric"] == "overall"
    # Two steps teach nobody to stop: what is cut and opens with no answer has no score.
    assert (scores["pope"]["score"], scores["pope"]["n"]) == (None, 0)
    assert all("cut at the limit of 16 tokens" in why for why in scores["pope"]["unscored"])
    assert scores["geneval"]["step"] == scores["pope"]["step"] == 2
    low, high = scores["geneval"]["interval"]
    assert low <= scores["geneval"]["score"] <= high
    place = run / "evaluations" / "step-0000002"
    assert not (place / "model").exists()
    made = json.loads((place / "run" / "manifest.json").read_text())
    assert made["about"]["training"]["steps"] == 2
    losses, results = Listed.logged[-2:]
    assert {"text2image", "image2text", "text", "norm", "rate"} <= losses[1].keys()
    assert results[0] == 2
    expected = {"eval/geneval": scores["geneval"]["score"]}
    expected |= {"eval/geneval_low": low, "eval/geneval_high": high}
    assert results[1] == pytest.approx(expected, rel=1e-4)
    assert "text2image" in Listed.begun[-1]["recipe"]
    assert any(line.startswith("step 1/2 ") and "left" in line for line in said)
    export_checkpoint(run, tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "2 steps" in card and "| vae | " in card and "| text2image | " in card
    assert f"| 2 | geneval | overall | {scores['geneval']['score']:.4g} | [" in card
    assert Image.open(tmp_path / "model" / "losses.png").width > 500
    (tmp_path / "model" / "README.md").write_text("mine")
    export_checkpoint(run, tmp_path / "model")
    assert (tmp_path / "model" / "README.md").read_text() == "mine"
    events = EventAccumulator(str(run / "trackers" / "tensorboard")).Reload()
    (point,) = events.Scalars("eval/geneval_high")
    assert point.step == 2 and point.value == pytest.approx(high, rel=1e-4)
    assert [event.step for event in events.Scalars("text2image")] == [1, 2]
    assert events.Images("samples")[0].step == 2


def test_the_checkpoints_of_a_training_are_tracked_by_its_folder(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is evaluated and gated against the first; no copy of the weights stays."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    run, out = tmp_path / "run", tmp_path / "tracked"
    train_harmon(replace(tiny, steps=4), run)
    given = {"device": "cpu", "steps": 1, "diffusion_steps": 2}
    request = Request("", given, "geneval", "mini", RunSettings(limit=2))
    track(run, out, request, settle=0)
    heads = history(out)
    heads = heads[heads["headline"]]
    assert list(heads["step"]) == [2, 4] and list(heads["against"]) == ["", "step-0000002"]
    assert heads["fingerprint"].nunique() == 2
    assert not list((out / "models").iterdir())


def test_what_could_not_be_watched_is_refused_before_the_first_step(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: [])
    for changed, message in (
        (replace(tiny, eval=Evaluation(2, ("genevil",))), "eval.tasks: unknown task 'genevil'"),
        (
            replace(tiny, watch=replace(tiny.watch, trackers=("tensorbord",))),
            "did you mean 'tensorboard'",
        ),
        (replace(tiny, watch=replace(tiny.watch, trackers=("aim",))), "pip install aim"),
    ):
        with pytest.raises(RecipeError, match=message):
            train_harmon(changed, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_curve_has_the_losses_and_a_panel_for_each_task(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    loss_curve(history.path, tmp_path / "empty.png")
    for step in (20, 40):
        history.write(step=step, text2image=0.9, text=0.4, norm=1.0, rate=1e-3)
    loss_curve(history.path, tmp_path / "losses.png")
    for step, interval in ((20, [0.2, 0.4]), (40, None)):
        history.write(step=step, task="geneval", metric="overall", score=0.3, interval=interval)
    loss_curve(history.path, tmp_path / "scored.png")
    sizes = [Image.open(tmp_path / f"{n}.png").size for n in ("empty", "losses", "scored")]
    assert sizes[0] == sizes[1] == (960, 540)
    assert sizes[2][0] == 960 and sizes[2][1] > 540


def test_drawings_make_a_grid() -> None:
    grid = image_grid([Image.new("RGB", (8, 8))] * 5, gap=2)
    assert grid.size == (28, 18)


@pytest.mark.parametrize(
    ("step", "seconds", "minutes", "said"),
    [
        (10, 60.0, 0.0, "9 min left"),
        (10, 2400.0, 0.0, "6 h 0 min left"),
        (99, 60.0, 0.0, "less than a minute left"),
        (10, 60.0, 3.0, "2 min left"),
    ],
)
def test_how_long_the_rest_takes(
    tiny: Recipe, step: int, seconds: float, minutes: float, said: str
) -> None:
    recipe = replace(tiny, steps=100, minutes=minutes)
    assert time_left(recipe, step, seconds, (0, 0.0)) == said
