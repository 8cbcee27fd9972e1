"""Simulated runs of editing tasks and checklists, for ``coverage``: one function a task.

Every edit is its own group. ``strong`` and ``sizes`` are those of ``coverage_models``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harmon_eval import registry
from harmon_eval.suites.mini.edits import KINDS
from harmon_eval.tasks.checklist.rules import ALL, OF, RIGHT
from harmon_eval.tasks.imgedit.task import KINDS as IMGEDIT_KINDS
from harmon_eval.tasks.rise.rules import ASPECTS, CATEGORIES

TYPES = IMGEDIT_KINDS["imgedit"]
RISE = dict(zip(CATEGORIES, (85, 90, 100, 85), strict=True))
Rng = np.random.Generator
Sizes = Mapping[str, int]
Drawn = tuple[pd.DataFrame, dict[str, float]]


def edits(rng: Rng, sizes: Sizes, names: Sequence[str], strong: bool) -> tuple[pd.DataFrame, ...]:
    """Rows of one edit a group, and the mean chance of each kind that is there."""
    ends = (0.94, 0.995) if strong else (0.4, 0.9)
    means = pd.Series(dict(zip(names, np.linspace(*ends, len(names)), strict=True)))
    kind = np.repeat(list(sizes), list(sizes.values()))
    own = means[kind].to_numpy()
    rows = pd.DataFrame({"stratum": kind, "chance": rng.beta(own * 2, (1 - own) * 2)})
    rows["group"] = np.arange(len(rows)).astype(str)
    return rows.assign(judge="j", rubric_kind="ours", rubric="r"), means[list(sizes)]


def rise(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    rows, means = edits(rng, sizes, CATEGORIES, strong)
    complete = rng.random(len(rows)) < rows["chance"]
    rows = rows.assign(category=rows["stratum"], complete=complete, score=np.nan, original=np.nan)
    rows = rows.assign(**dict.fromkeys(ASPECTS, np.nan))
    whole = float(np.average(means, weights=list(sizes.values())))
    first = next(iter(sizes))
    return rows, {named("rise", rows): whole, first: float(means[first])}


def shapes(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """The kinds count alike; followed and preserved go together."""
    rows, means = edits(rng, sizes, tuple(KINDS), strong)
    right = rng.random(len(rows)) < rows["chance"]
    rows = rows.assign(edit_type=rows["stratum"], right=right, followed=right, preserved=right)
    rows = rows.assign(split="seen", retoned=True, background_mae=0.0, psnr_kept=np.inf)
    first = next(iter(sizes))
    return rows, {named("shape_edits", rows): float(means.mean()), first: float(means[first])}


def imgedit(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """The mean of three labels from 1 to 5; the types count alike."""
    rows, means = edits(rng, sizes, TYPES, strong)
    labels = 1 + rng.binomial(4, rows["chance"].to_numpy()[:, None].repeat(3, 1))
    rows = rows.assign(edit_type=rows["stratum"], score=labels.mean(1), original=np.nan, turn=0)
    first = next(iter(sizes))
    return rows, {
        named("imgedit", rows): 1 + 4 * float(means.mean()),
        first: 1 + 4 * float(means[first]),
    }


def geneval2(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Geometric means of probabilities: most images are clearly right or clearly wrong."""
    mean = 0.97 if strong else 0.6
    scores = rng.beta(mean * 1.5, (1 - mean) * 1.5, sizes[""])
    rows = pd.DataFrame({"gm": scores, "am": scores, "tifa": scores, "vqascore": scores})
    rows = rows.assign(judge="j", atoms=3, stratum="", group=np.arange(len(rows)).astype(str))
    return rows, {"soft_tifa_gm[j]": 100 * mean}


def dsg(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Four images a prompt, eight points an image, about an attribute or something else."""
    mean, prompts = (0.97 if strong else 0.75), sizes[""]
    own = np.repeat(rng.beta(mean * 4, (1 - mean) * 4, prompts), 4)
    right = rng.binomial(4, own[:, None].repeat(2, 1))
    rows = pd.DataFrame({"score": right.sum(1) / 8, "judge": "j", "stratum": ""})
    rows["group"] = np.repeat(np.arange(prompts), 4).astype(str)
    sums = {RIGHT + ALL: right.sum(1), OF + ALL: 8, RIGHT + "attribute": right[:, 0]}
    rows = rows.assign(**sums, **{OF + "attribute": 4})
    return rows, {named("dsg", rows): 100 * mean, "kind/attribute": 100 * mean}


def named(task: str, rows: pd.DataFrame) -> str:
    """The headline's whole name, with its judge."""
    known = registry.task(task)
    return next(filter(known.main.names, known.summarize(rows)))


SIZES: Mapping[str, Mapping[str, Sizes]] = {
    "rise": {"official": RISE, "mini": dict.fromkeys(CATEGORIES[:3], 12)},
    "shape_edits": {"mini": dict.fromkeys(KINDS, 24)},
    "imgedit": {"official": dict.fromkeys(TYPES, 82), "mini": dict.fromkeys(TYPES, 6)},
    "geneval2": {"official": {"": 800}},
    "dsg": {"official": {"": 1060}},
}
DRAW = {"rise": rise, "shape_edits": shapes, "imgedit": imgedit, "geneval2": geneval2, "dsg": dsg}
