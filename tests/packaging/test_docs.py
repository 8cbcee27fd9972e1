"""The documentation's examples are run, not only shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from harmon_eval import plugins, registry
from harmon_eval.adapters.scripted import ScriptedResponder
from harmon_eval.core import Draw
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.running.progress import Progress
from harmon_eval.running.runner import run_job
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites import load

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "new-task.md").read_text()


class PerfectResponder(ScriptedResponder):
    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        levels = [255 if "white" in request.prompt else 0 for request in requests]
        return [Image.new("RGB", (8, 8), (level,) * 3) for level in levels]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's two files, and a cache of its own."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(plugins, "_included", {})
    task, instrument = blocks("python")
    (tmp_path / "brightness.py").write_text(task)
    (tmp_path / "brightest.py").write_text(instrument)
    return tmp_path


def called(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "harmon_eval", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def result(folder: Path) -> dict:
    return json.loads((folder / "run" / "brightness" / "metrics.json").read_text())


def test_the_task_of_the_documentation_runs_and_scores_a_perfect_model_with_1(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(blocks("python")[0].splitlines()) < 90
    assert plugins.include(written / "brightness.py") == ["brightness"]
    suite = load("mini")
    job = prepare("brightness", registry.task("brightness"), suite, RunSettings())
    run = RunFolder(written / "run")
    with run.locked():
        run.start({"suite": "mini", "seed": 0})
        result = run_job(job, PerfectResponder(), suite, run, 4, Progress("brightness"))
    assert result is not None
    assert result.metrics["accuracy"] == 1.0
    assert (result.n, result.total) == (16, 16)
    assert result.metrics.keys() == {
        *("accuracy", "accuracy[bright]", "accuracy[dark]", "pairs_in_order")
    }
    assert result.metrics["pairs_in_order"] == 1.0
    assert result.counts["accuracy[dark]"].n == 8 and result.counts["accuracy[dark]"].groups == 2
    assert result.provenance["instruments"] == {"meter": "mean of RGB"}


def test_the_commands_of_the_documentation_run(written: Path) -> None:
    """On the scripted model, whose noise takes no time."""
    quick = ("--model", "scripted", "--tasks", "brightness", "--output", "run")
    include = ("--include", "brightness.py")
    done = called(written, *include, *quick)
    assert done.returncode == 0, done.stderr
    assert result(written)["n"] == 16
    other = ("--include", "brightest.py", "--instrument", "meter=brightest")
    done = called(written, *include, *other, *quick, "--fresh")
    assert done.returncode == 0, done.stderr
    assert result(written)["provenance"]["instruments"] == {"meter": "brightest channel of RGB"}


def test_the_task_of_the_documentation_takes_data_of_its_own(written: Path) -> None:
    official = ("--include", "brightness.py", "--model", "scripted", "--tasks", "brightness")
    official = (*official, "--suite", "official", "--output", "run")
    done = called(written, *official)
    assert done.returncode == 2
    assert "needs scenes.jsonl: put scenes.jsonl (a prompt and its scene in each line)" in (
        " ".join(done.stderr.split())
    )
    (written / "data").mkdir()
    example = re.search(r"in each line: (\{.*\})", PAGE)
    assert example
    (written / "data" / "scenes.jsonl").write_text(example[1] + "\n")
    done = called(written, *official, "--data", "data")
    assert done.returncode == 0, done.stderr
    found = result(written)
    assert found["n"] == 4
    assert found["metrics"].keys() == {"accuracy", "accuracy[bright]"}


def test_the_entry_points_of_the_documentation_are_those_that_are_read() -> None:
    (text,) = blocks("toml")
    groups = tomllib.loads(text)["project"]["entry-points"]
    assert groups.keys() == {plugins.TASK_GROUP, plugins.MODEL_GROUP, plugins.INSTRUMENT_GROUP}
    assert [*groups[plugins.INSTRUMENT_GROUP]] == ["meter.brightest"]


def test_the_page_on_python_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python.md").read_text()
    parts = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    lines = [line for line in parts[0].splitlines() if line.strip()]
    assert len(lines) <= 10, "as the title says"
    place: dict[str, object] = {}
    for part in parts:
        exec(part, place)
    told = capsys.readouterr().out
    assert "coco_f1_macro[pope-60] 6" in told
    assert "Janus-Pro-7B" in told and "Polite" in told
    assert "data:image/webp" in (tmp_path / "geneval.html").read_text()


def test_the_map_in_the_readme_names_every_part_of_the_harness_and_nothing_else() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.split("## Where things live")[1].split("```")[1]
    harness = shown.split("\nharmon_eval/")[1].split("\nmodel/")[0]
    named = set(re.findall(r"(?:^  | )(\w+(?:/|\.py))(?= )", harness, re.MULTILINE))
    folder = ROOT / "harmon_eval"
    parts = {f"{place.parent.name}/" for place in folder.glob("*/__init__.py")}
    files = {place.name for place in folder.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert {name for name in named if name.endswith("/")} == (parts - {"model/", "tasks/"}) | {
        "mini/"
    }
    assert {name for name in named if name.endswith(".py")} == files - {"cli.py"}
