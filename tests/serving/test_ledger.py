"""What a store keeps: marks, failures with their reasons, and totals by the task's own rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import harmon_eval
from harmon_eval import registry, suites
from harmon_eval.core import UserError
from harmon_eval.running.engine import Local
from harmon_eval.serving import rewards
from harmon_eval.serving.ledger import Ledger
from harmon_eval.serving.marking import lines
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.tasks.geneval import prompts

from .servers import b64, circle, picture, running


def stored(tmp_path: Path, names: str, *samples: dict[str, Any]) -> dict[str, int]:
    """The counts of a store after a server of ``names`` was asked for the samples."""
    suite = suites.load("mini")
    run = RunFolder(tmp_path / "store")
    with run.locked():
        chosen = rewards.served(names.split(","), suite)
        ledger = Ledger(run, suite, chosen)
        first = ledger.start({})
        made = lines(chosen, suite, Local(), run.path, 32, ledger)
        ledger.check(made.keys)
        with running(made.lines, tmp_path / "images") as server:
            server.service.number_from(first)
            server.post("/mark", {"samples": samples})
        return ledger.finish(made.keys)


def sample(prompt: str, metadata: Any = None, color: str = "red") -> dict[str, Any]:
    return {"prompt": prompt, "image": b64(picture(circle(color))), "metadata": metadata}


def test_marks_and_failures_are_added_up_by_the_tasks_own_rules(tmp_path: Path) -> None:
    dpg = registry.task("dpg")
    text = next(iter(dpg.samples(suites.load("mini").data("dpg", dpg)))).request.text
    names = "geneval,geneval:flow_grpo,dpg"
    unicorn = prompts.single("unicorn")
    first = (
        sample("a photo of a circle"),
        sample("a photo of a unicorn", unicorn),  # the detector knows none
        sample(text),
    )
    assert stored(tmp_path, names, *first) == {"geneval": 2, "geneval:flow_grpo": 2, "dpg": 1}
    again = (sample("a photo of a circle", color="blue"), sample("a photo of a square"))
    counts = stored(tmp_path, names, *again)
    assert counts == {"geneval": 4, "geneval:flow_grpo": 4, "dpg": 1}
    run = harmon_eval.load(tmp_path / "store")
    assert run["geneval"].metrics["single_object"] == pytest.approx(2 / 3)
    assert dict(run["geneval"].unscored) == {"the detector knows no 'unicorn'": 1}
    assert run["geneval"].bounds == (0.5, 0.75)
    assert run["geneval:flow_grpo"].metrics["strict"] == pytest.approx(2 / 3)
    assert run["dpg"].n == 1
    rows = run["geneval"].rows
    assert set(rows["sent_as"]) == {"png"} and rows["id"].is_unique


def test_a_store_of_other_instruments_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path, "geneval", sample("a photo of a circle"))
    monkeypatch.setattr("harmon_eval.suites.mini.detector.ShapeDetector.identity", "another")
    with pytest.raises(UserError, match="holds marks of geneval by other means"):
        stored(tmp_path, "geneval", sample("a photo of a circle"))


def test_a_run_of_a_model_is_no_store(tmp_path: Path) -> None:
    model = {"name": "a-model", "fingerprint": "1", "settings": {}}
    RunFolder(tmp_path / "store").path.mkdir()
    RunFolder(tmp_path / "store").start({"model": model, "suite": "mini", "seed": 0})
    with pytest.raises(UserError, match="holds a run of a-model: choose another --store"):
        stored(tmp_path, "geneval")
