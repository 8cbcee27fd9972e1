"""Images drawn from rewritten prompts: marked by number under a name of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harmon_eval.store.durable import read_json
from harmon_eval.suites.mini.scenes import COLORS
from harmon_eval.tasks.geneval.prompts import colors


def test_the_case(measure, shared_folder: Path) -> None:
    case = shared_folder / "cases/geneval-rewritten-prompts"
    model = ("--model", f"folder:{case / 'images'}")
    refused = measure(*model, "--tasks", "geneval", "--data", case / "data")
    assert refused.code == 2 and "--tasks geneval:rewritten" in refused.said
    found = measure(*model, "--tasks", "geneval:rewritten", "--data", case / "data")
    assert found.code == 0 and found.n == (96, 96) and found.score("overall") == 1.0
    assert "24 of 24 prompts are rewritten ones" in found.said
    long = measure(*model, "--tasks", "geneval", "--data", case / "data_long", run="long")
    assert long.code == 0 and long.score("overall") == 1.0
    assert "rewritten" not in long.said


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Data of two prompts, and images drawn from longer ones."""
    data, images = tmp_path / "data", tmp_path / "images"
    data.mkdir()
    items = [colors("circle", "red"), colors("square", "blue")]
    lines = [json.dumps(item) + "\n" for item in items]
    (data / "evaluation_metadata.jsonl").write_text("".join(lines))
    for number, (item, color) in enumerate(zip(items, ("red", "blue"), strict=True)):
        samples = images / f"{number:05d}/samples"
        samples.mkdir(parents=True)
        longer = {**item, "prompt": f"A detailed photograph: {item['prompt']}."}
        (samples.parent / "metadata.jsonl").write_text(json.dumps(longer))
        pixels = np.full((64, 64, 3), 128, dtype=np.uint8)
        pixels[20:44, 20:44] = COLORS[color]
        for k in range(4):
            Image.fromarray(pixels).save(samples / f"{k:04d}.png")
    return data, images


def test_the_name_the_manifest_and_the_provenance_say_so(measure, two) -> None:
    data, images = two
    found = measure("--model", f"folder:{images}", "--tasks", "geneval:rewritten", "--data", data)
    assert found.n == (8, 8) and found.result["task"] == "geneval:rewritten"
    about = read_json(found.run / "manifest.json")["about"]
    assert about["prompts"] == "2 of 2 prompts are rewritten ones"
    assert about["first_prompt"].startswith("A detailed photograph")
    assert "rewritten" in json.dumps(found.result["provenance"])


def test_images_of_another_list_are_refused_by_what_they_show(measure, two) -> None:
    data, images = two
    (images / "00000").rename(images / "00009")
    (images / "00001").rename(images / "00000")
    found = measure("--model", f"folder:{images}", "--tasks", "geneval:rewritten", "--data", data)
    assert found.code == 2 and "its include is not that of sample 00000" in found.said


def test_a_model_cannot_draw_for_it(measure, two) -> None:
    found = measure("--model", "scripted", "--tasks", "geneval:rewritten", "--data", two[0])
    assert found.code == 2 and "give --model folder:IMAGES" in found.said


def test_some_other_prompts_are_unscored_with_the_reason(measure, two) -> None:
    data, images = two
    own = data / "evaluation_metadata.jsonl"
    (images / "00001/metadata.jsonl").write_text(own.read_text().splitlines()[1])
    found = measure("--model", f"folder:{images}", "--tasks", "geneval", "--data", data)
    assert found.code == 1 and found.n == (4, 8)
    (reason,) = found.result["unscored"]
    assert "drawn from another prompt: 'A detailed photograph" in reason
