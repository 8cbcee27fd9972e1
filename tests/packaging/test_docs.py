"""The documentation's example task is tried, not only shown."""

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from harmon_eval.adapters.scripted import ScriptedResponder
from harmon_eval.core import Draw
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.running.progress import Progress
from harmon_eval.running.runner import run_job
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites import load


class PerfectResponder(ScriptedResponder):
    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        levels = [255 if "white" in request.prompt else 0 for request in requests]
        return [Image.new("RGB", (8, 8), (level,) * 3) for level in levels]


ROOT = Path(__file__).resolve().parents[2]


def test_the_task_of_the_documentation_runs_and_scores_a_perfect_model_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "new-task.md").read_text()
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found
    file = tmp_path / "brightness.py"
    file.write_text(found[1])
    assert len(found[1].splitlines()) < 60
    spec = importlib.util.spec_from_file_location("brightness", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    suite = load("mini")
    job = prepare("brightness", module.TASK, suite, RunSettings())
    run = RunFolder(tmp_path / "run")
    with run.locked():
        run.start({"suite": "mini", "seed": 0})
        result = run_job(job, PerfectResponder(), suite, run, 4, Progress("brightness"))
    assert result is not None
    assert result.metrics["accuracy"] == 1.0
    assert (result.n, result.total) == (16, 16)
