"""From the probabilities of the answers about an image to GenEval 2's numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Row, Sample
from harmon_eval.instruments.judging import judge_of
from harmon_eval.metrics import likelihood
from harmon_eval.metrics.floors import MOST

if TYPE_CHECKING:
    import pandas as pd

SUM, OF = "sum:", "of:"


def image_row(
    sample: Sample,
    masses: Sequence[float],
    hard: Sequence[bool],
    unseen: Sequence[float] = (),
) -> Row:
    """``masses``: of each question, and of the whole prompt. ``unseen``: how much of the
    distribution of each was not seen, which may belong to the right answer."""
    *parts, whole = masses
    row: Row = {
        "scores": json.dumps([round(mass, 6) for mass in parts]),
        "am": likelihood.arithmetic(parts),
        "gm": likelihood.geometric(parts),
        "tifa": sum(hard) / len(hard),
        "vqascore": whole,
        "atoms": sample.target["atoms"],
    }
    if any(unseen):
        most = [min(1.0, mass + rest) for mass, rest in zip(masses, unseen, strict=True)]
        row |= {
            f"{MOST}am": likelihood.arithmetic(most[:-1]),
            f"{MOST}gm": likelihood.geometric(most[:-1]),
            f"{MOST}vqascore": most[-1],
        }
    for skill, mass in zip(sample.target["skills"], parts, strict=True):
        row[SUM + skill] = row.get(SUM + skill, 0.0) + mass
        row[OF + skill] = row.get(OF + skill, 0.0) + 1.0
    return row


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """All in percent. ``skill/...``: mean over all questions of a skill; ``atoms/N``: mean of the
    geometric means of prompts with N atoms."""
    judge = judge_of(rows)
    found = {
        f"soft_tifa_gm[{judge}]": rows["gm"].mean(),
        f"soft_tifa_am[{judge}]": rows["am"].mean(),
        f"tifa[{judge}]": rows["tifa"].mean(),
        f"vqascore_yes_mass[{judge}]": rows["vqascore"].mean(),
    }
    for column in sorted(c for c in rows.columns if c.startswith(OF)):
        skill = column.removeprefix(OF)
        if (count := rows[column].sum()) > 0:
            found[f"skill/{skill}"] = rows[SUM + skill].sum() / count
    for atoms, own in rows.groupby("atoms"):
        found[f"atoms/{int(float(str(atoms)))}"] = own["gm"].mean()
    return {name: 100 * float(value) for name, value in found.items()}


def bounds(sample: Sample) -> tuple[Row, Row]:
    def row(right: bool) -> Row:
        count = len(sample.target["questions"])
        masses = [float(right)] * (count + 1)
        return {"judge": None, **image_row(sample, masses, [right] * count)}

    return row(False), row(True)


def of_skill(rows: pd.DataFrame, metric: str) -> pd.Series:
    return rows[OF + metric.removeprefix("skill/")] > 0


def skill_share(rows: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Sums and numbers of a skill's questions in each row, for its interval."""
    skill = metric.removeprefix("skill/")
    marks, of = (rows[start + skill].fillna(0).to_numpy(np.float64) for start in (SUM, OF))
    return marks, of


def of_atoms(rows: pd.DataFrame, metric: str) -> pd.Series:
    return rows["atoms"] == int(metric.removeprefix("atoms/"))
