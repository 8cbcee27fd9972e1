"""Copies of the benchmarks in, their own result files out, read back by a second reader."""

from __future__ import annotations

import base64
import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harmon_eval import registry
from harmon_eval.suites import load
from harmon_eval.tasks.gqa.files import read_questions as gqa_questions
from harmon_eval.tasks.mme.files import COGNITION, PERCEPTION, read_questions

Call = Callable[..., Any]
# Replies as models give them, line breaks and all; the same for the same question.
MODEL = """
import hashlib
from harmon_eval.core import Responder

REPLIES = ["Yes", "No", "yes.", "No\\rYes", "Not sure", "The answer is yes", "No\\tdoubt", "B"]

class Talking(Responder):
    name, fingerprint = "talking", "1"
    def ask(self, requests):
        return [REPLIES[hashlib.sha256(r.question.encode()).digest()[0] % len(REPLIES)]
                for r in requests]

def open_model():
    return Talking()
"""


def run(call: Call, tmp_path: Path, task: str) -> dict[str, float]:
    (tmp_path / "talking.py").write_text(MODEL)
    own = ("--include", "talking.py", "--model", "talking", "--tasks", task)
    assert call(*own, "--data", "copies", "--output", "run").code == 0
    metrics = json.loads((tmp_path / "run" / task / "metrics.json").read_text())["metrics"]
    return dict(metrics)


def test_vlmevalkits_mme_in_and_the_official_tools_files_out(call: Call, tmp_path: Path) -> None:
    call("--version")  # into the folder, with the cache of the journeys
    task = registry.task("mme")
    source = load("mini").data("mme", task).folder
    (tmp_path / "copies/mme").mkdir(parents=True)
    with (tmp_path / "copies/mme/MME.tsv").open("w", newline="") as file:
        names = ["index", "question", "answer", "category", "image_path", "image"]
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(names)
        for i, q in enumerate(read_questions(source)):
            image = base64.b64encode(q.file.read_bytes()).decode()
            writer.writerow([i, q.text, q.truth, q.subtask, f"{q.subtask}/{q.image}", image])
    metrics = run(call, tmp_path, "mme")
    files = tmp_path / "run/mme/Your_Results"
    sums = [
        sum(map(official_mme, (files / f"{s}.txt" for s in part)))
        for part in (PERCEPTION, COGNITION)
    ]
    assert sums[0] > 0
    assert abs(sums[0] - metrics["perception"]) < 1e-9
    assert abs(sums[1] - metrics["cognition"]) < 1e-9


def official_mme(file: Path) -> float:
    """A subtask's score as mme.md tells of the official tool: pairs are two lines after another."""
    with file.open() as opened:
        lines = [line.split("\t") for line in opened.readlines()]
    right = []
    for _image, _question, truth, reply in lines:
        said, head = reply.lower(), reply.lower()[:4]
        parsed = (
            said
            if said in ("yes", "no")
            else "yes"
            if "yes" in head
            else ("no" if "no" in head else "other")
        )
        right.append(parsed == truth.lower())
    pairs = list(zip(right[::2], right[1::2], strict=True))
    return 100 * sum(right) / len(right) + 100 * sum(a and b for a, b in pairs) / len(pairs)


def test_the_official_gqa_in_and_its_prediction_file_out(call: Call, tmp_path: Path) -> None:
    call("--version")
    task = registry.task("gqa")
    source = load("mini").data("gqa", task).folder
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies/gqa").symlink_to(source)
    metrics = run(call, tmp_path, "gqa")
    file = tmp_path / "run/gqa/testdev_balanced_predictions.json"
    said = {e["questionId"]: e["prediction"] for e in json.loads(file.read_text())}
    questions = {q.number: q.target for q in gqa_questions(source)}
    right = [said[number] == target["answer"] for number, target in questions.items()]
    assert abs(100 * sum(right) / len(right) - metrics["gqa_accuracy"]) < 1e-9
    # The chi-square of eval.py, written down once more.
    weighted = total = 0.0
    for group in {target["global"] for target in questions.values()} - {""}:
        own = {n: target["answer"] for n, target in questions.items() if target["global"] == group}
        truths, given = list(own.values()), [said[number] for number in own]
        score = sum((given.count(a) - truths.count(a)) ** 2 / truths.count(a) for a in {*truths})
        weighted, total = weighted + score * len(own), total + len(own)
    if total:
        assert abs(weighted / total / 100 - metrics["distribution"]) < 1e-9


def test_mmmus_answer_file_says_what_was_marked(call: Call, tmp_path: Path) -> None:
    call("--version")
    task = registry.task("mmmu")
    data = load("mini").data("mmmu", task)
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies/mmmu").symlink_to(data.folder)
    metrics = run(call, tmp_path, "mmmu")
    answers = json.loads((tmp_path / "run/mmmu/answers.json").read_text())
    choices = {s.id: s.target for s in task.samples(data) if s.target["options"]}
    right = [answers[number] == target["answer"] for number, target in choices.items()]
    assert abs(100 * sum(right) / len(right) - metrics["mmmu_mc"]) < 1e-9
    assert all(re.fullmatch(r"[A-Z]?", answers[number]) for number in choices)
