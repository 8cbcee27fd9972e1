"""Model cards, read by huggingface_hub."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from huggingface_hub.errors import EntryNotFoundError
from PIL import Image

import harmon_eval
from harmon_eval import cli
from harmon_eval.exchange import finished
from harmon_eval.metrics.text import counted_are
from harmon_eval.report.headlines import headlines, unscored
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import results_by_task


def pushed(run: Path, to: Path, *more: str) -> ModelCard:
    assert cli.main(["push", str(run), "--output", str(to), *more]) == 0
    return ModelCard.load(to / "README.md")


def test_a_card_has_the_table_plots_and_provenance(run: Path, tmp_path: Path) -> None:
    card = pushed(run, tmp_path)
    found = {result.dataset_config: result for result in card.data.eval_results}
    score = harmon_eval.load(run)["vqa"].score
    assert found["vqa"].metric_value == pytest.approx(score)
    assert found["vqa"].metric_name == "accuracy, 3 of 60 samples"
    assert card.data.model_name == "team/hasty"
    assert "| vqa | **accuracy** |" in card.text and "**mini suite**" in card.text
    assert "vqa: 1 sample is unscored and not in the score. It would be" in card.text
    assert "`hasty-1`" in card.text and "arXiv 2310.11513" in card.text
    plots = sorted((tmp_path / "harmon_eval" / "plots").iterdir())
    assert [plot.name for plot in plots] == ["geneval.png", "pope.png", "vqa.png"]
    for plot in plots:
        assert f"](harmon_eval/plots/{plot.name})" in card.text
        assert Image.open(plot).width > 400
    provenance = json.loads((tmp_path / "harmon_eval" / "provenance.json").read_text())
    assert provenance["provenance"]["vqa"]["data"]
    entries = yaml.safe_load((tmp_path / ".eval_results" / "harmon_eval.yaml").read_text())
    assert len(parse_eval_result_entries(entries)) == 3


def test_n_is_the_same_number_everywhere(run: Path, tmp_path: Path) -> None:
    """POPE's headline counts the questions about COCO's images only, in every table."""
    lines = headlines(results_by_task(RunFolder(run)))
    card = pushed(run, tmp_path)
    notes = {found.dataset_config: found.metric_name for found in card.data.eval_results}
    assert cli.main(["report", str(run), "--output", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    stored = (run / "table.md").read_text()
    for line in lines:
        n = line.n
        assert f"{n} samples" in notes[line.task]
        rows = [row for row in card.text.splitlines() if f"**{line.metric}**" in row]
        assert any(f" {n} " in row for row in rows) and f" {n} " in stored
        assert line.n in page
    pope = next(line for line in lines if line.task == "pope")
    assert not pope.n.startswith(f"{harmon_eval.load(run)['pope'].n} "), "others were asked, too"


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 samples are"), (1, "1 sample is"), (1200, "1,200 samples are")]
)
def test_one_sample_is_and_two_samples_are(count: int, said: str) -> None:
    assert counted_are(count, "sample") == said
    lines = unscored({"a": {"unscored": {"no digits": count}}})
    assert lines[:1] == ([f"{said} unscored:"] if count else [])


def test_a_card_that_is_there_keeps_what_others_wrote(run: Path, tmp_path: Path) -> None:
    mine = {
        "license": "mit",
        "model-index": [
            {
                "name": "Mine",
                "results": [
                    {
                        "task": {"type": "text-generation"},
                        "dataset": {"type": "hellaswag", "name": "HellaSwag"},
                        "metrics": [{"type": "acc", "value": 0.5}],
                    }
                ],
            }
        ],
    }
    text = f"---\n{yaml.safe_dump(mine)}---\n\n# Mine\n\nA model of mine.\n"
    (tmp_path / "README.md").write_text(text)
    pushed(run, tmp_path, "--tasks", "vqa")
    first = (tmp_path / "README.md").read_text()
    card = pushed(run, tmp_path, "--tasks", "vqa")
    assert (tmp_path / "README.md").read_text() == first
    assert card.data.license == "mit" and card.data.model_name == "Mine"
    assert card.data.eval_results[0].metric_value == 0.5
    assert len(card.data.eval_results) == 2
    assert card.text.count("A model of mine.") == card.text.count("## Evaluation") == 1


def test_names_of_a_run_are_no_markup_and_no_folder_of_the_machine_is_told(
    run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    identity = folder.manifest["identity"]
    name = "a\n<script>](javascript:x)"
    identity["model"]["name"] = name
    line = "python -m harmon_eval --data /home/alice/secret/pope --output runs/x"
    folder.update(identity=identity, command={"line": line, "options": {}})
    card = pushed(tmp_path / "run", tmp_path / "card")
    assert "<script>" not in card.text and "](javascript" not in card.text
    everything = "".join(
        p.read_text() for p in (tmp_path / "card").rglob("*") if p.is_file() and p.suffix != ".png"
    )
    assert "alice" not in everything and "--data .../pope" in card.text


class Hub:
    """Stands for the hub's address: keeps what is uploaded."""

    repositories: dict[str, dict[str, bytes]]

    def create_repo(self, name: str, private: bool, exist_ok: bool) -> None:
        self.repositories.setdefault(name, {})

    def hf_hub_download(self, name: str, file: str, local_dir: str) -> str:
        if file not in self.repositories[name]:
            raise EntryNotFoundError("no such file")
        (Path(local_dir) / file).write_bytes(self.repositories[name][file])
        return str(Path(local_dir) / file)

    def upload_folder(
        self, repo_id: str, folder_path: str, commit_message: str, create_pr: bool
    ) -> Any:
        root = Path(folder_path)
        files = (p for p in root.rglob("*") if p.is_file())
        found = {str(p.relative_to(root)): p.read_bytes() for p in files}
        self.repositories[repo_id] |= found
        return SimpleNamespace(pr_url=None, commit_url=f"https://huggingface.co/{repo_id}/commit/1")


def test_the_hub_gets_what_the_folder_has(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Hub()
    kept.repositories = {"team/model": {"README.md": b"# Model\n\nOurs.\n", "model.bin": b"1"}}
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: kept)
    assert cli.main(["push", str(run), "--hub", "team/model"]) == 0
    assert "https://huggingface.co/team/model/commit/1" in capsys.readouterr().out
    files = kept.repositories["team/model"]
    assert files["model.bin"] == b"1" and b"Ours." in files["README.md"]
    assert b"## Evaluation" in files["README.md"]
    assert {".eval_results/harmon_eval.yaml", "harmon_eval/results.csv"} <= files.keys()
    assert cli.main(["push", str(run), "--hub", "team/new"]) == 0
    assert b"# team/hasty" in kept.repositories["team/new"]["README.md"]


def test_without_a_network_it_says_so_in_a_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert cli.main(["push", str(run), "--hub", "team/model"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "or leave out --hub" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--private"], "add --hub NAME"),
        (["--hub", "a/b", "--output", "x"], "two places"),
        (["--hub", "not a name!"], "--hub not a name!:"),
        (["--tasks", "mme"], "has no result of 'mme'"),
    ],
)
def test_what_cannot_be_pushed_is_refused(
    run: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["push", str(run), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_run_reads_as_it_is(run: Path) -> None:
    found = finished.read(run)
    assert [task.name for task in found.tasks] == ["pope", "vqa", "geneval"]
    assert found.model == "team/hasty" and found.time("finished").year > 2000


def test_a_hub_that_does_not_answer_is_said_in_a_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever client huggingface_hub asks by: version 1 has httpx, version 2 httpx2."""
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    for name in ("httpx", "httpx2"):
        if find_spec(name):
            refuse.error = import_module(name).ConnectError("[Errno 111] Connection refused")
            assert cli.main(["push", str(run), "--hub", "team/model"]) == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1 and "Connection refused" in said


class Refuse:
    error = Exception("none was set")

    def __call__(self, *arguments: object, **more: object) -> None:
        raise self.error


refuse = Refuse()
