"""Weights of the official instruments: which file, where it is looked for, where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import InstrumentMissing
from harmon_eval.files.cache import cache_folder

FOLDER = "weights"
OPENMMLAB = "https://download.openmmlab.com/mmdetection"


@dataclass(frozen=True)
class Weights:
    """``names``: file names that are accepted, the best first. ``source`` is for people."""

    what: str
    names: tuple[str, ...]
    source: str


_SWIN_2 = "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco"
_SWIN_3 = "mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco"
DETECTOR_URL = f"{OPENMMLAB}/v2.0/mask2former/{_SWIN_2}/{_SWIN_2}_20220504_001756-743b7d99.pth"
MMDETECTION = Weights(
    "the official GenEval detector (Mask2Former of MMDetection)",
    (
        f"{_SWIN_2}_20220504_001756-743b7d99.pth",
        f"{_SWIN_2}.pth",  # as GenEval's own script saves it
        f"{_SWIN_3}_20220504_001756-c9d0c4f2.pth",
    ),
    DETECTOR_URL,
)
WEIGHTS = {
    "detector": MMDETECTION,
    "color": Weights(
        "the official GenEval colour classifier (CLIP ViT-L/14)",
        ("ViT-L-14.pt", "open_clip_model.safetensors"),
        "https://openaipublic.azureedge.net/clip/models/"
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
    ),
    "features": Weights(
        "clean-fid's Inception network",
        ("inception-2015-12-05.pt",),
        "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
        "inception-2015-12-05.pt",
    ),
    "detector-hf": Weights(
        "the transformers checkpoint of another training run",
        ("mask2former-swin-small-coco-instance/model.safetensors",),
        "facebook/mask2former-swin-small-coco-instance on the Hugging Face hub (config.json and "
        "model.safetensors)",
    ),
}


def places(data: Path | None) -> list[Path]:
    """Folders in which weights are looked for, in this order."""
    own = [data / FOLDER, data] if data is not None else []
    return [*own, cache_folder() / FOLDER]


def find(instrument: str, data: Path | None) -> Path:
    """The file of weights of ``instrument``. Raises InstrumentMissing: which file goes where."""
    wanted = WEIGHTS[instrument]
    for folder in places(data):
        for name in wanted.names:
            if (folder / name).is_file():
                return folder / name
    option = "" if data is not None else f", or as DIR/{FOLDER}/{wanted.names[0]} with --data DIR"
    raise InstrumentMissing(
        f"{wanted.what} needs its weights: put {wanted.names[0]} (from {wanted.source}) at "
        f"{places(data)[0] / wanted.names[0]}{option}; what was drawn is stored, and "
        "`python -m harmon_eval mark RUN` goes on from it"
    )


def target_of(place: str, data: Path | None) -> Path:
    """Where ``prepare`` puts a file of the data folder's layout: in ``data``, or in the cache."""
    if data is not None:
        return data / place
    weights = place.startswith(f"{FOLDER}/")
    return cache_folder() / place if weights else cache_folder() / "data" / place
