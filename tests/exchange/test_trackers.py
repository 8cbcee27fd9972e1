"""Runs in trackers, read back by the trackers' own code; none of them has a network here."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import harmon_eval
from harmon_eval import cli, trackers
from harmon_eval.commands import _trackers
from harmon_eval.core import UserError
from harmon_eval.trackers import open_trackers
from harmon_eval.trackers.results import send

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def sent(run: Path, name: str, folder: Path, *steps: int) -> Path:
    for step in steps or (0,):
        started = open_trackers([name], folder, "first")
        send(started, run, step)
        started.close()
    return folder / "trackers" / name


def head(run: Path) -> tuple[float, float, float]:
    found = harmon_eval.load(run)["vqa"]
    assert found.score is not None and found.interval is not None
    return (found.score, *found.interval)


def test_the_command_offers_each_tracker() -> None:
    assert _trackers.NAMES == trackers.NAMES


def test_tensorboard_has_metrics_with_intervals_tables_and_pictures(
    run: Path, tmp_path: Path
) -> None:
    folder = sent(run, "tensorboard", tmp_path, 10, 20)
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0}).Reload()
    for tag, expected in zip(("", "_low", "_high"), head(run), strict=True):
        points = events.Scalars(f"vqa/accuracy{tag}")
        assert [point.step for point in points] == [10, 20]
        assert points[0].value == pytest.approx(expected, rel=1e-5)
    assert events.Scalars("vqa/unscored")[0].value == 1
    drawn = [tag for tag in events.Tags()["images"] if tag.startswith("geneval/")]
    assert len(drawn) == 16
    text = events.Tensors("results/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| vqa | accuracy |" in text
    caption = events.Tensors("geneval/00/caption/text_summary")[0].tensor_proto.string_val[0]
    assert b"(wrong: " in caption
    assert "custom_scalars__config__" in events.Tags()["tensors"]


def test_mlflow_goes_on_with_its_run(run: Path, tmp_path: Path) -> None:
    folder = sent(run, "mlflow", tmp_path, 10, 20)
    client = MlflowClient((folder / "store").absolute().as_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'harmon-eval'")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "first" and found.info.status == "FINISHED"
    history = client.get_metric_history(found.info.run_id, "vqa/accuracy_low")
    assert [(m.step, m.value) for m in history] == [(10, head(run)[1]), (20, head(run)[1])]
    assert found.data.params["identity.model.name"] == "team/hasty"
    names = {f.path for f in client.list_artifacts(found.info.run_id, "pictures")}
    assert "pictures/geneval_00-10.png" in names
    kept = Path(urlparse(found.info.artifact_uri).path)
    assert "vqa,accuracy" in (kept / "tables" / "results-20.csv").read_text()


def test_wandb_keeps_offline_what_sync_will_send(run: Path, tmp_path: Path) -> None:
    folder = sent(run, "wandb", tmp_path, 10, 20)
    logged: list[dict[str, Any]] = []
    for file in sorted((folder / "wandb").glob("offline-run-*/run-*.wandb")):
        logged += history(file)
    values = [row["vqa/accuracy"] for row in logged if "vqa/accuracy" in row]
    assert values == pytest.approx([head(run)[0]] * 2)
    assert [row["step"] for row in logged if "vqa/accuracy" in row] == [10, 20]
    assert {row["results/_type"] for row in logged if "results/_type" in row} == {"table-file"}
    captions = [row["geneval/00/caption"] for row in logged if "geneval/00/caption" in row]
    assert len(captions) == 2 and all("(wrong: " in caption for caption in captions)
    assert len({p.name.rpartition("-")[2] for p in (folder / "wandb").glob("offline-run-*")}) == 1


def history(file: Path) -> list[dict[str, Any]]:
    """The rows in a file of wandb."""
    from wandb.proto import wandb_internal_pb2

    rows = []
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if items := record.history.item:
            rows.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
    return rows


def records(data: bytes, block: int = 2**15) -> Iterator[bytes]:
    """Of a log in LevelDB's format: blocks, in which pieces have a checksum, a size and a kind."""
    assert data.startswith(b":W&B")
    place, parts = 7, b""
    while place + 7 <= len(data):
        if block - place % block < 7:
            place += block - place % block
            continue
        size, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            yield parts
            parts = b""


def test_run_and_mark_send_what_they_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--model", "scripted", "--tasks", "vqa", "--limit", "2", "--output", "run"]
    assert cli.main([*given, "--tracker", "tensorboard"]) == 0
    events = EventAccumulator("run/trackers/tensorboard").Reload()
    assert events.Scalars("headline/vqa")
    assert cli.main(["mark", "run", "--tracker", "tensorboard"]) == 0
    assert len(EventAccumulator("run/trackers/tensorboard").Reload().Scalars("headline/vqa")) == 2
    assert cli.main(given) == 0, "a run folder with a tracker's files is still one"


def test_a_tracker_that_is_not_installed_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "harmon_eval.trackers.wandb", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", None)
    given = ["--model", "scripted", "--tasks", "vqa", "--output", str(tmp_path / "run")]
    assert cli.main([*given, "--tracker", "wandb"]) == 2
    assert "pip install 'harmon-eval[wandb]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'tensorboard'"):
        harmon_eval.open_trackers(["tensorbord"], tmp_path)


def test_no_key_reaches_a_tracker(run: Path, tmp_path: Path) -> None:
    class Leaky:
        name, fingerprint = "leaky", "leaky-1"

        def ask(self, requests: list[Any]) -> list[str]:
            return ["yes" for _ in requests]

    harmon_eval.evaluate(Leaky(), "vqa", limit=2, output=tmp_path / "run")
    kept: list[str] = []

    class Kept:
        def settings(self, values: Any) -> None:
            kept.append(json.dumps(values))

        def numbers(self, values: Any, step: int) -> None: ...
        def table(self, name: str, rows: Any, step: int) -> None: ...
        def picture(self, name: str, image: Any, caption: str, step: int) -> None: ...
        def close(self) -> None: ...

    from harmon_eval.store.run_folder import RunFolder

    RunFolder(tmp_path / "run").update(about={"note": "hf_" + "a" * 30})
    send(Kept(), tmp_path / "run")
    assert "hf_aaaa" not in kept[0]


@pytest.mark.parametrize("name", trackers.NAMES)
def test_a_tracker_whose_folder_cannot_be_written_costs_nothing_but_itself(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--model", "scripted", "--tasks", "vqa", "--limit", "2", "--output", "run"]
    assert cli.main(given) == 0
    Path("run/trackers").write_text("in the way")
    told = [*given, "--tracker", name, "--baseline", "run", "--gate"]
    assert cli.main(told) == cli.main([*given, "--baseline", "run", "--gate"])
    said = capsys.readouterr()
    assert f"{name}: --tracker {name} cannot write into run/trackers/{name}" in said.err
    assert f"mark run --tracker {name}` sends it" in said.err
    assert said.out.count("vqa") >= 4, "the gate still compares"


def test_a_tracker_that_fails_midway_gets_nothing_more_and_the_others_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = open_trackers(["mlflow", "tensorboard"], tmp_path, "first")
    started.numbers({"loss": 1.0}, 1)
    store = tmp_path / "trackers" / "mlflow" / "store"
    shutil.rmtree(store)
    store.write_text("in the way")
    started.numbers({"loss": 0.5}, 2)
    started.numbers({"loss": 0.25}, 3)
    started.close()
    said = capsys.readouterr().err
    assert said.count("mlflow: it failed and gets nothing more (") == 1
    events = EventAccumulator(str(tmp_path / "trackers" / "tensorboard")).Reload()
    assert [point.value for point in events.Scalars("loss")] == [1.0, 0.5, 0.25]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_tensorboard_too_is_left_out_once_its_folder_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = open_trackers(["tensorboard"], tmp_path, "first")
    shutil.rmtree(tmp_path / "trackers")
    for step in range(3):
        started.numbers({"loss": 1.0}, step)
    started.close()
    assert capsys.readouterr().err.count("tensorboard: it failed") == 1


@pytest.mark.parametrize(
    ("name", "variables", "said"),
    [
        ("wandb", {"WANDB_MODE": "online", "WANDB_API_KEY": ""}, "WANDB_MODE=offline"),
        ("mlflow", {"MLFLOW_TRACKING_URI": "nonsense://here"}, "check MLFLOW_TRACKING_URI"),
        ("mlflow", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, "check MLFLOW_TRACKING_URI"),
    ],
)
def test_a_tracker_that_could_not_start_is_said_before_anything_runs(
    name: str, variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    """In a process of its own: wandb reads its variables once."""
    home = {"HOME": str(tmp_path), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", **variables}
    run = ["--model", "scripted", "--tasks", "vqa", "--limit", "2", "--output", "run"]
    done = subprocess.run(
        [sys.executable, "-m", "harmon_eval", *run, "--tracker", name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **home},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert f"{name.replace('mlf', 'MLf')} did not start (" in done.stderr and said in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()
