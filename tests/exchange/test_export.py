"""Results in the formats of other tools, read by their own code where that is installed.

Facts of their formats that the tests hold stand in their sources: lm_eval/result_schema.py of
lm-eval 0.4.13, lmms_eval/loggers/evaluation_tracker.py of lmms-eval 0.7.3, inspect_ai/log/_log.py
of inspect_ai 0.3.285, and huggingface_hub itself.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

import harmon_eval
from harmon_eval import cli
from harmon_eval.exchange import finished, hub_results
from harmon_eval.exchange.outgoing import FORMATS
from harmon_eval.store.durable import read_json, write_json
from harmon_eval.store.tables import frame, results_by_task


def exported(run: Path, form: str, to: Path, *more: str) -> Path:
    assert cli.main(["export", str(run), "--format", form, "--output", str(to), *more]) == 0
    return to


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def accuracy(run: Path, task: str = "vqa", metric: str = "accuracy") -> float:
    return harmon_eval.load(run)[task].metrics[metric]


def test_the_command_offers_each_format(run: Path) -> None:
    from harmon_eval.cli import command_parser
    from harmon_eval.commands import export

    parser = command_parser("export")
    export.add_arguments(parser)
    choices = next(a.choices for a in parser._actions if a.dest == "format")
    assert choices is not None and set(choices) == set(FORMATS)


@pytest.mark.parametrize("form", FORMATS)
def test_a_second_export_writes_the_same_files(run: Path, tmp_path: Path, form: str) -> None:
    def content() -> dict[str, bytes]:
        folder = exported(run, form, tmp_path / form)
        found = (p for p in folder.rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): p.read_bytes() for p in found}

    first = content()
    assert first and first == content()


# -- lm-eval -----------------------------------------------------------------------------------


def test_lm_eval_has_the_metrics_with_errors_and_one_line_a_sample(
    run: Path, tmp_path: Path
) -> None:
    folder = exported(run, "lm-eval", tmp_path) / "team__hasty"
    (file,) = folder.glob("results_*.json")
    results = json.loads(file.read_text())
    own = results["results"]["vqa"]
    assert own["accuracy,none"] == pytest.approx(accuracy(run))
    low, high = harmon_eval.load(run)["vqa"].intervals["accuracy"]
    assert own["accuracy_stderr,none"] == pytest.approx((high - low) / 3.919928)
    assert results["versions"]["vqa"] == "2" and results["n-shot"]["vqa"] == 0
    assert results["higher_is_better"]["vqa"]["accuracy"] is True
    assert results["n-samples"]["pope"] == {
        "original": harmon_eval.load(run)["pope"].total,
        "effective": harmon_eval.load(run)["pope"].n,
    }
    assert results["model_name"] == "team/hasty"
    (samples,) = folder.glob("samples_vqa_*.jsonl")
    found = lines(samples)
    scored = [s["correct"] for s in found if s["metrics"]]
    assert 100 * sum(scored) / len(scored) == pytest.approx(own["accuracy,none"])
    assert all(s["resps"] == [["yes"]] for s in found if s["metrics"])
    unscored = [s for s in found if not s["metrics"]]
    assert len(unscored) == 1 and "out of luck" in unscored[0]["doc"]["unscored"]
    assert all("correct" not in s for s in unscored)


def test_a_drawing_is_named_from_where_the_samples_lie(run: Path, tmp_path: Path) -> None:
    folder = exported(run, "lm-eval", tmp_path) / "team__hasty"
    (samples,) = folder.glob("samples_geneval_*.jsonl")
    for sample in lines(samples):
        assert (folder / sample["resps"][0][0]).resolve().is_file()


def test_a_sample_keeps_its_number_whatever_the_limit(tmp_path: Path) -> None:
    class Yes:
        def ask(self, requests: list[Any]) -> list[str]:
            return ["yes" for _ in requests]

    numbers = []
    for limit in (4, 8):
        harmon_eval.evaluate(Yes(), "vqa", limit=limit, output=tmp_path / str(limit))
        (task,) = finished.read(tmp_path / str(limit)).tasks
        numbers.append({sample.id: sample.index for sample in task.samples()})
    assert numbers[0].items() <= numbers[1].items()


def test_lm_eval_reads_it(run: Path, tmp_path: Path) -> None:
    utils = pytest.importorskip("lm_eval.utils", reason="lm-eval is not installed")
    files = list(map(str, exported(run, "lm-eval", tmp_path).rglob("*.json*")))
    (results,) = utils.get_results_filenames(files)
    samples = utils.get_sample_results_filenames(files)
    named = {utils.get_file_task_name(Path(file).name) for file in samples}
    assert named == {"pope", "vqa", "geneval"}
    assert utils.get_latest_filename([results]) == results
    table = utils.make_table(json.loads(Path(results).read_text()))
    assert f"{accuracy(run):.4f}" in table


# -- lmms-eval ---------------------------------------------------------------------------------


def test_lmms_eval_has_a_score_where_there_is_a_mark(run: Path, tmp_path: Path) -> None:
    folder = exported(run, "lmms-eval", tmp_path) / "team__hasty"
    (file,) = folder.glob("*_results.json")
    own = json.loads(file.read_text())["results"]["vqa"]
    assert own["accuracy_stderr_clustered,none"] == own["accuracy_stderr,none"]
    assert all("," in name or name == "alias" for name in own)
    (samples,) = folder.glob("*_samples_vqa.jsonl")
    found = lines(samples)
    scores = [s["score"] for s in found if "score" in s]
    assert 100 * sum(scores) / len(scores) == pytest.approx(own["accuracy,none"])
    (unscored,) = (s for s in found if "score" not in s)
    assert unscored["target"] == "" and unscored["expected"]


def test_lmms_eval_reads_it_as_its_baseline(run: Path, tmp_path: Path) -> None:
    loader = pytest.importorskip("lmms_eval.baselines.loader", reason="lmms-eval is not installed")
    (file,) = exported(run, "lmms-eval", tmp_path).rglob("*_samples_vqa.jsonl")
    scores, together = loader.load_baseline(str(file), "vqa")
    assert 100 * sum(scores.values()) / len(scores) == pytest.approx(accuracy(run))
    assert len(scores) == harmon_eval.load(run)["vqa"].n and together is not None
    utils = pytest.importorskip("lmms_eval.utils", reason="lmms-eval is not complete")
    assert f"{accuracy(run):.4f}" in utils.make_table(together)


# -- inspect -----------------------------------------------------------------------------------


def test_an_inspect_log_keeps_unscored_samples_apart(run: Path, tmp_path: Path) -> None:
    (file,) = exported(run, "inspect", tmp_path, "--tasks", "vqa").glob("*.json")
    log = json.loads(file.read_text())
    assert (log["version"], log["status"]) == (2, "success")
    (score,) = log["results"]["scores"]
    assert (score["scored_samples"], score["unscored_samples"]) == (3, 1)
    values = [s["scores"]["vqa"]["value"] for s in log["samples"]]
    assert set(map(str, values)) <= {"C", "I", "nan"}
    (unscored,) = (s for s in log["samples"] if s["scores"]["vqa"]["value"] not in ("C", "I"))
    assert math.isnan(unscored["scores"]["vqa"]["value"])
    assert "out of luck" in unscored["scores"]["vqa"]["explanation"]
    right = sum(value == "C" for value in values)
    assert score["metrics"]["accuracy"]["value"] == pytest.approx(100 * right / 3)


def test_an_inspect_log_shows_the_pictures(run: Path, tmp_path: Path) -> None:
    folder = exported(run, "inspect", tmp_path, "--tasks", "vqa,geneval")
    (asked,) = folder.glob("*_vqa_*.json")
    kinds = [
        part["type"] for part in json.loads(asked.read_text())["samples"][0]["input"][0]["content"]
    ]
    assert kinds == ["image", "text"]
    (drawn,) = folder.glob("*_geneval_*.json")
    answer = json.loads(drawn.read_text())["samples"][0]["messages"][-1]["content"]
    assert answer[0]["image"].startswith("data:image/webp;base64,")


def test_inspect_reads_it(run: Path, tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log", reason="inspect_ai is not installed")
    folder = exported(run, "inspect", tmp_path)
    infos = log.list_eval_logs(str(folder))
    assert {info.task for info in infos} == {"pope", "vqa", "geneval"}
    for info in infos:
        read = log.read_eval_log(info.name)
        own = harmon_eval.load(run)[read.eval.task]
        assert read.status == "success" and len(read.samples) == own.n + sum(own.unscored.values())
        assert read.results.scores[0].metrics[own.headline].value == pytest.approx(own.score)
        log.write_eval_log(read, str(tmp_path / "again.eval"))
        again = log.read_eval_log(str(tmp_path / "again.eval"))
        assert len(again.samples) == len(read.samples)


# -- the hub -----------------------------------------------------------------------------------


def test_the_hub_reads_its_entries(run: Path, tmp_path: Path) -> None:
    folder = exported(run, "hf-eval-results", tmp_path)
    entries = parse_eval_result_entries(
        yaml.safe_load((folder / ".eval_results" / "harmon_eval.yaml").read_text())
    )
    found = {entry.task_id: entry for entry in entries}
    assert found["vqa"].value == pytest.approx(accuracy(run))
    assert "3 of 60 samples; 1 unscored" in found["vqa"].notes
    index = yaml.safe_load((folder / "model-index.yaml").read_text())["model-index"]
    name, results = model_index_to_eval_results(index)
    assert name == "team/hasty"
    kinds = {result.task_name: result.task_type for result in results}
    assert kinds == {
        **dict.fromkeys(("pope", "vqa"), "visual-question-answering"),
        "geneval": "text-to-image",
    }


@pytest.mark.parametrize(
    ("suite", "n", "expected"),
    [
        ("official", 900, "MMMU/MMMU"),
        ("official", 899, "harmon-eval/official"),
        ("mini", 900, "harmon-eval/mini"),
    ],
)
def test_only_a_complete_official_result_names_the_benchmarks_dataset(
    tmp_path: Path, suite: str, n: int, expected: str
) -> None:
    class Yes:
        def ask(self, requests: list[Any]) -> list[str]:
            return ["A" for _ in requests]

    harmon_eval.evaluate(Yes(), "mmmu", limit=4, output=tmp_path / "run")
    for name in ("manifest.json", ".manifest-copy.json"):
        manifest = read_json(tmp_path / "run" / name)
        manifest["identity"]["suite"] = suite
        write_json(tmp_path / "run" / name, manifest)
    stored = read_json(tmp_path / "run/mmmu/metrics.json")
    write_json(tmp_path / "run/mmmu/metrics.json", {**stored, "n": n, "total": 900})
    found = finished.read(tmp_path / "run")
    assert hub_results.dataset(found, found.tasks[0]) == expected


# -- CSV ---------------------------------------------------------------------------------------


def test_csv_has_every_metric_with_its_provenance(run: Path, tmp_path: Path) -> None:
    folder = exported(run, "csv", tmp_path)
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    from harmon_eval.store.run_folder import RunFolder

    table = frame(list(results_by_task(RunFolder(run)).values()))
    assert len(rows) == len(table)
    head = next(row for row in rows if (row["task"], row["metric"]) == ("vqa", "accuracy"))
    assert float(head["value"]) == pytest.approx(accuracy(run))
    assert (head["model"], head["suite"], head["seed"]) == ("team/hasty", "mini", "0")
    with (folder / "samples_vqa.csv").open(newline="") as file:
        samples = list(csv.DictReader(file))
    assert [row["answer"] for row in samples if not row["unscored"]] == ["yes"] * 3


def test_no_cell_is_a_formula(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")

    class Formula:
        def ask(self, requests: list[Any]) -> list[str]:
            return ['=HYPERLINK("http://x","y")' for _ in requests]

    harmon_eval.evaluate(Formula(), "vqa", limit=2, output=tmp_path / "formula")
    text = (exported(tmp_path / "formula", "csv", tmp_path / "out") / "samples_vqa.csv").read_text()
    assert "'=HYPERLINK" in text and ",=HYPERLINK" not in text and ',"=HYPERLINK' not in text


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "csv", "--tasks", "mme"], "has no result of 'mme'"),
        (["vqa", "--format", "csv"], "give --tasks and --output"),
        ([], "give --format"),
        (["--tasks", "vqa"], "add --format"),
    ],
)
def test_what_cannot_be_written_is_refused(
    run: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(run), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_where_the_data_are_not_at_hand_the_replies_are_exported_and_that_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "run")
    for name in ("manifest.json", ".manifest-copy.json"):
        manifest = read_json(tmp_path / "run" / name)
        manifest["tasks"]["vqa"]["data"] = "other"
        write_json(tmp_path / "run" / name, manifest)
    folder = exported(tmp_path / "run", "lm-eval", tmp_path / "out", "--tasks", "vqa")
    assert "vqa: the data here is not the data of this run" in capsys.readouterr().out
    (samples,) = folder.rglob("samples_vqa_*.jsonl")
    assert len(lines(samples)) == 4
