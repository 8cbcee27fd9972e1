"""Held out: what the splits show, a table worked by hand, and scripted models on the mini suite."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval.core import Responder, UserError
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.running.progress import Progress
from harmon_eval.running.runner import run_job
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites.mini.colors import ColorNamer
from harmon_eval.suites.mini.detector import ShapeDetector
from harmon_eval.suites.mini.scenes import (
    UNSEEN_COUNTS,
    UNSEEN_KINDS,
    UNSEEN_RELATIONS,
    Item,
    Scene,
    render,
    scene_for,
    unseen,
)
from harmon_eval.tasks.held_out.mini import pools
from harmon_eval.tasks.held_out.task import TASK, summarize, table

TAGS = ("counting", "colors", "position", "color_attr")


# -- the splits ------------------------------------------------------------------------------------


def test_every_unseen_prompt_names_what_training_left_out_and_no_seen_one_does() -> None:
    rng = np.random.default_rng(0)
    found = pools()
    for items in found["unseen"].values():
        assert all(unseen(scene_for(item, rng)) for item in items[:60])
    for items in found["seen"].values():
        assert all(any(not unseen(scene_for(item, rng)) for _ in range(30)) for item in items[:60])
    assert {split: tuple(tags) for split, tags in found.items()} == {
        split: tuple(found["seen"]) for split in ("seen", "unseen")
    }
    assert len(found["unseen"]["colors"]) == len(UNSEEN_KINDS)
    assert len(found["unseen"]["counting"]) == len(UNSEEN_COUNTS)
    assert len(found["unseen"]["position"]) == 2 * len(UNSEEN_RELATIONS)  # from either side


def test_each_part_of_an_unseen_combination_was_seen() -> None:
    """Its colour with other shapes, its shape with other colours, its number, its relation."""

    def words(split: Any, tag: Any) -> Any:
        return {word for item in pools()[split][tag] for word in item["prompt"].split()}

    for tag in TAGS:
        assert words("unseen", tag) <= words("seen", tag)


def seen_in(image: Any) -> Any:
    """The scene as the detector and the colour namer read it."""
    pixels = np.asarray(Image.open(image))
    items = []
    for shape, (boxes, masks) in ShapeDetector()([pixels])[0].items():
        for box, color in zip(boxes, ColorNamer()(pixels, boxes, masks, shape), strict=True):
            x0, y0, x1, y1 = map(float, box[:4])
            items.append(Item(shape, color, (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2))
    return Scene(tuple(items))


def test_pictures_show_what_their_split_says(mini: Any) -> None:
    asked = [s for s in TASK.samples(mini.data("held_out", TASK)) if not is_drawing(s)]
    assert Counter(s.stratum for s in asked) == {
        f"{split}_{tag}": 48 for split in ("seen", "unseen") for tag in TAGS
    }
    for sample in asked[::5]:
        split = sample.stratum.partition("_")[0]
        assert unseen(seen_in(sample.request.images[0])) == (split == "unseen"), sample.id


# -- adding up -------------------------------------------------------------------------------------


def rows_of(**cells: Any) -> Any:
    """``split_tag_side`` = verdicts, each of a prompt of its own."""
    return pd.DataFrame(
        {
            "stratum": name.rpartition("_")[0],
            "group": f"{name}-{number}",
            "side": name.rpartition("_")[2],
            "correct": bool(right),
            "unreadable": False,
        }
        for name, verdicts in cells.items()
        for number, right in enumerate(verdicts)
    )


WORKED = rows_of(
    seen_colors_drawn=[1, 1, 1, 0],
    seen_counting_drawn=[1, 0],
    seen_colors_named=[1, 1],
    unseen_colors_drawn=[1, 0, 0, 0],
    unseen_colors_named=[1, 0],
)


def test_means_worked_by_hand() -> None:
    """Seen, drawn: (3/4 + 1/2) / 2; seen: with 1 named. Unseen: (1/4 + 1/2) / 2."""
    found = summarize(WORKED)
    assert found["seen_drawn"] == 0.625 and found["seen_named"] == 1
    assert found["seen"] == (0.625 + 1) / 2
    assert found["unseen"] == (0.25 + 0.5) / 2
    assert found["unseen_colors_drawn"] == 0.25 and "unseen_counting_drawn" not in found


def test_the_table_has_both_splits_of_a_tag_in_one_row() -> None:
    head, _, counting, colors, mean = table(WORKED).splitlines()
    assert head == "| | drawn, seen | drawn, unseen | named, seen | named, unseen |"
    assert counting.startswith("| counting | 0.500 [") and counting.endswith("| – | – | – |")
    assert [cell.split()[0] for cell in colors.split("|")[2:6]] == [
        "0.750",
        "0.250",
        "1.000",
        "0.500",
    ]
    assert mean.startswith("| **mean** | 0.625 [")


# -- the mini suite --------------------------------------------------------------------------------


class Scripted(Responder):
    """Draws and names rightly what ``knows`` says of a stratum, and otherwise nothing."""

    name = fingerprint = "scripted"

    def __init__(self, samples: Any, knows: Any) -> None:
        self.knows = {
            (s.request.prompt if is_drawing(s) else s.request.images): (s, knows(s))
            for s in samples
        }

    def ask(self, requests: Any) -> Any:
        found = [self.knows[request.images] for request in requests]
        return [sample.target["answers"][0] if known else "?" for sample, known in found]

    def draw(self, requests: Any) -> Any:
        images = []
        for request in requests:
            sample, known = self.knows[request.prompt]
            scene = scene_for(sample.target, np.random.default_rng(request.seed))
            images.append(Image.fromarray(render(scene if known else Scene(()))))
        return images


def is_drawing(sample: Any) -> bool:
    return sample.request.gives == "image"


def test_a_model_that_knows_its_training_only_scores_on_the_seen_split(
    mini: Any, tmp_path: Path
) -> None:
    job = prepare("held_out", TASK, mini, RunSettings(limit=16))
    run = RunFolder(tmp_path)
    run.start({"suite": "mini", "seed": 0})
    model = Scripted(job.samples, lambda sample: sample.stratum.startswith("seen"))
    result = run_job(job, model, mini, run, 64, Progress())
    assert (result.n, result.total) == (128, 768) and not result.unscored
    assert (result.metrics["seen"], result.metrics["unseen"]) == (1, 0)
    low, high = result.intervals["unseen"]
    assert low == 0 < high and "unreadable" not in result.intervals
    written = (tmp_path / "held_out" / "splits.md").read_text()
    assert "| colors | 1.000 [0.224, 1.000] | 0.000 [0.000, 0.776] |" in written


def test_all_right_is_one_and_all_wrong_is_nothing(mini: Any) -> None:
    samples = list(TASK.samples(mini.data("held_out", TASK)))
    for right in (False, True):
        rows = pd.DataFrame(
            {"stratum": s.stratum, "group": s.group, **TASK.bounds(s)[right]} for s in samples
        )
        assert summarize(rows)["unseen"] == right


def test_a_line_without_its_split_is_refused(tmp_path: Path, data_at: Any) -> None:
    item = {"tag": "counting", "include": [{"class": "dog", "count": 2}], "prompt": "two dogs"}
    (tmp_path / "held_out.jsonl").write_text(json.dumps(item))
    with pytest.raises(UserError, match="line 1: the field 'split' must be seen or unseen"):
        list(TASK.samples(data_at()))
