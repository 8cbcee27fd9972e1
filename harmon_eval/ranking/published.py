"""Published results: every number with its source, the kind of source, and the protocol.

This file makes ``results/published.csv`` from reviewed lists of sources:
``python -m harmon_eval.ranking.published SOURCE.csv ... results/published.csv``. It changes no
number. It gives numbers of different protocols different splits (``protocols.py``), says in the
notes where sources disagree, and adds two columns: ``weights_public`` (yes, no, or empty if
unknown) and ``trained_on_pattern`` (yes if the model was trained on prompts that follow the
benchmark's pattern).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd

from harmon_eval.core import UserError
from harmon_eval.ranking import protocols
from harmon_eval.store.durable import write_whole

# In a checkout this is a link into results/; once installed it is a copy.
FILE = Path(__file__).with_name("published.csv")
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
# The largest possible value of each task; FID (lower is better) has none.
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
    "imgedit": 5,
    "gedit": 10,
    "omnicontext": 10,
    "risebench": 100,
    "kris": 100,
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
# Show-o issue 58: this COCO FID belongs to weights fine-tuned on COCO-like images. Other papers
# repeat the number.
WITHHELD = (("Show-o-256", "coco30k", "9.24"), ("Show-o-512", "coco30k", "9.24"))
PATTERN = ("GenEval-pattern", "GenEval-style")


def read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read all columns as text. Raises UserError if the columns are not exactly these."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if tuple(frame.columns) != columns:
        raise UserError(f"{path} must have the columns {', '.join(columns)}")
    return frame.set_axis([f"{path}, line {number + 2}" for number in range(len(frame))])


def check(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame with ``value`` as a number and its original spelling as ``text``.

    Its index names each line. Raises UserError naming the faulty one, if a number has no source,
    kind or known task, is out of range or stated twice, or is one of several values of a cell and
    its note does not say so or names another protocol than theirs."""
    checked = frame.assign(text=frame["value"], value=pd.to_numeric(frame["value"], "coerce"))
    largest = checked["task"].map(LARGEST)
    several = checked.groupby(CELL)["value"].transform("nunique") > 1
    said = checked["note"].map(protocols.said)
    protocol = said.map(lambda names: ", ".join(sorted(names)))
    mixed = protocol.groupby([checked[name] for name in CELL]).transform("nunique") > 1
    faults = {
        "no model, metric, split or source": (
            (checked[["model", "metric", "split", "source"]] == "").any(axis=1)
        ),
        "a source_kind other than " + ", ".join(KINDS): ~checked["source_kind"].isin(KINDS),
        "an unknown task": largest.isna(),
        "a value outside the task's range": ~checked["value"].between(0, largest.fillna(0)),
        "the same number from the same source twice": checked.duplicated(
            [*CELL, "value", "source"]
        ),
        "one of several values, but its note does not say that sources disagree": (
            several & ~checked["note"].str.contains("sources disagree")
        ),
        "values of different protocols would be shown as one range: give this one its own split": (
            several & mixed & (protocol != "")
        ),
    }
    for fault, wrong in faults.items():
        if wrong.any():
            raise UserError(f"{checked.index[int(wrong.to_numpy().argmax())]}: {fault}")
    return checked


def load(path: Path = FILE) -> pd.DataFrame:
    """The published results, validated: COLUMNS and ``text``. Raises UserError."""
    frame = read(path, COLUMNS)
    for column in ("weights_public", "trained_on_pattern"):
        if wrong := set(frame[column]) - {"yes", "no", ""}:
            raise UserError(f"{path}: {column} must be yes, no or empty, not {sorted(wrong)[0]!r}")
    return check(frame)


def build(*sources: Path) -> str:
    """The text of published.csv, made from lists of sources. Raises UserError for a bad list."""
    frame = pd.concat([read(source, SOURCE_COLUMNS) for source in sources])
    stated = frame.groupby(CELL)["value"].transform("size") > 1
    frame["split"] = [protocols.assign(row) for row in frame.to_dict("records")]
    frame["note"] = _noted(frame, stated)
    check(frame)
    frame["weights_public"] = [
        _public(*cell) for cell in frame[["model", "task", "value", "note"]].itertuples(index=False)
    ]
    pattern = frame["note"].str.contains("|".join(PATTERN)) & (frame["task"] == "geneval")
    frame["trained_on_pattern"] = pattern.map({True: "yes", False: ""})
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _noted(frame: pd.DataFrame, stated: pd.Series) -> list[str]:
    """The notes, with the values of each cell in which sources disagree.

    ``stated``: rows that shared their cell before protocols were told apart. What their notes said
    about disagreement is said anew. Other notes may mention values that are not listed."""
    found = []
    disagree = frame.groupby(CELL)["value"].transform(_spelled)
    for note, shared, values in zip(frame["note"], stated, disagree, strict=True):
        kept = re.sub(r"(; |^)sources disagree: [\d./ ]+(?=;|$)", "", note) if shared else note
        if values and f"sources disagree: {values}" not in kept:
            kept = re.sub(r"(; |^)sources disagree: [^;]*", "", kept)
            kept = "; ".join(filter(None, (kept.removeprefix("; "), f"sources disagree: {values}")))
        found.append(kept.removeprefix("; "))
    return found


def _spelled(values: pd.Series) -> str:
    """The different values of a cell in ascending order; empty if there is only one."""
    numbers = pd.to_numeric(values, "coerce").dropna()
    different = {float(number): values[label] for label, number in numbers[::-1].items()}
    return " / ".join(different[v] for v in sorted(different)) if len(different) > 1 else ""


def _public(model: str, task: str, value: str, note: str) -> str:
    """Whether the weights behind this number are public. Papers may use other weights than those
    they release."""
    if "(released weights)" in model or note.startswith("released weights"):
        return "yes"
    if (model, task, value) in WITHHELD or model in CLOSED or "proprietary" in note:
        return "no"
    return "yes" if model in RELEASED or "with released weights" in note else ""


if __name__ == "__main__":
    try:
        write_whole(Path(sys.argv[-1]), build(*map(Path, sys.argv[1:-1])))
    except UserError as error:
        sys.exit(f"error: {error}")
