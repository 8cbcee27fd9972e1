"""Questions and prompts of datasets: Parquet, folders, and names on the hub."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import datasets
import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image

import harmon_eval
from harmon_eval import cli, registry
from harmon_eval.core import Data, Draw, Sample, UserError
from harmon_eval.store.durable import read_json, write_json

COLOURS = ("red", "green", "blue")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


def dataset(**more: list[Any]) -> datasets.Dataset:
    features: dict[str, Any] = {
        "view": datasets.Image(),
        "ask": datasets.Value("string"),
        "label": datasets.ClassLabel(names=list(COLOURS)),
    }
    rows: dict[str, list[Any]] = {
        "view": [{"bytes": png(colour), "path": None} for colour in COLOURS],
        "ask": ["Which colour is it?"] * 3,
        "label": [0, 1, 2],
    }
    found = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    for name, values in more.items():
        found = found.add_column(name, values)
    return found


def samples(name: str, fetching: bool = True) -> list[Sample]:
    def nothing() -> Path:
        raise AssertionError("no data of the suite are needed")

    return list(registry.task(name).samples(Data("mini", nothing, fetching=fetching)))


NAMED = "question=ask&answer=label&image=view"


@pytest.mark.parametrize("form", ["parquet", "folder of parquet", "save_to_disk"])
def test_questions_of_a_dataset_in_any_form(tmp_path: Path, form: str) -> None:
    place = tmp_path / "colours"
    if form == "save_to_disk":
        dataset().save_to_disk(str(place))
    else:
        place.mkdir()
        place = place / "test-00000-of-00001.parquet"
        dataset().to_parquet(str(place))
    place = place.parent if form == "folder of parquet" else place
    found = samples(f"vqa:datasets:{place}?{NAMED}")
    assert [s.target["answers"] for s in found] == [["red"], ["green"], ["blue"]]
    for sample, colour in zip(found, COLOURS, strict=True):
        (picture,) = sample.request.files
        assert Image.open(picture).convert("RGB").getpixel((0, 0)) == (
            Image.new("RGB", (1, 1), colour).getpixel((0, 0))
        )


def test_a_folder_of_pictures_that_the_library_reads(tmp_path: Path) -> None:
    for colour in COLOURS:
        (tmp_path / "data" / colour).mkdir(parents=True)
        (tmp_path / "data" / colour / "a.png").write_bytes(png(colour))
    lines = [
        json.dumps({"file_name": f"{colour}/a.png", "question": "Which colour?", "answer": colour})
        for colour in COLOURS
    ]
    (tmp_path / "data" / "metadata.jsonl").write_text("\n".join(lines))
    found = samples(f"vqa:datasets:{tmp_path / 'data'}")
    assert sorted(s.target["answers"][0] for s in found) == sorted(COLOURS)
    assert all(len(s.request.files) == 1 for s in found)


def test_a_run_on_a_dataset_is_marked_compared_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset().to_parquet("colours.parquet")

    class Red:
        def ask(self, requests: list[Any]) -> list[str]:
            return ["red" for _ in requests]

    name = f"vqa:datasets:colours.parquet?{NAMED}"
    result = harmon_eval.evaluate(Red(), name, output=tmp_path / "run")[name]
    assert result.score == pytest.approx(100 / 3)
    assert cli.main(["mark", "run"]) == 0
    assert cli.main(["report", "run"]) == 0
    assert "Which colour is it?" in Path("run/report.html").read_text()


def test_a_place_of_an_option_is_its_letter(tmp_path: Path) -> None:
    options = [["cat", "dog"], ["one", "two"], ["1", "2"]]
    table = {"question": ["?"] * 3, "choices": options, "answer": [1, 0, 2]}
    pq.write_table(pa.table(table), tmp_path / "choice.parquet")
    found = samples(f"vqa:datasets:{tmp_path / 'choice.parquet'}")
    # The third names an option by its text.
    assert [s.target["answers"] for s in found] == [["B"], ["A"], ["B"]]


def test_columns_of_single_options_stay_options(tmp_path: Path) -> None:
    table = {"question": ["?"], "A": ["cat"], "B": ["dog"], "answer": ["B"]}
    pq.write_table(pa.table(table), tmp_path / "letters.parquet")
    (found,) = samples(f"vqa:datasets:{tmp_path / 'letters.parquet'}")
    assert found.target["options"] == {"A": "cat", "B": "dog"}


def test_what_is_not_read_is_said_and_pictures_never_go_unread(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset(source=["web"] * 3).to_parquet(str(tmp_path / "colours.parquet"))
    place = f"vqa:datasets:{tmp_path / 'colours.parquet'}"
    samples(f"{place}?{NAMED}")
    assert "not read are the columns source" in caplog.text
    with pytest.raises(UserError, match="pictures in the column 'view': add image=view"):
        samples(f"{place}?question=ask&answer=label")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("question=aks", "has no column 'aks': did you mean 'ask'"),
        ("qestion=ask", "unknown setting 'qestion': did you mean 'question'"),
        ("split=test", "leave out split=test"),
    ],
)
def test_what_is_wrong_with_the_columns_is_said(tmp_path: Path, given: str, said: str) -> None:
    dataset().to_parquet(str(tmp_path / "colours.parquet"))
    with pytest.raises(UserError, match=said):
        samples(f"vqa:datasets:{tmp_path / 'colours.parquet'}?{given}")


def test_a_split_is_chosen_or_asked_for(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        dataset().to_parquet(str(tmp_path / f"{split}-00000.parquet"))
    assert len(samples(f"vqa:datasets:{tmp_path}?{NAMED}")) == 3
    with pytest.raises(UserError, match="has no split 'tets'"):
        samples(f"vqa:datasets:{tmp_path}?{NAMED}&split=tets")
    (tmp_path / "dev-00000.parquet").rename(tmp_path / "other-00000.parquet")
    with pytest.raises(UserError, match=r"has the splits other, train: add \?split=NAME"):
        samples(f"vqa:datasets:{tmp_path}?{NAMED}")


# -- the hub -----------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The library's door to the hub: what is asked for, and a dataset for it."""
    asked: list[tuple[Any, ...]] = []

    def opened(name: str, config: Any, revision: Any, streaming: bool) -> Any:
        asked.append((name, config, revision, streaming))
        return datasets.IterableDatasetDict({"test": dataset().to_iterable_dataset()})

    monkeypatch.setattr(datasets, "load_dataset", opened)
    return asked


def test_a_dataset_of_the_hub_is_streamed_once(hub: list[tuple[Any, ...]]) -> None:
    name = f"vqa:datasets:someone/colours?{NAMED}&config=small&revision=abc"
    first = samples(name)
    assert hub == [("someone/colours", "small", "abc", True)]
    assert [s.target["answers"] for s in first] == [["red"], ["green"], ["blue"]]
    assert [s.target for s in samples(name, fetching=False)] == [s.target for s in first]
    assert len(hub) == 1


@pytest.mark.parametrize("late", [False, True])
def test_a_token_that_the_hub_refuses_is_not_taken_for_a_missing_dataset(
    monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """When it is opened, or when its first row is read."""
    reply = httpx2.Response(401, request=httpx2.Request("GET", "http://127.0.0.1/me/private"))

    def refused(*_: Any, **__: Any) -> Any:
        raise HfHubHTTPError("401 Unauthorized", response=reply)

    class Rows:
        features = None

        def __iter__(self) -> Any:
            refused()

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: Rows() if late else refused())
    with pytest.raises(UserError, match=r"the hub refuses access \(401\).*HF_TOKEN.*hf auth login"):
        samples(f"vqa:datasets:me/private{late}?{NAMED}")


@pytest.mark.parametrize("task", ["vqa", "checklist"])
def test_nothing_is_fetched_that_only_a_run_folder_names(
    task: str,
    hub: list[tuple[Any, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--model", "scripted", "--tasks", task, "--limit", "2", "--predict-only"]
    assert cli.main([*given, "--output", "run"]) == 0
    name = f"{task}:datasets:someone/secrets"
    manifest = read_json(Path("run/manifest.json"))
    manifest["tasks"] = {name: manifest["tasks"][task]}
    write_json(Path("run/manifest.json"), manifest)
    Path(f"run/{task}").rename(f"run/{task}-datasets-someone-secrets")
    capsys.readouterr()
    assert cli.main(["mark", "run"]) == 2
    said = capsys.readouterr().err
    assert f"--tasks {name}" in said and "would be fetched" in said
    assert cli.main(["report", "run"]) == 0
    assert not hub


# -- prompts -----------------------------------------------------------------------------------


def prompts(file: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), file)
    return f"checklist:datasets:{file}"


def test_prompts_with_their_questions(tmp_path: Path) -> None:
    name = prompts(
        tmp_path / "p.parquet",
        caption=["two red dogs", "a cat"],
        questions=[["Is there a dog?", "Is it red?"], ["Is there a cat?"]],
        category=["dogs", "cats"],
        key=["d/1", "c/1"],
    )
    found = samples(f"{name}?id=key")
    draws = [s.request for s in found if isinstance(s.request, Draw)]
    assert {draw.prompt for draw in draws} == {"two red dogs", "a cat"}
    assert len(draws) == 8  # four images of each, as of any checklist
    points = {s.group: [p["text"] for p in s.target["item"]["points"]] for s in found}
    assert points == {"d-1": ["Is there a dog?", "Is it red?"], "c-1": ["Is there a cat?"]}


def test_prompts_alone_are_asked_about_as_a_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = samples(prompts(tmp_path / "p.parquet", prompt=["a cat on a mat"]))
    (text,) = {p["text"] for s in found for p in s.target["item"]["points"]}
    assert text == 'Does this image show "a cat on a mat"?'
    assert "each prompt as a whole is asked about" in caplog.text
    with pytest.raises(UserError, match=r"\?prompt=COLUMN"):
        samples(prompts(tmp_path / "q.parquet", words=["a cat"]))
