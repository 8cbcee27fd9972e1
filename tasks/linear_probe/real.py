"""Real images in ImageNet's layout: handwritten digits (scikit-learn) and easy-VQA's pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

from harmon_eval.tasks.easy_vqa.files import described, package, read_questions
from harmon_eval.tasks.linear_probe.mini import digit_images

TRAINED, SPLITS = 100, {"train": 60, "val": 20}  # digits of a class to train on; pictures of one


def digits(folder: Path) -> None:
    """All 1,797 digits of the UCI test set, by 13 writers; the first 100 of each are trained on."""
    for label, images in digit_images().items():
        for number, image in enumerate(images):
            split = "train" if number < TRAINED else "val"
            place = folder / split / label
            place.mkdir(parents=True, exist_ok=True)
            image.save(place / f"{number:04d}.png")


def pictures(folder: Path) -> None:
    """easy-VQA's pictures by colour and by shape, from its own training and test split."""
    for split, own in (("train", "train"), ("val", "test")):
        counts: dict[Path, int] = {}
        for image, (color, shape, file) in described(read_questions(package(own))).items():
            for kind, label in (("colors", color), ("shapes", shape)):
                place = folder / kind / split / label
                place.mkdir(parents=True, exist_ok=True)
                if counts.setdefault(place, 0) < SPLITS[split]:
                    counts[place] += 1
                    shutil.copyfile(file, place / f"{image}.png")


def make(folder: Path) -> None:
    digits(folder / "digits")
    pictures(folder)
