"""easy-VQA's pictures with captions, in COCO's format: what its questions say about each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from harmon_eval.suites.mini.language import article
from harmon_eval.tasks.easy_vqa.files import described, package, read_questions


def make(folder: Path) -> None:
    """3,904 pictures of both splits whose colour and shape are told, such as "a photo of a blue
    circle"."""
    pictures = folder / "val2014"
    pictures.mkdir()
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for split in ("train", "test"):
        for image, (color, shape, file) in described(read_questions(package(split))).items():
            number, name = len(images), f"{split}_{image}.png"
            shutil.copyfile(file, pictures / name)
            images.append({"id": number, "file_name": name})
            caption = f"a photo of {article(f'{color} {shape}')}"
            annotations.append({"id": number, "image_id": number, "caption": caption})
    content = {"images": images, "annotations": annotations}
    (folder / "captions_val2014.json").write_text(json.dumps(content), encoding="utf-8")
