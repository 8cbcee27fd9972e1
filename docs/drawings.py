"""Make the picture of GenEval's drawings that the README shows, docs/pictures/geneval.png.

    python docs/drawings.py

The bundled model draws 48 prompts, eight for each kind of prompt, which takes some minutes; a
drawing has the detector's boxes, and red words where it is scored as wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

import harmon_eval

PICTURE = Path(__file__).parent / "pictures" / "geneval.png"
LIMIT, COLUMNS = 48, 8
SIDE, LINE, GAP = 188, 34, 4  # of a drawing, of the words below it, between two; pixels


def chosen(rows: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """For each kind of prompt the first drawing of each prompt, then the second ones, in a line."""
    rows = rows.assign(index=rows.groupby("group").cumcount())
    lines = rows.sort_values(["index", "group"]).groupby("tag", sort=False)
    kinds = dict.fromkeys(rows["tag"])
    return [lines.get_group(kind).head(COLUMNS).to_dict("records") for kind in kinds]


def tile(row: dict[str, Any]) -> Image.Image:
    """A drawing with its boxes, and whether it is what was asked for."""
    picture = Image.open(row["response"]).convert("RGB")
    scale = SIDE / picture.width
    made = Image.new("RGB", (SIDE, SIDE + LINE), "white")
    made.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    pen = ImageDraw.Draw(made)
    for name, boxes in json.loads(row["details"]).items():
        for x0, y0, x1, y1, _ in boxes:
            pen.rectangle([scale * each for each in (x0, y0, x1, y1)], outline="white")
            place = (scale * x0 + 1, max(scale * y0 - 14, 0))
            pen.text(place, name, "white", ImageFont.load_default(12))
    words = row["prompt"].removeprefix("a photo of ")
    told, colour = ("yes", "black") if row["correct"] else ("NO", "red")
    text = wrapped(f"{told}: {words}", ImageFont.load_default(13))
    pen.text((2, SIDE + 2), text, colour, ImageFont.load_default(13), spacing=1)
    return made


def wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > SIDE - 4:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def sheet(lines: list[list[dict[str, Any]]]) -> Image.Image:
    width, height = SIDE + GAP, SIDE + LINE
    made = Image.new("RGB", (COLUMNS * width - GAP, len(lines) * height), "white")
    for y, line in enumerate(lines):
        for x, row in enumerate(line):
            made.paste(tile(row), (x * width, y * height))
    return made


def main() -> None:
    with TemporaryDirectory() as folder:
        run = harmon_eval.evaluate("harmon-mini", "geneval", limit=LIMIT, output=folder)
        sheet(chosen(run["geneval"].rows)).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
