"""PIE-Bench: is what was not to be edited still the same?

Paper: Ju et al. 2023, arXiv 2310.01506. Protocol: cure-lab/PnPInversion @ 07f97f4. Each edit comes
with a mask of what may change. Source and result are compared outside of it: mean squared error,
PSNR, SSIM and LPIPS, with the masked part black in both images and counted as equal (``[pie]``),
and PSNR over the kept pixels alone. Structure distance is how far the layout of the whole result is
from the source's, by DINO. A copy of the source is perfect in all of these: read them beside
``clip_whole`` and ``clip_edited``, how well the whole result and its masked part fit the target's
caption, or beside a judged benchmark such as ``gedit``.

LPIPS, structure distance and CLIP need weights of yours. Without them these are left out, with a
line that says which file goes where; ``mark RUN`` adds them later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import (
    About,
    Data,
    Edit,
    Metric,
    Sample,
    Source,
    Task,
    UserError,
    count,
)
from harmon_eval.files.drawn import inside
from harmon_eval.instruments.optional import optional
from harmon_eval.metrics.rows import known
from harmon_eval.metrics.shares import share
from harmon_eval.metrics.statistics import mean_span
from harmon_eval.suites.mini.edit_images import FLOORS, floors
from harmon_eval.tasks.pie import files, marks, mini
from harmon_eval.tasks.pie.files import FILE, IMAGES

if TYPE_CHECKING:
    import pandas as pd

FIELDS = ("image_path", "editing_prompt", "editing_type_id", "mask")
# Column -> metric, its role of instrument, and whether more is better.
BY_NETWORKS = {
    "lpips": ("lpips_unedited[pie,*]", "lpips", False),
    "structure": ("structure_distance[*]", "structure", False),
    "clip_whole": ("clip_whole[*]", "measure", True),
    "clip_edited": ("clip_edited[*]", "measure", True),
}


def samples(data: Data) -> Iterator[Sample]:
    """Raises UserError for a file with a flaw, or without its images."""
    folder = data.folder
    for key, item in files.read_edits(folder / FILE).items():
        where = f"{folder / FILE}, entry {key!r}"
        if not isinstance(item, dict) or any(name not in item for name in FIELDS):
            raise UserError(f"{where}: needs the fields {', '.join(FIELDS)}")
        source = inside(folder, folder / IMAGES / item["image_path"])
        if not source.is_file():
            raise UserError(f"{source} is missing: put PIE-Bench's annotation_images there")
        name = str(Path(item["image_path"]).with_suffix(""))
        caption = re.sub(r"[\[\]]", "", item["editing_prompt"])
        text = item.get("editing_instruction") or caption
        kind = str(item["editing_type_id"])
        target = {
            **{"type_id": kind, "instruction": text, "mask": item["mask"], "place": name},
            "caption": caption,
            "floors": floors(folder, name, source),
        }
        yield Sample(name, Edit((source,), text), target, name, kind)


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Means of images; a PSNR of equal pixels is infinite and is counted as ``identical``."""
    found = {f"{name}_unedited[pie]": float(rows[name].mean()) for name in ("ssim", "mse")}
    for name, metric in (("psnr", "psnr_unedited[pie]"), ("psnr_kept", "psnr_kept")):
        finite = rows.loc[np.isfinite(rows[name]), name]
        if len(finite):
            found[metric] = float(finite.mean())
    for column, (metric, role, _) in BY_NETWORKS.items():
        if column in rows and (values := rows[column].dropna()).size:
            (network,) = rows[f"{role}_network"].dropna().unique()
            found[metric.replace("*", network)] = float(values.astype(float).mean())
    found["identical"] = float(np.isinf(rows["psnr"]).sum())
    return found


def _finite(column: str) -> Any:
    return lambda rows, _: np.isfinite(rows[column])


TASK = Task(
    samples=samples,
    mark=marks.mark,
    summarize=summarize,
    metrics=(
        Metric("ssim_unedited[pie]", headline=True, of=share("ssim"), span=mean_span("ssim")),
        Metric(
            "mse_unedited[pie]",
            higher_is_better=False,
            of=share("mse"),
            span=mean_span("mse", bottom=0.0),
        ),
        Metric("psnr_unedited[pie]", maximum=None, rows=_finite("psnr"), interval=False),
        Metric("psnr_kept", maximum=None, rows=_finite("psnr_kept"), interval=False),
        *(
            Metric(
                metric,
                higher_is_better=better,
                maximum=None,
                rows=known(column),
                span=mean_span(column, None),
            )
            for column, (metric, _, better) in BY_NETWORKS.items()
        ),
        count("identical"),
    ),
    about=About(
        paper="arXiv 2310.01506",
        version="2",
        protocol="cure-lab/PnPInversion @ 07f97f4, evaluation",
        differs="A PSNR of equal pixels is counted as `identical` and left out of the mean, which "
        "is infinite in the original. A result of another size is brought to the source's; of a "
        "strip of images the last one counts, as in the original. `psnr_kept` is ours. CLIP is "
        "given images by Pillow, where torchmetrics may resize tensors. Structure distance resizes "
        "without antialiasing, as the original's torchvision 0.13.",
        compares="Papers give MSE and LPIPS times 10^4 or 10^3, SSIM times 100, structure distance "
        "times 10^3.",
        licence="not stated; get the data from its authors",
        size="700 edits in 10 types; mini: 60 in 6",
        cost="700 edits; three networks",
    ),
    sources={
        "official": Source(files=(FILE,), text="PIE-Bench's mapping_file.json, annotation_images"),
        "mini": Source(make=mini.make),
    },
    instruments={
        "lpips": optional("lpips", "squeeze"),
        "structure": optional("structure", "dino"),
        "measure": optional("measure", "clipscore?recipe=torchmetrics&network=large"),
    },
    layout=files.read_images,
    layout_shown="annotation_images/ and the paths of the sources in it",
    published=files.published,
    floors=FLOORS,
    columns=("type_id", *marks.COLUMNS),
)
