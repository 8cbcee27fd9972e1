"""The measures of one result of PIE-Bench: by its pixels, and by the networks that are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harmon_eval.core import Answer, Instruments, Row
from harmon_eval.files.images import read_picture, size_of
from harmon_eval.instruments.measuring import Measure, Pair
from harmon_eval.instruments.optional import present
from harmon_eval.tasks.pie import rules

ROLES = ("lpips", "structure", "measure")
PIXELS = ("mse", "psnr", "ssim", "psnr_kept")
NETWORKS = ("lpips", "structure", "clip_whole", "clip_edited")
COLUMNS = (*PIXELS, *NETWORKS, *(f"{role}_network" for role in ROLES))


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row a result, and what trivial models get where the data hold their images."""
    found = {role: present(instruments[role]) for role in ROLES}
    names = {f"{role}_network": one.name if one else None for role, one in found.items()}
    rows = []
    for answer in answers:
        target, source = answer.sample.target, answer.sample.request.files[0]
        row: Row = {name: target[name] for name in ("type_id", "instruction")}
        row |= names | _measured(source, answer.image, target, found)
        for name, image in {"copy_source": source, **target["floors"]}.items():
            marks = _measured(source, image, target, found)
            row |= {f"{name}:{column}": value for column, value in marks.items()}
        rows.append(row)
    return rows


def _measured(
    source: Path, result: Path, target: Mapping[str, Any], found: Mapping[str, Any]
) -> Row:
    width, height = size_of(source)
    made, given = rules.fitted(read_picture(result), (width, height)), read_picture(source)
    mask = rules.decode_mask(target["mask"], (height, width))
    row: Row = rules.measures(np.asarray(given), np.asarray(made), mask)
    kept = ~mask
    row["lpips"] = _distance(found["lpips"], masked(made, kept), masked(given, kept))
    row["structure"] = _distance(found["structure"], made, given)
    row["clip_whole"] = _fit(found["measure"], made, target["caption"])
    row["clip_edited"] = _fit(found["measure"], masked(made, mask), target["caption"])
    return row


def masked(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """The image, black outside of the mask (H, W)."""
    return Image.fromarray(np.where(mask[..., None], np.asarray(image), 0).astype(np.uint8))


def _distance(network: Pair | None, made: Image.Image, given: Image.Image) -> float | None:
    """None without the network, or for a picture that it cannot measure."""
    if network is None:
        return None
    (value,) = network.compare([made], [given])
    return None if isinstance(value, Exception) else value


def _fit(measure: Measure | None, image: Image.Image, caption: str) -> float | None:
    """At least 0, as torchmetrics gives it for one image."""
    if measure is None:
        return None
    (value,) = measure.measure([image], [caption])
    return None if isinstance(value, Exception) else max(value, 0.0)
