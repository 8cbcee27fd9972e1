"""GenEval from prompts to the summary, with the mini suite's instruments and its renderer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval.adapters.folder import FolderResponder
from harmon_eval.core import Answer, Data, Responder, Sample, Unscorable, UserError
from harmon_eval.metrics.intervals import intervals
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.running.progress import Progress
from harmon_eval.running.runner import run_job
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites.mini.colors import ColorNamer
from harmon_eval.suites.mini.detector import ShapeDetector
from harmon_eval.suites.mini.scenes import Item, Scene, render, scene_for
from harmon_eval.tasks.geneval import prompts
from harmon_eval.tasks.geneval import task as geneval
from harmon_eval.tasks.geneval.layout import read_folder
from harmon_eval.tasks.geneval.marks import details, mark_image, verdicts
from harmon_eval.tasks.geneval.rules import PUBLISHED, Protocol
from harmon_eval.tasks.geneval.task import TASK, mark, summarize

INSTRUMENTS = {"detector": ShapeDetector(), "color": ColorNamer()}
BESIDE = Scene((Item("circle", "red", 16, 32, 9.5), Item("square", "blue", 48, 32, 9.5)))


def data_of(folder: Path, items: Any, images: int = 2) -> Any:
    (folder / "evaluation_metadata.jsonl").write_text(prompts.to_jsonl(items))
    return Data.at(folder, "mini", images_per_prompt=images)


def marked(folder: Path, items: Any, pictures: Any) -> Any:
    answers = []
    for number, (item, picture) in enumerate(zip(items, pictures, strict=True)):
        file = folder / f"{number}.png"
        Image.fromarray(picture).save(file)
        sample = Sample(str(number), None, item, str(number), item["tag"])
        answers.append(Answer(sample, file))
    return mark(answers, INSTRUMENTS)


# -- samples -------------------------------------------------------------------------------------


def test_each_prompt_is_drawn_several_times_into_the_official_layout(tmp_path: Path) -> None:
    items = [prompts.single("circle"), prompts.counting("star", 2)]
    found = list(TASK.samples(data_of(tmp_path, items)))
    assert [sample.id for sample in found] == [
        "00000/samples/0000",
        "00000/samples/0001",
        "00001/samples/0000",
        "00001/samples/0001",
    ]
    assert [sample.request.index for sample in found] == [0, 1, 0, 1]
    assert [sample.group for sample in found] == ["00000", "00000", "00001", "00001"]
    assert found[2].request.prompt == "a photo of two stars"
    assert (found[2].stratum, found[2].target) == ("counting", items[1])


def test_the_official_prompts_make_2212_samples(tmp_path: Path) -> None:
    (tmp_path / "evaluation_metadata.jsonl").write_text(prompts.official_metadata())
    found = list(TASK.samples(Data.at(tmp_path)))
    assert len(found) == 2212
    assert found[-1].id == "00552/samples/0003"


def test_a_bad_prompt_file_is_named_with_line_and_field(tmp_path: Path) -> None:
    data = data_of(tmp_path, [prompts.single("circle"), {**prompts.single("x"), "tag": "y"}])
    with pytest.raises(UserError, match=r"line 2: tag: 'y' is none of"):
        list(TASK.samples(data))


# -- marking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (prompts.single("circle"), ""),
        (prompts.two("circle", "star"), "expected star>=1, found 0"),
        (prompts.counting("square", 2), "expected square>=2, found 1"),
        (prompts.colors("circle", "green"), "expected green circle>=1, found 0 green; and 1 red"),
        (prompts.position("circle", "left of", "square"), ""),
        (
            prompts.position("circle", "above", "square"),
            "expected circle above target, found left of target",
        ),
        (prompts.color_attr("circle", "red", "square", "blue"), ""),
    ],
)
def test_a_picture_of_a_red_circle_beside_a_blue_square(
    tmp_path: Path, item: Any, reason: str
) -> None:
    (row,) = marked(tmp_path, [item], [render(BESIDE)])
    assert (row["correct"], row["reason"]) == (reason == "", reason)
    assert json.loads(row["metadata"]) == item
    assert row["tag"] == item["tag"] and row["prompt"] == item["prompt"]


def test_more_images_than_are_detected_at_a_time_keep_their_order(tmp_path: Path) -> None:
    items = [prompts.single(name) for name in ("circle", "star") * geneval.DETECT_BATCH]
    rows = marked(tmp_path, items, [render(BESIDE)] * len(items))
    assert [row["correct"] for row in rows] == [True, False] * geneval.DETECT_BATCH


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    item = prompts.position("circle", "left of", "square")
    sideways = Image.fromarray(np.rot90(render(BESIDE)).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned a quarter to the left: turn it right to see it upright
    for file, options, correct in (
        ("turned.png", {"exif": exif}, True),
        ("plain.png", {}, False),
    ):
        sideways.save(tmp_path / file, **options)
        answer = Answer(Sample("0", None, item, "0"), tmp_path / file)
        assert mark([answer], INSTRUMENTS)[0]["correct"] is correct


def test_grey_and_transparent_pictures_are_read_as_rgb(tmp_path: Path) -> None:
    item = prompts.single("circle")
    for mode in ("L", "RGBA", "P"):
        file = tmp_path / f"{mode}.png"
        Image.fromarray(render(BESIDE)).convert(mode).save(file)
        (row,) = mark([Answer(Sample("0", None, item, "0"), file)], INSTRUMENTS)
        assert row["correct"], mode


def test_what_is_no_image_cannot_be_marked(tmp_path: Path) -> None:
    file = tmp_path / "0.png"
    file.write_bytes(b"\x89PNG and no more")
    with pytest.raises(Unscorable):
        mark([Answer(Sample("0", None, prompts.single("circle"), "0"), file)], INSTRUMENTS)


def test_the_color_of_the_asked_object_alone_is_named() -> None:
    asked = []

    def namer(image: Any, boxes: Any, masks: Any, name: Any) -> Any:
        asked.append((boxes.tolist(), masks.tolist(), name))
        return ["red"] * len(boxes)

    boxes = np.array([[0, 0, 1, 1, 0.5], [1, 0, 2, 1, 0.75]], dtype=np.float32)
    masks = np.array([[[1, 0]], [[0, 1]]], dtype=bool)
    found = {"car": (boxes, masks), "dog": (boxes, masks)}
    row = mark_image(prompts.colors("car", "red"), np.zeros((1, 2, 3)), found, namer)
    assert row["correct"]
    # Both cars, so that another threshold can be tried later; the dogs are not asked about.
    assert asked == [(boxes.tolist(), masks.tolist(), "car")]


def test_details_hold_every_object_that_counts_best_first_in_class_order() -> None:
    def one(*scores: Any) -> Any:
        return np.array([[0, 0, 9, 9, score] for score in scores], dtype=np.float32)

    found = {"zebra": one(0.2), "star": one(0.5), "dog": one(0.31, 0.95), "cat": one(0.4)}
    kept = details(found, "colors")
    assert list(kept) == ["cat", "dog", "star"]
    assert [row[4] for row in kept["dog"]] == [0.949999988079071, 0.3100000023841858]
    assert list(details(found, "counting")) == ["dog"]


# -- summary -------------------------------------------------------------------------------------


def rows_of(**tags: Any) -> Any:
    """Rows of tag=[[verdicts of a prompt], ...]."""
    rows = [
        {"tag": tag, "stratum": tag, "group": f"{tag}-{number}", "correct": verdict}
        for tag, groups in tags.items()
        for number, verdicts in enumerate(groups)
        for verdict in verdicts
    ]
    return pd.DataFrame(rows)


def test_overall_is_the_mean_of_the_tags_not_of_the_images() -> None:
    rows = rows_of(
        counting=[[True, False, False, False], [False] * 4],
        single_object=[[True] * 4],
        colors=[[True, True, False, False]],
    )
    found = summarize(rows)
    assert found["overall"] == pytest.approx(0.54167, abs=1e-5)
    assert (found["counting"], found["single_object"], found["colors"]) == (1 / 8, 1, 1 / 2)
    assert found["correct_images"] == 7 / 16
    assert found["correct_prompts"] == 3 / 4
    assert (found["tags"], found["prompts"], found["images"]) == (3, 4, 16)
    assert "position" not in found


def test_verdicts_that_passed_through_a_table_with_gaps_still_count() -> None:
    rows = rows_of(colors=[[True, False]])
    rows["correct"] = rows["correct"].astype(object)
    assert summarize(rows)["colors"] == 0.5


def test_intervals_hold_every_share_and_no_count() -> None:
    rng = np.random.default_rng(0)
    tags = {
        tag: [list(map(bool, rng.integers(0, 2, 4))) for _ in range(20)] for tag in prompts.TAGS
    }
    rows = rows_of(**tags)
    found, values = intervals(TASK, rows), summarize(rows)
    assert set(values) - set(found) == {"tags", "prompts", "images"}
    assert all(low <= values[name] <= high for name, (low, high) in found.items())
    low, high = found["overall"]
    assert 0.05 < high - low < 0.2  # four standard errors of 0.023, by the formula of the binomial


# -- the files of the original ---------------------------------------------------------------------


def test_results_are_written_as_the_original_writes_them(tmp_path: Path) -> None:
    items = [prompts.single("circle"), prompts.two("circle", "star")]
    samples = list(TASK.samples(data_of(tmp_path, items, images=1)))
    rows = pd.DataFrame(marked(tmp_path, items, [render(BESIDE)] * 2))
    rows["id"] = [sample.id for sample in samples]
    before, after = TASK.files_before(samples), TASK.files_after(samples, rows)
    assert {name: json.loads(text) for name, text in before.items()} == {
        "images/00000/metadata.jsonl": items[0],
        "images/00001/metadata.jsonl": items[1],
    }
    first, second = after["results.jsonl"].splitlines()
    assert r'"filename":"images\/00000\/samples\/0000.png"' in first
    found = json.loads(second)
    assert list(found) == [
        "filename",
        "tag",
        "prompt",
        "correct",
        "reason",
        "metadata",
        "details",
    ]
    assert found["correct"] is False and found["reason"] == "expected star>=1, found 0"
    assert found["metadata"] == json.dumps(items[1])
    boxes = json.loads(found["details"])
    assert list(boxes) == ["circle", "square"] and len(boxes["circle"][0]) == 5


# -- the whole way -------------------------------------------------------------------------------


class Painter(Responder):
    """Draws by a function of one request."""

    name, fingerprint = "painter", "1"

    def __init__(self, paint: Any) -> None:
        self.paint = paint

    def draw(self, requests: Any) -> Any:
        return [self.paint(request) for request in requests]


def perfect(suite: Any) -> Any:
    """A model that draws exactly what is asked, each time in another way."""
    asked = {
        sample.request.prompt: sample.target for sample in TASK.samples(suite.data("geneval", TASK))
    }

    def paint(request: pytest.FixtureRequest) -> Any:
        rng = np.random.default_rng(request.seed)
        return Image.fromarray(render(scene_for(asked[request.prompt], rng)))

    return Painter(paint)


def run(suite: Any, responder: Any, path: Path, limit: Any) -> Any:
    """Ask and mark ``limit`` prompts; the task's folder is ``path / "geneval"``."""
    job = prepare("geneval", TASK, suite, RunSettings(limit=limit))
    folder = RunFolder(path)
    model = {"name": responder.name, "fingerprint": "1", "settings": {}}
    folder.start({"model": model, "suite": "mini", "seed": 0})
    return run_job(job, responder, suite, folder, 32, Progress())


@pytest.fixture(scope="module")
def perfect_run(mini: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("perfect")
    return run(mini, perfect(mini), folder, limit=40), folder / "geneval"


def test_perfect_pictures_of_the_mini_suite_score_a_hundred_percent(perfect_run: Any) -> None:
    result, _ = perfect_run
    assert result.metrics["overall"] >= 0.98
    assert (result.metrics["tags"], result.metrics["prompts"]) == (6, 40)
    assert (result.n, dict(result.unscored)) == (160, {})
    assert result.total > result.n


def test_blank_pictures_score_nothing(mini: Any, tmp_path: Path) -> None:
    blank = Painter(lambda request: Image.new("RGB", (64, 64), (140, 140, 140)))
    result = run(mini, blank, tmp_path, limit=12)
    assert result.metrics["overall"] == 0 and result.metrics["correct_prompts"] == 0
    low, high = result.intervals["overall"]
    assert low == 0 < high  # not certainty: few prompts were asked


def test_a_run_folder_is_an_official_image_folder(
    mini: Any, perfect_run: Any, tmp_path: Path
) -> None:
    result, folder = perfect_run
    pairs = read_folder(folder / "images")
    assert len(pairs) == result.n
    assert {m["prompt"] for m, _ in pairs} == set(result.rows["prompt"])
    results = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [folder / line["filename"] for line in results] == [file for _, file in pairs]
    assert [line["correct"] for line in results] == result.rows["correct"].tolist()
    again = run(mini, FolderResponder(folder / "images"), tmp_path, limit=40)
    assert again.metrics == result.metrics


def test_an_image_that_was_never_drawn_is_counted_not_averaged(mini: Any, tmp_path: Path) -> None:
    paint = perfect(mini).paint

    def unwilling(request: pytest.FixtureRequest) -> Any:
        return ValueError("no picture today") if request.index == 3 else paint(request)

    result = run(mini, Painter(unwilling), tmp_path, limit=12)
    assert (result.n, sum(result.unscored.values())) == (36, 12)
    assert result.metrics["overall"] == 1 and result.metrics["images"] == 36
    assert len((tmp_path / "geneval/results.jsonl").read_text().splitlines()) == 36


def test_stored_objects_are_marked_again_by_other_thresholds_without_a_detector() -> None:
    """A red car at 0.25 beside a green one at 0.5: wrong as published, and alone none at 0.6."""
    boxes = np.array([[0, 0, 1, 1, 0.25], [1, 0, 2, 1, 0.5], [0, 0, 2, 1, 0.01]], np.float32)
    masks = np.ones((3, 1, 2), dtype=bool)

    def namer(image: Any, boxes: Any, masks: Any, name: Any) -> Any:
        return ["red" if box[4] < 0.3 else "green" for box in boxes]

    item = prompts.colors("car", "red")
    row = mark_image(item, np.zeros((1, 2, 3)), {"car": (boxes, masks)}, namer)
    rows = pd.DataFrame([row])
    assert verdicts(rows, PUBLISHED).equals(rows)
    assert row["reason"] == "expected red car>=1, found 0 red; and 1 green"
    strict = verdicts(rows, Protocol(threshold=0.6)).iloc[0]
    assert strict["reason"] == "expected car>=1, found 0"
    assert json.loads(strict["details"]) == {}
    lenient = verdicts(rows, Protocol(threshold=0.2)).iloc[0]
    assert len(json.loads(lenient["details"])["car"]) == 2
    with pytest.raises(UserError, match="not stored"):
        verdicts(rows, Protocol(threshold=0.01))
    with pytest.raises(UserError, match="mark the run again"):
        verdicts(rows.drop(columns="detections"), PUBLISHED)
