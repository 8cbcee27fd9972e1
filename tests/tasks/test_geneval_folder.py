"""GenEval's files as others wrote them, well or badly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harmon_eval.core import UserError
from harmon_eval.tasks.geneval.layout import fault, read_folder, read_metadata
from harmon_eval.tasks.geneval.prompts import counting, position, single

DOG, CATS = single("dog"), counting("cat", 2)


def add_prompt(
    folder: Path, name: Any, metadata: Any, files: tuple[Any, ...] = ("0000.png",)
) -> None:
    samples = folder / name / "samples"
    samples.mkdir(parents=True)
    (folder / name / "metadata.jsonl").write_text(json.dumps(metadata))
    for file in files:
        Image.new("RGB", (4, 4)).save(samples / file, "PNG")


def test_a_folder_is_read_in_sorted_order(tmp_path: Path) -> None:
    add_prompt(tmp_path, "00001", CATS, ["0001.png", "0000.png"])
    add_prompt(tmp_path, "00000", DOG, ["00000.png"])
    found = [(m["prompt"], str(f.relative_to(tmp_path))) for m, f in read_folder(tmp_path)]
    assert found == [
        ("a photo of a dog", "00000/samples/00000.png"),
        ("a photo of two cats", "00001/samples/0000.png"),
        ("a photo of two cats", "00001/samples/0001.png"),
    ]


def test_a_file_counts_if_its_name_begins_with_digits_and_png(tmp_path: Path) -> None:
    files = ["0000.png", "0001.png.bak", "0002.jpg", "img3.png", "4.png", "5x.png"]
    add_prompt(tmp_path, "00000", DOG, files)
    (tmp_path / "00000/samples/6.png").mkdir()
    (tmp_path / "00000/grid.png").write_bytes(b"")
    assert [f.name for _, f in read_folder(tmp_path)] == ["0000.png", "0001.png.bak", "4.png"]


def test_the_number_of_a_folder_is_not_used(tmp_path: Path) -> None:
    add_prompt(tmp_path, "00552", DOG)
    assert [m for m, _ in read_folder(tmp_path)] == [DOG]


def test_entries_that_are_not_numbered_folders_are_skipped(tmp_path: Path) -> None:
    add_prompt(tmp_path, "00000", DOG)
    add_prompt(tmp_path, "old-00001", CATS)
    (tmp_path / "00002").write_text("a file")
    (tmp_path / "results.jsonl").write_text("{}")
    assert len(read_folder(tmp_path)) == 1


def test_metadata_of_an_image_folder_is_exactly_one_object(tmp_path: Path) -> None:
    add_prompt(tmp_path, "00000", DOG)
    file = tmp_path / "00000/metadata.jsonl"
    file.write_text(json.dumps(DOG) + "\n")
    assert len(read_folder(tmp_path)) == 1
    file.write_text(json.dumps(DOG) + "\n" + json.dumps(DOG))
    with pytest.raises(UserError, match=r"00000/metadata\.jsonl: must be exactly one JSON object"):
        read_folder(tmp_path)
    file.unlink()
    with pytest.raises(UserError, match=r"metadata\.jsonl is missing"):
        read_folder(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        read_folder(tmp_path / "absent")


def without(item: Any, field: Any) -> Any:
    return {name: value for name, value in item.items() if name != field}


def with_clause(**change: Any) -> dict[str, Any]:
    return {**DOG, "include": [{"class": "dog", "count": 1, **change}]}


BAD_LINES = {
    "not JSON": ("{", "exactly one JSON object"),
    "two objects in a line": ("{} {}", "exactly one JSON object"),
    "an empty line": ("", "exactly one JSON object"),
    "deeply nested": ("[" * 200_000, "refused|exactly one"),
    "an endless number": ('{"tag": ' + "9" * 10_000 + "}", "refused|tag"),
    "a list": ("[]", "a prompt is a JSON object"),
    "no tag": (without(DOG, "tag"), "tag: None"),
    "another tag": ({**DOG, "tag": "overall"}, "tag: 'overall' is none of"),
    "a list as tag": ({**DOG, "tag": []}, "tag:"),
    "no prompt": (without(DOG, "prompt"), "prompt:"),
    "half a character": ({**DOG, "prompt": "\ud800"}, "prompt:"),
    "no clauses": ({**DOG, "include": []}, "include:"),
    "clauses as text": ({**DOG, "include": "dog"}, "include:"),
    "a clause as text": ({**DOG, "include": ["dog"]}, r"include\[0\]"),
    "excludes as number": ({**DOG, "exclude": 1}, "exclude:"),
    "an exclude without count": ({**DOG, "exclude": [{"class": "a"}]}, r"exclude\[0\]\.count"),
    "a clause without class": ({**DOG, "include": [{"count": 1}]}, r"include\[0\]\.class"),
    "zero objects": (with_clause(count=0), r"include\[0\]\.count: 0"),
    "a count as text": (with_clause(count="1"), r"\.count"),
    "a truth as count": (with_clause(count=True), r"\.count"),
    "an unknown color": (with_clause(color="grey"), r"\.color: 'grey' is none of red"),
    "a position to itself": (with_clause(position=["above", 0]), r"\.position: 0"),
    "an unknown relation": (with_clause(position=["near", 0]), r"\.position"),
    "a position of one": (with_clause(position=["above"]), r"\.position"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_is_named_with_its_field(tmp_path: Path, case: Any) -> None:
    line, message = BAD_LINES[case]
    text = line if isinstance(line, str) else json.dumps(line)
    file = tmp_path / "evaluation_metadata.jsonl"
    file.write_text(f"{json.dumps(DOG)}\n{text}\n{json.dumps(CATS)}\n")
    with pytest.raises(UserError, match=f"line 2: .*({message})") as caught:
        read_metadata(file)
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


def test_negative_targets_are_refused() -> None:
    item = position("dog", "above", "cat")
    item["include"][1]["position"] = ["above", -1]
    assert fault(item) == ("include[1].position: -1 is not the number of an earlier include clause")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "evaluation_metadata.jsonl"
    with pytest.raises(UserError, match="is missing"):
        read_metadata(file)
    file.write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match="UTF-8"):
        read_metadata(file)


def test_strange_but_sound_prompts_are_kept_as_they_are(tmp_path: Path) -> None:
    prompts = ["line\nbreak", "snow \u2028 ☃ 🎨", "x" * 10_000, "../../etc", "\x00[bold]"]
    items = [{**DOG, "prompt": prompt} for prompt in prompts]
    file = tmp_path / "evaluation_metadata.jsonl"
    lines = [json.dumps(item, ensure_ascii=False) for item in items]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert [item["prompt"] for item in read_metadata(file)] == prompts


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["tag", "include", "class", "count", "color", "position"]), inner
        )
    ),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["tag", "prompt", "include", "exclude"]))
def test_any_other_value_is_a_fault_or_sound_never_a_crash(value: Any, field: Any) -> None:
    for item in (value, {**DOG, field: value}, with_clause(color=value), with_clause(count=value)):
        found = fault(item)
        assert found is None or found.isprintable()
