"""Suites give data in the official formats, whole and checked, and say what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harmon_eval import registry
from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.suites import load


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def folder_of(suite: str, name: str, data: Path | None = None) -> Path:
    return load(suite, data).data(name, registry.task(name)).folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_mini_geneval_is_written_in_the_official_format() -> None:
    folder = folder_of("mini", "geneval")
    lines = (folder / "evaluation_metadata.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert set(entries[0]) == {"tag", "include", "prompt"}
    assert {entry["tag"] for entry in entries} == {
        *("single_object", "two_object", "counting", "colors", "position", "color_attr")
    }
    assert len({entry["prompt"] for entry in entries}) == len(entries) > 250


def test_mini_mjhq_has_ten_categories_and_every_reference_image() -> None:
    folder = folder_of("mini", "mjhq")
    metadata = json.loads((folder / "meta_data.json").read_text())
    categories = {entry["category"] for entry in metadata.values()}
    assert len(categories) == 10
    for key, entry in metadata.items():
        assert (folder / "mjhq30k_imgs" / entry["category"] / f"{key}.png").is_file()


def test_data_are_the_same_wherever_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = contents(folder_of("mini", "geneval"))
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "elsewhere"))
    assert contents(folder_of("mini", "geneval")) == here


def test_damaged_data_are_found_by_checksum_and_made_again() -> None:
    folder = folder_of("mini", "geneval")
    sound = contents(folder)
    file = folder / "evaluation_metadata.jsonl"
    file.write_text(file.read_text()[:1000])
    assert contents(folder_of("mini", "geneval")) == sound


def test_two_processes_may_make_them_at_once(cache: Path) -> None:
    make = (
        "from harmon_eval import registry; from harmon_eval.suites import load; "
        "print(load('mini').data('geneval', registry.task('geneval')).folder)"
    )
    command = [sys.executable, "-c", make]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (Path(process.communicate()[0].strip()) for process in both)
    assert first == second
    assert {p.name for p in first.parent.iterdir()} == {"geneval"}


def test_official_geneval_needs_no_download() -> None:
    folder = folder_of("official", "geneval")
    assert len((folder / "evaluation_metadata.jsonl").read_text().splitlines()) == 553


def test_own_data_come_first(tmp_path: Path) -> None:
    (tmp_path / "geneval").mkdir()
    (tmp_path / "geneval" / "evaluation_metadata.jsonl").write_text("{}\n")
    assert folder_of("official", "geneval", tmp_path) == tmp_path / "geneval"


def test_missing_official_data_say_which_file_goes_where(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"meta_data\.json.*MJHQ-30K.*--data DIR"):
        folder_of("official", "mjhq")
    with pytest.raises(UserError, match=f"into {tmp_path}/mjhq"):
        folder_of("official", "mjhq", tmp_path)


def test_further_protocols_of_mjhq_share_its_official_data(tmp_path: Path) -> None:
    (tmp_path / "mjhq").mkdir()
    (tmp_path / "mjhq" / "meta_data.json").write_text("{}")
    for task in ("mjhq", "mjhq_gigagan256", "mjhq_pytorch_fid"):
        assert folder_of("official", task, tmp_path) == tmp_path / "mjhq"


def test_missing_official_instruments_say_that_marking_goes_on_later() -> None:
    with pytest.raises(InstrumentMissing, match=r"Mask2Former.*mark RUN"):
        load("official").instrument("detector", registry.task("geneval"))


def test_a_suite_without_a_source_says_which_ones_the_task_has() -> None:
    with pytest.raises(UserError, match=r"'vqa' has no data in the official suite.*mini"):
        folder_of("official", "vqa")


def test_a_chosen_instrument_comes_before_the_suites_and_that_before_the_tasks() -> None:
    task = registry.task("geneval")
    assert load("official").instrument_name("detector", task) == "mask2former"
    assert load("mini").instrument_name("detector", task) == "shapes"
    chosen = load("official", instruments={"detector": "shapes"})
    assert chosen.instrument_name("detector", task) == "shapes"
    assert chosen.instrument("detector", task).identity
    with pytest.raises(UserError, match="did you mean 'shapes'"):
        load("mini", instruments={"detector": "shape"})
    with pytest.raises(UserError, match="no role 'detctor': did you mean 'detector'"):
        load("mini", instruments={"detctor": "shapes"})
    load("mini", instruments={"judge": "vlm:SOME/MODEL"})  # any model may judge


def test_unknown_suites_and_folders_are_named() -> None:
    with pytest.raises(UserError, match="did you mean 'mini'"):
        load("minni")
    with pytest.raises(UserError, match="no such folder"):
        load("mini", Path("nowhere"))
