"""PIE-Bench: is what was not to be edited still the same?

Paper: Ju et al. 2023, arXiv 2310.01506. Protocol: cure-lab/PnPInversion @ 07f97f4. Each edit comes
with a mask of what may change. Source and result are compared outside of it: mean squared error,
PSNR and SSIM, with the masked part black in both images and counted as equal (``[pie]``), and PSNR
over the kept pixels alone. A copy of the source is perfect in all: read them beside ``gedit``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Drawn,
    Edit,
    Instruments,
    Metric,
    Row,
    Sample,
    Source,
    Task,
    UserError,
    count,
)
from harmon_eval.files.drawn import inside
from harmon_eval.files.found import pictures
from harmon_eval.files.images import read_picture, read_rgb, size_of
from harmon_eval.files.question_files import read_text
from harmon_eval.metrics.shares import share
from harmon_eval.suites.mini.edit_images import FLOORS, floors
from harmon_eval.tasks.pie import mini, rules

if TYPE_CHECKING:
    import pandas as pd

FILE, IMAGES = "mapping_file.json", "annotation_images"
FIELDS = ("image_path", "editing_prompt", "editing_type_id", "mask")
MEASURES = ("mse", "psnr", "ssim", "psnr_kept")


def samples(data: Data) -> Iterator[Sample]:
    """Raises UserError for a file with a flaw, or without its images."""
    folder = data.folder
    for key, item in _read(folder / FILE).items():
        where = f"{folder / FILE}, entry {key!r}"
        if not isinstance(item, dict) or any(name not in item for name in FIELDS):
            raise UserError(f"{where}: needs the fields {', '.join(FIELDS)}")
        source = inside(folder, folder / IMAGES / item["image_path"])
        if not source.is_file():
            raise UserError(f"{source} is missing: put PIE-Bench's annotation_images there")
        name = str(Path(item["image_path"]).with_suffix(""))
        text = item.get("editing_instruction") or re.sub(r"[\[\]]", "", item["editing_prompt"])
        kind = str(item["editing_type_id"])
        target = {
            **{"type_id": kind, "instruction": text, "mask": item["mask"], "place": name},
            "floors": floors(folder, name, source),
        }
        yield Sample(name, Edit((source,), text), target, name, kind)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict) or not content:
        raise UserError(f"{file} must hold an object of key -> edit")
    return content


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """One row a result, and what trivial models get where the data hold their images."""
    rows = []
    for answer in answers:
        target, source = answer.sample.target, answer.sample.request.files[0]
        row: Row = {name: target[name] for name in ("type_id", "instruction")}
        row |= _measured(source, answer.image, target["mask"])
        for name, image in {"copy_source": source, **target["floors"]}.items():
            marks = _measured(source, image, target["mask"])
            row |= {f"{name}:{column}": value for column, value in marks.items()}
        rows.append(row)
    return rows


def _measured(source: Path, result: Path, runs: Sequence[int]) -> Row:
    width, height = size_of(source)
    image = rules.fitted(read_picture(result), (width, height))
    mask = rules.decode_mask(runs, (height, width))
    return rules.measures(read_rgb(source), np.asarray(image), mask)


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Means of images; a PSNR of equal pixels is infinite and is counted as ``identical``."""
    found = {f"{name}_unedited[pie]": float(rows[name].mean()) for name in ("ssim", "mse")}
    for name, metric in (("psnr", "psnr_unedited[pie]"), ("psnr_kept", "psnr_kept")):
        known = rows.loc[np.isfinite(rows[name]), name]
        if len(known):
            found[metric] = float(known.mean())
    found["identical"] = float(np.isinf(rows["psnr"]).sum())
    return found


def _finite(column: str) -> Any:
    return lambda rows, _: np.isfinite(rows[column])


def read_images(folder: Path) -> list[Drawn] | None:
    """Results below ``annotation_images``, under the names of the sources."""
    top = folder / IMAGES if (folder / IMAGES).is_dir() else folder
    if top.name != IMAGES:
        return None
    return [Drawn(f, sample=str(f.relative_to(top).with_suffix(""))) for f in pictures(top)] or None


def published(answers: Sequence[Answer]) -> Mapping[str, Path]:
    return {f"{IMAGES}/{answer.sample.target['place']}.png": answer.image for answer in answers}


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    metrics=(
        Metric("ssim_unedited[pie]", headline=True, of=share("ssim")),
        Metric("mse_unedited[pie]", higher_is_better=False, of=share("mse")),
        Metric("psnr_unedited[pie]", maximum=None, rows=_finite("psnr"), interval=False),
        Metric("psnr_kept", maximum=None, rows=_finite("psnr_kept"), interval=False),
        count("identical"),
    ),
    about=About(
        paper="arXiv 2310.01506",
        version="1",
        protocol="cure-lab/PnPInversion @ 07f97f4, evaluation",
        differs="A PSNR of equal pixels is counted as `identical` and left out of the mean, which "
        "is infinite in the original. A result of another size is brought to the source's; of a "
        "strip of images the last one counts, as in the original. `psnr_kept` is ours. LPIPS, "
        "structure distance and CLIP similarity are not computed yet.",
        compares="Papers give MSE and LPIPS times 10^4 or 10^3, SSIM times 100.",
        licence="not stated; get the data from its authors",
        size="700 edits in 10 types; mini: 60 in 6",
        cost="700 edits; seconds to mark",
    ),
    sources={
        "official": Source(files=(FILE,), text="PIE-Bench's mapping_file.json, annotation_images"),
        "mini": Source(make=mini.make),
    },
    layout=read_images,
    published=published,
    floors=FLOORS,
    columns=("type_id", *MEASURES),
)
