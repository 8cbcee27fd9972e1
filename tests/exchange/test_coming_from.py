"""The page for users of other tools: its numbers, by the formulas of those tools.

Where lmms-eval is installed its own functions are called; the formulas stand here in any case.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import harmon_eval
from harmon_eval import plugins, registry, suites
from harmon_eval.core import Ask, Draw, Responder
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.suites.mini.scenes import render, scene_for

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "coming-from.md").read_text()
SAID = ("yes", "no", "Yes, there is.", "No.", "maybe", "yes", "n")


def table(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its head."""
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


class Unsteady(Responder):
    """Answers in every way that the rules of the tools read differently."""

    name, fingerprint = "unsteady", "unsteady-1"

    def ask(self, requests: Sequence[Ask]) -> list[str]:
        replies = itertools.cycle(SAID)
        return [next(replies) for _ in requests]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("coming") / "run"
    return harmon_eval.evaluate(Unsteady(), ["pope", "mme"], output=folder)


def asked(results: Any, task: str) -> list[tuple[Any, str]]:
    """Samples with their replies."""
    job = prepare(task, registry.task(task), suites.load("mini"), RunSettings())
    replies = dict(zip(results[task].rows["id"], results[task].rows["reply"], strict=True))
    return [(sample, replies[sample.id]) for sample in job.everything]


def theirs(task: str) -> ModuleType | None:
    """The functions of lmms-eval for a task; None where it is not installed."""
    found = importlib.util.find_spec("lmms_eval")
    if found is None or not found.submodule_search_locations:
        return None
    file = Path(found.submodule_search_locations[0]) / "tasks" / task / "utils.py"
    spec = importlib.util.spec_from_file_location(f"lmms_eval_{task}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- POPE --------------------------------------------------------------------------------------


def test_pope_is_what_lmms_eval_prints(results: Any) -> None:
    lines = []
    for sample, reply in asked(results, "pope"):
        if sample.target["source"] == "coco":
            rows = sum(len(ids) for ids in sample.target["rows"].values())
            lines += [(sample.target["label"], reply)] * rows
    metrics = results["pope"].metrics
    accuracy, f1 = pope_of_lmms_eval(lines)
    assert metrics["coco_acc_pooled[lmms-eval]"] == pytest.approx(100 * accuracy)
    assert metrics["coco_f1_pooled[lmms-eval]"] == pytest.approx(100 * f1)
    if (module := theirs("pope")) is not None:
        each = [
            module.pope_process_results({"answer": label, "question_id": 0}, [reply])[
                "pope_f1_score"
            ]
            for label, reply in lines
        ]
        assert module.pope_aggregate_accuracy(each) == pytest.approx(accuracy)
        assert module.pope_aggregate_f1_score(each) == pytest.approx(f1)


def pope_of_lmms_eval(lines: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """A reply is yes or no only if it is that very word."""
    read = [(label, reply.lower().strip()) for label, reply in lines]
    hits = sum(label == said == "yes" for label, said in read)
    precision = hits / sum(said == "yes" for _, said in read)
    recall = hits / sum(label == "yes" and said in ("yes", "no") for label, said in read)
    accuracy = sum(label == said for label, said in read) / len(read)
    return accuracy, 2 * precision * recall / (precision + recall)


# -- MME ---------------------------------------------------------------------------------------

COGNITION = (
    *("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"),
)


def test_mme_is_what_lmms_eval_prints(results: Any) -> None:
    marks: list[dict[str, Any]] = []
    module = theirs("mme")
    for sample, reply in asked(results, "mme"):
        doc = {
            "question_id": sample.group,
            "category": sample.target["subtask"],
            "answer": sample.target["truth"],
        }
        said = mme_of_lmms_eval(reply)
        score = float(said == doc["answer"].lower())
        marks.append(
            {"question_id": doc["question_id"], "category": doc["category"], "score": score}
        )
        if module is not None:
            (own,) = module.mme_process_results(doc, [reply]).values()
            assert own == marks[-1]
    metrics = results["mme"].metrics
    for name, part in {
        "perception": [m for m in marks if m["category"] not in COGNITION],
        "cognition": [m for m in marks if m["category"] in COGNITION],
    }.items():
        total = mme_total(part)
        assert metrics[f"{name}[lmms-eval]"] == pytest.approx(total)
        if module is not None:
            assert module.mme_aggregate_results(part) == pytest.approx(total)


def mme_of_lmms_eval(reply: str) -> str:
    word = reply.lower().strip().replace(".", "")
    if len(word) == 1:
        return {"y": "yes", "n": "no"}.get(word, "other")
    return next((verdict for verdict in ("yes", "no") if verdict in word[:4]), "other")


def mme_total(marks: Sequence[dict[str, Any]]) -> float:
    """Of each subtask: percent right, and percent of the pictures with both questions right."""
    pairs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for mark in marks:
        pairs[mark["category"]][mark["question_id"]].append(mark["score"])
    return sum(
        float(np.mean([100 * np.mean(pair) + 100 * (sum(pair) == 2) for pair in own.values()]))
        for own in pairs.values()
    )


# -- GenEval -----------------------------------------------------------------------------------


class Painter(Responder):
    """Draws every third prompt as it is asked, and the others empty."""

    name, fingerprint = "painter", "painter-1"

    def __init__(self) -> None:
        job = prepare("geneval", registry.task("geneval"), suites.load("mini"), RunSettings())
        self.asked = {sample.request.text: sample.target for sample in job.everything}

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        return [self._drawn(request) for request in requests]

    def _drawn(self, request: Draw) -> Image.Image:
        if len(request.prompt) % 3:
            return Image.new("RGB", (64, 64), "grey")
        rng = np.random.default_rng(request.seed)
        return Image.fromarray(render(scene_for(self.asked[request.prompt], rng)))


def test_geneval_is_what_its_script_prints(tmp_path: Path) -> None:
    """``summary_scores.py`` on the file of results that a run writes for it."""
    run = harmon_eval.evaluate(Painter(), "geneval", limit=40, output=tmp_path / "run")
    file = tmp_path / "run" / "geneval" / "results.jsonl"
    written = pd.read_json(file, orient="records", lines=True)
    overall = written.groupby("tag", sort=False)["correct"].mean().mean()
    assert 0.1 < overall < 0.9 and written["tag"].nunique() == 6
    assert run["geneval"].metrics["overall"] == pytest.approx(overall)
    assert run["geneval"].metrics["correct_images"] == pytest.approx(written["correct"].mean())


# -- the page ----------------------------------------------------------------------------------


@pytest.mark.parametrize("row", table("Equal numbers"), ids=lambda row: f"{row[0]} {row[1][:30]}")
def test_each_number_of_the_page_has_a_test_and_a_metric(row: list[str]) -> None:
    file, _, test = row[4].partition("::")
    assert f"def {test}(" in (ROOT / file).read_text()
    name = row[2].strip("`").partition(":REFS")[0]
    if name in registry.bundled_task_names():
        task = registry.task(name)
        metrics = re.findall(r"`([^`]+)`", row[3])
        assert metrics and all(task.metric(metric) for metric in metrics)


@pytest.mark.parametrize("row", table("Equal commands"), ids=lambda row: row[0][:40])
def test_each_command_of_the_page_is_one_here(
    row: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harmon_eval import cli

    found = re.search(r"`python -m harmon_eval ?([^`]*)`", row[1])
    if found is None:
        assert row[1] == "the same command again"
        return
    monkeypatch.setattr(plugins, "include", lambda path: [])
    command, arguments = cli.parse(shlex.split(found[1]))
    assert command in cli.COMMANDS and arguments is not None
    chosen: Callable[[str], None] = registry.check_task_name
    for name in shlex.split(found[1]):
        if name in ("pope", "pope,mme", "mmmu", "geneval") or name.startswith("fidelity:"):
            for each in name.split(","):
                chosen(each)
