"""Simulated runs of editing tasks, for ``coverage``: one function a task.

Every edit is its own group. ``strong`` and ``sizes`` are those of ``coverage_models``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import pandas as pd

from harmon_eval import registry
from harmon_eval.suites.mini.edits import KINDS
from harmon_eval.tasks.gedit.files import GROUPS
from harmon_eval.tasks.imgedit.task import KINDS as IMGEDIT_KINDS
from harmon_eval.tasks.kris import rules as kris_rules
from harmon_eval.tasks.omnicontext.files import TYPES as CONTEXTS
from harmon_eval.tasks.rise.rules import ASPECTS, CATEGORIES

Rng = np.random.Generator
Sizes = Mapping[str, int]
Drawn = tuple[pd.DataFrame, dict[str, float]]
Draw = Callable[[Rng, Sizes, bool], Drawn]
GRADED = 4.0  # how alike the marks of edits of a kind are: the sum of the parameters of their beta


def edits(
    rng: Rng, sizes: Sizes, names: Sequence[str], strong: bool, alike: float = 2.0
) -> tuple[pd.DataFrame, pd.Series]:
    """Rows of one edit a group, and the mean chance of each kind that is there."""
    ends = (0.94, 0.995) if strong else (0.4, 0.9)
    means = pd.Series(dict(zip(names, np.linspace(*ends, len(names)), strict=True)))
    kind = np.repeat(list(sizes), list(sizes.values()))
    own = means[kind].to_numpy()
    rows = pd.DataFrame({"stratum": kind, "chance": rng.beta(own * alike, (1 - own) * alike)})
    rows["group"] = np.arange(len(rows)).astype(str)
    return rows.assign(judge="j", rubric_kind="ours", rubric="r"), means[list(sizes)]


def named(task: str, rows: pd.DataFrame) -> str:
    """The headline's whole name, with its judge."""
    strata = tuple(rows["stratum"].drop_duplicates())
    if (task, strata) not in _NAMES:
        known = registry.task(task)
        _NAMES[task, strata] = next(filter(known.main.names, known.summarize(rows)))
    return _NAMES[task, strata]


_NAMES: dict[tuple[str, tuple[str, ...]], str] = {}  # with parts missing, the names say so


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
    rows, means = edits(rng, sizes, IMGEDIT_KINDS["imgedit"], strong)
    labels = 1 + rng.binomial(4, rows["chance"].to_numpy()[:, None].repeat(3, 1))
    rows = rows.assign(edit_type=rows["stratum"], score=labels.mean(1), original=np.nan, turn=0)
    first = next(iter(sizes))
    return rows, {
        named("imgedit", rows): 1 + 4 * float(means.mean()),
        first: 1 + 4 * float(means[first]),
    }


@cache
def mean_root(mean: float) -> float:
    """The mean of the square root of two scores from 0 to 10, binomial with a common chance."""
    from scipy import stats

    chance = stats.beta.ppf((np.arange(4000) + 0.5) / 4000, mean * GRADED, (1 - mean) * GRADED)
    scores = np.arange(11)
    roots = stats.binom.pmf(scores, 10, chance[:, None]) @ np.sqrt(scores)
    return float((roots**2).mean())


def _two_scores(
    rng: Rng, sizes: Sizes, names: Sequence[str], strong: bool
) -> tuple[pd.DataFrame, np.ndarray, pd.Series]:
    """Two scores from 0 to 10 of each edit (edits, 2), and the true mean of their root by kind."""
    rows, means = edits(rng, sizes, names, strong, GRADED)
    scores = rng.binomial(10, rows["chance"].to_numpy()[:, None].repeat(2, 1)).astype(float)
    return rows.assign(task_type=rows["stratum"], O=np.sqrt(scores.prod(1))), scores, means


def gedit(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """The groups count alike."""
    rows, scores, means = _two_scores(rng, sizes, GROUPS, strong)
    rows = rows.assign(SC=scores[:, 0], PQ=scores[:, 1], language="en", intersection=True)
    roots = means.map(mean_root)
    first = next(iter(sizes))
    name = named("gedit", rows)
    return rows, {
        name: float(roots.mean()),
        name.replace("gedit_en", "gedit_en_SC"): 10 * float(means.mean()),
        f"en/{first}": float(roots[first]),
    }


def omnicontext(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """The kinds count alike."""
    rows, scores, means = _two_scores(rng, sizes, CONTEXTS, strong)
    rows = rows.assign(PF=scores[:, 0], SC=scores[:, 1])
    rows = rows.assign(original_guesses=False, original_stops=False)
    roots = means.map(mean_root)
    first = next(iter(sizes))
    return rows, {named("omnicontext", rows): float(roots.mean()), first: float(roots[first])}


def kris(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Three scores from 1 to 5, or four where knowledge is judged; all scores count alike."""
    rows, means = edits(rng, sizes, tuple(kris_rules.GROUP_OF), strong)
    scores = 1.0 + rng.binomial(4, rows["chance"].to_numpy()[:, None].repeat(4, 1))
    scores[~rows["stratum"].isin(kris_rules.WITH_KNOWLEDGE), 3] = np.nan
    rows = rows.assign(**dict(zip(kris_rules.SCORES, scores.T, strict=True)))
    rows["category"] = rows["stratum"]
    rows["kris_group"] = rows["category"].map(kris_rules.GROUP_OF)
    rows["kind"] = rows["kris_group"].map(kris_rules.KIND_OF)
    known = pd.Series(
        {name: n * (4 if name in kris_rules.WITH_KNOWLEDGE else 3) for name, n in sizes.items()}
    )
    kinds = known.index.map(kris_rules.GROUP_OF).map(kris_rules.KIND_OF)
    truth = {named("kris", rows): 100 * float(np.average(means, weights=known))}
    for kind in ("Factual", "Procedural"):
        if (own := kinds == kind).any():
            truth[kind] = 100 * float(np.average(means[own], weights=known[own]))
    return rows, truth


OFFICIAL_GEDIT = dict(zip(GROUPS, (40, 40, 40, 40, 70, 60, 60, 57, 60, 99, 40), strict=True))
MINI_IMGEDIT = ("add", "adjust", "replace", "remove", "background", "action", "compose")
MINI_KRIS = (
    *("color_change", "count_change", "multi-instruction_execution"),
    *("position_movement", "size_adjustment"),
)
TASKS: Mapping[str, tuple[Mapping[str, Sizes], Draw]] = {
    "rise": (
        {
            "official": dict(zip(CATEGORIES, (85, 90, 100, 85), strict=True)),
            "mini": dict.fromkeys(CATEGORIES[:3], 12),
        },
        rise,
    ),
    "shape_edits": ({"mini": dict.fromkeys(KINDS, 24)}, shapes),
    "imgedit": (
        {
            "official": dict.fromkeys(IMGEDIT_KINDS["imgedit"], 82),
            "mini": dict.fromkeys(MINI_IMGEDIT, 20),
        },
        imgedit,
    ),
    "gedit": ({"official": OFFICIAL_GEDIT, "mini": dict.fromkeys(GROUPS[:6], 20)}, gedit),
    "kris": (
        {"official": dict.fromkeys(kris_rules.GROUP_OF, 63), "mini": dict.fromkeys(MINI_KRIS, 10)},
        kris,
    ),
    "omnicontext": (
        {
            "official": dict.fromkeys(CONTEXTS, 50),
            "mini": dict.fromkeys(("single_object", "multi_object", "scene_object"), 16),
        },
        omnicontext,
    ),
}
