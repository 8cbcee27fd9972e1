"""scikit-image's pictures: photographs, drawings, grey, two-coloured and transparent ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from harmon_eval.files.packages import carried

SUFFIXES = (".png", ".jpg")


def make(folder: Path) -> None:
    source = carried("skimage", "data", "scikit-image", "real")
    (folder / "images").mkdir()
    for file in sorted(source.iterdir()):
        if file.suffix in SUFFIXES:
            shutil.copyfile(file, folder / "images" / file.name)
