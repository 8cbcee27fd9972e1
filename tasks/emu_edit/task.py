"""Emu Edit: does the change follow the captions, and how much of the source is left?

Paper: Sheynin et al. 2023, arXiv 2311.10089. There are no target images. ``clip_dir`` is the cosine
of the change from source to result with the change from the one caption to the other, and
``clip_out`` that of the result with the caption of the outcome. The others compare the result with
its *source*, and their names say so: a copy of the source is perfect in them. MagicBrush has
metrics of the same names against a target (task ``magicbrush``), where a copy is poor.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harmon_eval.core import About, Data, Edit, Metric, Sample, Source, Task, UserError
from harmon_eval.files.packed_images import read_rows
from harmon_eval.files.packed_questions import find_files
from harmon_eval.metrics.rows import known
from harmon_eval.metrics.shares import share
from harmon_eval.metrics.statistics import mean_span
from harmon_eval.suites.mini.edit_images import FLOORS, floors
from harmon_eval.tasks.emu_edit import marks, mini

if TYPE_CHECKING:
    import pandas as pd

PATTERNS = ("data/test-*.parquet", "test-*.parquet")
COLUMNS = ("instruction", "task", "idx", "input_caption", "output_caption")


def samples(data: Data) -> Iterator[Sample]:
    """Raises UserError for a table with a flaw."""
    folder = data.folder
    seen: Counter[str] = Counter()
    for row in read_rows(find_files(folder, PATTERNS), COLUMNS, ("image",)):
        own = f"{row['task']}/{row['idx']}"
        texts = [row[name] for name in ("instruction", "input_caption", "output_caption")]
        if not row["image"] or not all(isinstance(text, str) and text.strip() for text in texts):
            raise UserError(f"{folder}: the row {own!r} lacks an image, instruction or caption")
        if not re.fullmatch(r"\w[\w -]*/\w+", own):
            raise UserError(f"{folder}: the row {own!r} has no task and number of plain characters")
        name = own + (f"_{seen[own]}" if seen[own] else "")
        seen[own] += 1
        target = {
            **{"kind": row["task"], "instruction": texts[0]},
            **{"input_caption": texts[1], "output_caption": texts[2]},
            "floors": floors(folder, name, row["image"]),
        }
        # Edits of the same source, which is named by the digest of its bytes, are one group.
        yield Sample(name, Edit((row["image"],), texts[0]), target, row["image"].stem, row["task"])


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Means over the edits; ``clip_dir`` over those whose captions differ."""
    clip, dino = (rows[f"{role}_network"].iloc[0] for role in ("clip", "dino"))
    found = {
        f"clip_out_to_output_caption[{clip}]": float(rows["clip_out"].mean()),
        f"clip_im_to_source[{clip}]": float(rows["clip_im"].mean()),
        f"dino_to_source[{dino}]": float(rows["dino"].mean()),
        "l1_to_source": float(rows["l1"].mean()),
    }
    if rows["clip_dir"].notna().any():
        found[f"clip_dir[{clip}]"] = float(rows["clip_dir"].astype(float).mean())
    return found


TASK = Task(
    samples=samples,
    mark=marks.mark,
    summarize=summarize,
    metrics=(
        Metric("clip_dir[*]", headline=True, rows=known("clip_dir"), span=mean_span("clip_dir")),
        Metric("clip_out_to_output_caption[*]", span=mean_span("clip_out")),
        Metric("clip_im_to_source[*]", span=mean_span("clip_im")),
        Metric("dino_to_source[*]", span=mean_span("dino")),
        Metric(
            "l1_to_source",
            higher_is_better=False,
            of=share("l1"),
            span=mean_span("l1", bottom=0.0),
        ),
    ),
    about=About(
        paper="arXiv 2311.10089",
        version="2",
        protocol="the paper's section on metrics; its authors published no script",
        differs="Networks are CLIP ViT-B/32 and DINO ViT-S/16, which the paper does not name. A "
        "result of another size is resized to the source's for L1. A result that CLIP sees no "
        "change in has a `clip_dir` of 0; edits whose two captions are the same have none.",
        compares="Papers that use other networks have other numbers. MagicBrush's CLIP-I, DINO and "
        "L1 are to a target image and must not stand beside these.",
        licence="CC BY-NC 4.0 (facebook/emu_edit_test_set)",
        size="2,022 or 3,589 edits, by which split the hub calls test; mini: 48 in 4 kinds",
        cost="one edit a row; CLIP ViT-B/32 and DINO ViT-S/16",
    ),
    sources={
        "official": Source(
            files=PATTERNS,
            text="the Parquet files of facebook/emu_edit_test_set (split test)",
            hub="facebook/emu_edit_test_set",
        ),
        "mini": Source(make=mini.make),
    },
    instruments={"clip": "hf", "dino": "hf"},
    floors=FLOORS,
    columns=("clip_network", "dino_network", *marks.MEASURES),
)
