"""FID on COCO 2014's validation captions: how far generated images are from the real photographs.

Protocol: "COCO-30k" of the text-to-image papers. The model generates one image for each of 30,000
captions of val2014. Generated images and photographs are prepared as in GigaGAN's script (centre
crop, Lanczos to 256), then go through clean-fid's Inception, so the headline is
``fid[gigagan256,inception]``. The papers publish no list of captions. You can put your own list
beside the annotations as ``captions_30k.txt`` (one caption id per line). Without a list, the task
takes one caption from each of 30,000 images, chosen by the hash of the ids, so the choice is the
same everywhere. The references are the photographs of the chosen captions. All metrics are those of
``mjhq``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harmon_eval.core import Data, Draw, Remote, Sample, Source, UserError
from harmon_eval.files.question_files import read_json
from harmon_eval.tasks.coco_fid import mini, real
from harmon_eval.tasks.mjhq.task import task as fid_task

CAPTIONS, CHOSEN, IMAGES = "captions_val2014.json", "captions_30k.txt", "val2014"
SIZE = 30_000
COCO = "http://images.cocodataset.org"


def samples(data: Data) -> Iterator[Sample]:
    """One image per caption; ids are caption ids. Raises UserError for broken or missing files."""
    folder = data.folder
    files, captions = load_captions(folder / CAPTIONS)
    for caption_id in chosen(folder / CHOSEN, captions):
        image_id, text = captions[caption_id]
        reference = folder / IMAGES / files[image_id]
        if not reference.is_file():
            raise UserError(f"{reference} is missing: unpack COCO's val2014.zip beside {CAPTIONS}")
        yield Sample(
            id=f"{caption_id:07d}",
            request=Draw(text),
            target={"reference": reference},
            group=str(image_id),
            stratum="val2014",
        )


def load_captions(path: Path) -> tuple[dict[int, str], dict[int, tuple[int, str]]]:
    """COCO's annotation file: image id -> file name, and caption id -> (image id, caption)."""
    content: Any = read_json(path)
    try:
        files = {int(i["id"]): str(i["file_name"]) for i in content["images"]}
        captions = {
            int(a["id"]): (int(a["image_id"]), " ".join(str(a["caption"]).split()))
            for a in content["annotations"]
        }
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a COCO caption file: {error}") from None
    for name in files.values():
        if not re.fullmatch(r"[\w-]+\.(jpg|jpeg|png)", name):
            raise UserError(f"{path}: {name!r} is not the plain name of an image file")
    if lost := {image for image, _ in captions.values()} - set(files):
        raise UserError(
            f"{path} has captions for images that it does not list, such as {min(lost)}"
        )
    return files, captions


def chosen(path: Path, captions: dict[int, tuple[int, str]]) -> list[int]:
    """Caption ids to use: those listed in ``path``, or one per image for at most SIZE images,
    chosen by hash."""
    if path.is_file():
        try:
            listed = [int(line) for line in path.read_text().split()]
        except ValueError as error:
            raise UserError(f"{path} must hold caption ids, one per line: {error}") from None
        if unknown := [number for number in listed if number not in captions]:
            raise UserError(f"{path}: no caption has the id {unknown[0]}")
        return list(dict.fromkeys(listed))

    def order(number: int) -> bytes:
        return hashlib.sha256(str(number).encode()).digest()

    first: dict[int, int] = {}
    for caption in sorted(captions, key=order):
        first.setdefault(captions[caption][0], caption)
    images = sorted(first, key=order)[:SIZE]
    return sorted(first[image] for image in images)


_FID = fid_task("gigagan256", mini.make)
TASK = replace(
    _FID,
    samples=samples,
    files_before=None,
    layout=None,
    layout_shown="",
    about=replace(
        _FID.about,
        paper="arXiv 2303.05511",
        protocol="mingukkang/GigaGAN @ b2d3716 (preparation of both sides) and clean-fid's "
        "Inception",
        differs="No list of captions is published: unless you give a list, one caption from each "
        "of 30,000 images is chosen by the hash of the ids. FID uses symmetric eigenvalues in "
        "float64 instead of a matrix square root. KID leaves out pairs with the same photograph.",
        compares="Neither lmms-eval nor VLMEvalKit has it. Papers use other captions and other "
        "references, so differences of a few tenths mean nothing.",
        licence="captions CC BY 4.0; images under their Flickr licences; easy-VQA: MIT",
        size="30,000 captions",
    ),
    sources={
        "official": Source(
            files=(CAPTIONS,),
            text="annotations/captions_val2014.json of COCO 2014 (with its images beside it in "
            "val2014/)",
            downloads=(
                Remote(
                    f"{COCO}/annotations/annotations_trainval2014.zip",
                    "annotations_trainval2014.zip",
                    unpack=r"annotations/(captions_val2014\.json)",
                ),
                Remote(
                    f"{COCO}/zips/val2014.zip",
                    "val2014.zip",
                    md5="a3d79f5ed8d289b7a7554ce06a5782b3",
                    unpack=r"(val2014/COCO_val2014_\d{12}\.jpg)",
                ),
            ),
        ),
        "mini": Source(make=mini.make),
        "real": Source(make=real.make),
    },
)
