"""POPE: files, what is asked once, averages, and the answer files of the original."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import UserError
from harmon_eval.tasks.pope.task import TASK, answer_files, summarize

SPLITS = ("random", "popular", "adversarial")


def write(folder: Path, rows_by_split: Any, array: bool = False) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for split, rows in rows_by_split.items():
        entries = [
            {
                "question_id": i,
                "image": image,
                "text": f"Is there a {name} in the image?",
                "label": label,
            }
            for i, (image, name, label) in enumerate(rows, start=1)
        ]
        text = json.dumps(entries, indent=1) if array else "\n".join(map(json.dumps, entries))
        (folder / f"coco_pope_{split}.json").write_text(text)
        for image, _, _ in rows:
            Image.new("RGB", (8, 8)).save(folder / "images" / image)


TWO = {
    split: [("1.jpg", "dog", "yes"), ("1.jpg", absent, "no"), ("1.jpg", absent, "no")]
    for split, absent in zip(SPLITS, ("car", "person", "car"), strict=True)
}


@pytest.mark.parametrize("array", [False, True])
def test_identical_questions_are_asked_once_and_counted_in_every_split(
    data_at: Any, tmp_path: Path, array: bool, marked: Any
) -> None:
    write(tmp_path, TWO, array)
    samples = list(TASK.samples(data_at()))
    assert [s.request.question.split("\n")[0] for s in samples] == [
        f"Is there a {name} in the image?" for name in ("dog", "car", "person")
    ]
    assert samples[0].target["rows"] == {split: [1] for split in SPLITS}
    assert samples[1].target["rows"] == {"random": [2, 3], "adversarial": [2, 3]}
    found = summarize(marked(TASK, samples, lambda s: "no" if "car" in s.target["text"] else "yes"))
    assert found["coco_random_accuracy"] == 100
    assert found["coco_popular_accuracy"] == pytest.approx(100 / 3)
    assert found["coco_popular_yes_ratio"] == 100  # of the predictions, not of the labels
    assert found["coco_f1_pooled[pope-3]"] == pytest.approx(100 * 2 * 3 / (3 + 3 + 2))


def test_the_answer_files_follow_the_order_of_the_official_ones(
    data_at: Any, tmp_path: Path, marked: Any
) -> None:
    write(tmp_path, TWO)
    samples = list(TASK.samples(data_at()))
    rows = marked(TASK, samples, lambda s: s.target["label"] + "\nbecause")
    files = answer_files(samples, rows)
    assert set(files) == {f"answers/coco_pope_{split}.json" for split in SPLITS}
    lines = [json.loads(line) for line in files["answers/coco_pope_random.json"].splitlines()]
    assert [line["answer"] for line in lines] == ["yes", "no", "no"]
    assert set(answer_files(samples, rows[rows["id"] != samples[2].id])) == {
        "answers/coco_pope_random.json",
        "answers/coco_pope_adversarial.json",
    }


def split_rows(false_positives: Any) -> Any:
    """pope.md, E3: TP 1300, FN 200; FP and TN of each split, as rows that count so often."""
    rows = []
    for split, wrong in zip(SPLITS, false_positives, strict=True):
        for label, parsed, count in (
            ("yes", "yes", 1300),
            ("yes", "no", 200),
            ("no", "yes", wrong),
            ("no", "no", 1500 - wrong),
        ):
            own = {name: count * (name == split) for name in SPLITS}
            readings = dict.fromkeys(("parsed", "lmms-eval", "vlmevalkit", "strict"), parsed)
            rows.append(
                {"source": "coco", "release": "pope-3000", "label": label, **own, **readings}
            )
    return pd.DataFrame(rows)


def test_three_ways_to_average() -> None:  # pope.md, E3
    found = summarize(split_rows((50, 120, 250)))
    for split, f1, ratio in (
        ("random", 91.2281, 45),
        ("popular", 89.0411, 47.3333),
        ("adversarial", 85.2459, 51.6667),
    ):
        assert found[f"coco_{split}_f1"] == pytest.approx(f1, abs=1e-4)
        assert found[f"coco_{split}_yes_ratio"] == pytest.approx(ratio, abs=1e-4)
    assert found["coco_f1_macro[pope-3000]"] == pytest.approx(88.5050, abs=1e-4)
    assert found["coco_f1_pooled[pope-3000]"] == pytest.approx(88.4354, abs=1e-4)
    assert found["coco_acc_macro[pope-3000]"] == pytest.approx(88.6667, abs=1e-4)


def test_what_the_strict_rule_cannot_read_is_counted_and_not_averaged(
    data_at: Any, tmp_path: Path, marked: Any
) -> None:
    write(tmp_path, TWO)
    samples = list(TASK.samples(data_at()))
    found = summarize(
        marked(TASK, samples, lambda s: "maybe" if s.target["label"] == "no" else "yes")
    )
    assert found["coco_unreadable"] == 6
    assert found["coco_f1_pooled[strict]"] == 100
    assert found["coco_f1_pooled[pope-3]"] == 50


def test_prompts_have_names(data_at: Any, tmp_path: Path) -> None:
    write(tmp_path, TWO)
    text = "Is there a dog in the image?"
    for name, expected in (
        ("pope", text + "\nAnswer the question using a single word or phrase."),
        ("pope:official", text),
        ("pope:vlmevalkit", text + " Please answer yes or no."),
        ("pope:janus", f"\n{text}\nAnswer the question using a single word or phrase."),
    ):
        task = registry.task(name)
        assert next(iter(task.samples(data_at()))).request.question == expected
    assert registry.task("pope:official").version != TASK.version
    with pytest.raises(UserError, match="did you mean 'official'"):
        registry.task("pope:oficial")


def test_contradictory_labels_and_missing_files_are_named(data_at: Any, tmp_path: Path) -> None:
    write(tmp_path, {**TWO, "popular": [("1.jpg", "dog", "no")]})
    with pytest.raises(UserError, match=r"popular\.json: .*dog.* needs one label"):
        list(TASK.samples(data_at()))
    (tmp_path / "coco_pope_popular.json").unlink()
    with pytest.raises(UserError, match="needs all three splits"):
        list(TASK.samples(data_at()))


def test_the_mini_files_follow_the_facts_of_the_official_ones(mini: Any) -> None:
    folder = mini.data("pope", TASK).folder
    assert (folder / "coco_pope_random.json").read_text().startswith("{")
    assert (folder / "gqa_pope_seem_random.json").read_text().startswith("[")
    samples = list(TASK.samples(mini.data("pope", TASK)))
    assert len({s.group for s in samples}) == 30
    for sample in samples:
        if sample.target["label"] == "yes":
            assert {split: len(ids) for split, ids in sample.target["rows"].items()} == (
                dict.fromkeys(SPLITS, 1)
            )
