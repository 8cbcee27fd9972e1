"""Source, instruction, result and verdict of one edit of each kind, for docs/pictures/edits.png.

``python -m benchmarks.edit_picture RUN docs/pictures/edits.png``, RUN being a run of shape_edits.
Of each kind it takes the first edit, right or wrong.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw

from benchmarks import parsing
from harmon_eval.suites.mini.edits import KINDS
from harmon_eval.suites.mini.scenes import render
from harmon_eval.tasks.shape_edits.mini import items

ZOOM, GAP, LINE, COLUMNS = 2, 12, 16, 3
RIGHT, WRONG = (20, 120, 60), (180, 40, 30)


def drawn(run: Path) -> Image.Image:
    rows = pd.read_parquet(run / "shape_edits" / "rows.parquet").set_index("id")
    sources = {item.key: render(item.edit.source) for item in items()}
    side = 64 * ZOOM
    width, height = 2 * side + GAP, side + 2 * LINE + 2 * GAP
    lines = -(-len(KINDS) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (width + GAP) + GAP, lines * height + GAP), "white")
    pen = ImageDraw.Draw(page)
    for number, kind in enumerate(KINDS):
        key = f"{kind}-00"
        x, y = GAP + number % COLUMNS * (width + GAP), GAP + number // COLUMNS * height
        result = Image.open(run / "shape_edits" / "images" / f"{key}.png").convert("RGB")
        for place, image in enumerate((Image.fromarray(sources[key]), result)):
            large = image.resize((side, side), Image.Resampling.NEAREST)
            page.paste(large, (x + place * (side + GAP), y))
        row = rows.loc[key]
        told = " ".join(name if row[name] else f"not {name}" for name in ("followed", "preserved"))
        pen.text((x, y + side + 2), row["instruction"], "black")
        pen.text((x, y + side + 2 + LINE), told, RIGHT if row["right"] else WRONG)
    return page


def main() -> None:
    parser = parsing.Parser("edit_picture", __doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    drawn(given.run).save(given.picture, optimize=True)


if __name__ == "__main__":
    main()
