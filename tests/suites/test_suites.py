"""Suites give data in the official formats, whole and checked, and say what is missing."""

import json
from multiprocessing import get_context
from pathlib import Path

import pytest

from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.suites import load


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_mini_geneval_is_written_in_the_official_format() -> None:
    folder = load("mini").data("geneval")
    lines = (folder / "evaluation_metadata.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert set(first) == {"tag", "include", "prompt"}
    assert len(lines) > 300


def test_mini_mjhq_has_ten_categories_and_every_reference_image() -> None:
    folder = load("mini").data("mjhq")
    metadata = json.loads((folder / "meta_data.json").read_text())
    categories = {entry["category"] for entry in metadata.values()}
    assert len(categories) == 10
    for key, entry in metadata.items():
        assert (folder / "mjhq30k_imgs" / entry["category"] / f"{key}.png").is_file()


def test_data_are_the_same_wherever_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = contents(load("mini").data("geneval"))
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "elsewhere"))
    assert contents(load("mini").data("geneval")) == here


def test_damaged_data_are_found_by_checksum_and_made_again() -> None:
    folder = load("mini").data("geneval")
    sound = contents(folder)
    file = folder / "evaluation_metadata.jsonl"
    file.write_text(file.read_text()[:1000])
    assert contents(load("mini").data("geneval")) == sound


def _make(task: str) -> str:
    return str(load("mini").data(task))


def test_two_processes_may_make_them_at_once(cache: Path) -> None:
    with get_context("spawn").Pool(2) as pool:
        first, second = pool.map(_make, ["geneval", "geneval"])
    assert first == second
    assert {p.name for p in Path(first).parent.iterdir()} == {"geneval"}


def test_official_geneval_needs_no_download() -> None:
    folder = load("official").data("geneval")
    assert len((folder / "evaluation_metadata.jsonl").read_text().splitlines()) == 553


def test_own_data_come_first(tmp_path: Path) -> None:
    (tmp_path / "geneval").mkdir()
    (tmp_path / "geneval" / "evaluation_metadata.jsonl").write_text("{}\n")
    assert load("official", tmp_path).data("geneval") == tmp_path / "geneval"


def test_missing_official_data_say_which_file_goes_where(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"meta_data\.json.*MJHQ-30K.*--data DIR"):
        load("official").data("mjhq")
    with pytest.raises(UserError, match=f"into {tmp_path}/mjhq"):
        load("official", tmp_path).data("mjhq")


def test_missing_official_instruments_say_that_marking_goes_on_later() -> None:
    with pytest.raises(InstrumentMissing, match="Mask2Former.*mark RUN"):
        load("official").instrument("detector")


def test_unknown_suites_and_folders_are_named() -> None:
    with pytest.raises(UserError, match="did you mean 'mini'"):
        load("minni")
    with pytest.raises(UserError, match="no such folder"):
        load("mini", Path("nowhere"))
