"""Published results: every number with its source, who states it, and under which protocol.

``results/published.csv`` is made from the reviewed list of sources by this file:
``python -m harmon_eval.ranking.published SOURCE.csv results/published.csv``. It adds two
columns, ``weights_public`` (yes, no, or empty where we do not know) and ``trained_on_pattern`` (yes
where the model saw prompts written after the benchmark's pattern), and changes no number.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from harmon_eval.core import UserError
from harmon_eval.store.durable import write_whole

FILE = Path(__file__).with_name("published.csv")  # a link into results/, a copy once installed
SOURCE_COLUMNS = (
    "model",
    "params",
    "task",
    "metric",
    "value",
    "split",
    "source",
    "source_kind",
    "note",
)
COLUMNS = (*SOURCE_COLUMNS, "weights_public", "trained_on_pattern")
KINDS = ("paper", "readme", "leaderboard", "third_party")
CELL = ["model", "task", "metric", "split"]
# Largest value of each task's unit; lower is better for FID, which has none.
LARGEST = {
    "geneval": 1,
    "wise": 1,
    "dpg": 100,
    "pope": 100,
    "mmbench": 100,
    "seed": 100,
    "gqa": 100,
    "mmmu": 100,
    "linear_probe": 100,
    "mme_p": 2000,
    "mme_c": 800,
    "mme_sum": 2800,
    "mjhq": float("inf"),
    "coco30k": float("inf"),
    "imagenet256": float("inf"),
}
LOWER_IS_BETTER = ("fid", "fid50k")
RELEASED = (
    "Harmon-0.5B",
    "Harmon-1.5B",
    "Janus-1.3B",
    "Janus-Pro-1B",
    "Janus-Pro-7B",
    "JanusFlow",
    "Show-o-256",
    "Show-o-512",
    "BAGEL",
    "OpenUni-3.6B",
    "SDv1.5",
    "SDv2.1",
    "SDXL",
    "SD3-Medium",
    "FLUX.1-dev",
    "FLUX.1-schnell",
    "LLaVA-1.5-7B",
    "MAR-B",
    "MAR-L",
    "MAR-H",
)
CLOSED = ("DALL-E 2", "DALL-E 3", "GPT-4o", "GPT-Image-1.5", "NanoBanana-Pro")
# Show-o issue 58: this COCO FID is of weights fine-tuned on COCO-like images, whoever repeats it.
WITHHELD = (("Show-o-256", "coco30k", "9.24"), ("Show-o-512", "coco30k", "9.24"))
PATTERN = ("GenEval-pattern", "GenEval-style")


def read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """All columns as text. Raises UserError where the file is not one of these columns."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if tuple(frame.columns) != columns:
        raise UserError(f"{path} must have the columns {', '.join(columns)}")
    return frame


def check(frame: pd.DataFrame, name: object) -> pd.DataFrame:
    """The same frame with ``value`` as number and its spelling as ``text``.

    Raises UserError that names the faulty line: a number without source, kind or unit, out of its
    range, stated twice, or one of several of a cell whose note does not say so."""
    checked = frame.assign(text=frame["value"], value=pd.to_numeric(frame["value"], "coerce"))
    largest = checked["task"].map(LARGEST)
    several = checked.groupby(CELL)["value"].transform("nunique") > 1
    faults = {
        "no model, metric, split or source": (
            (checked[["model", "metric", "split", "source"]] == "").any(axis=1)
        ),
        "a source_kind other than " + ", ".join(KINDS): ~checked["source_kind"].isin(KINDS),
        "an unknown task": largest.isna(),
        "a value that is out of the task's unit": ~checked["value"].between(0, largest.fillna(0)),
        "the same number of the same source twice": checked.duplicated([*CELL, "value", "source"]),
        "one of several values, and its note does not say that sources disagree": (
            several & ~checked["note"].str.contains("sources disagree")
        ),
    }
    for fault, wrong in faults.items():
        if wrong.any():
            raise UserError(f"{name}, line {int(wrong.to_numpy().argmax()) + 2}: {fault}")
    return checked


def load(path: Path = FILE) -> pd.DataFrame:
    """The published results, validated: COLUMNS and ``text``. Raises UserError."""
    frame = read(path, COLUMNS)
    for column in ("weights_public", "trained_on_pattern"):
        if wrong := set(frame[column]) - {"yes", "no", ""}:
            raise UserError(f"{path}: {column} is yes, no or empty, not {sorted(wrong)[0]!r}")
    return check(frame, path)


def build(source: Path) -> str:
    """The text of published.csv from the list of sources. Raises UserError where it is faulty."""
    frame = read(source, SOURCE_COLUMNS)
    check(frame, source)
    frame["weights_public"] = [
        _public(*cell) for cell in frame[["model", "task", "value", "note"]].itertuples(index=False)
    ]
    pattern = frame["note"].str.contains("|".join(PATTERN)) & (frame["task"] == "geneval")
    frame["trained_on_pattern"] = pattern.map({True: "yes", False: ""})
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _public(model: str, task: str, value: str, note: str) -> str:
    """Of the weights behind this very number: a paper's may differ from those released."""
    if "(released weights)" in model or note.startswith("released weights"):
        return "yes"
    if (model, task, value) in WITHHELD or model in CLOSED or "proprietary" in note:
        return "no"
    return "yes" if model in RELEASED or "with released weights" in note else ""


if __name__ == "__main__":
    try:
        write_whole(Path(sys.argv[2]), build(Path(sys.argv[1])))
    except UserError as error:
        sys.exit(f"error: {error}")
