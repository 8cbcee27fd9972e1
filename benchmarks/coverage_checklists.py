"""Simulated runs of checklists and of judges' probabilities, for ``coverage``: one function a task.

The images of a prompt are about equally hard, as are the points of an image. ``strong`` and
``sizes`` are those of ``coverage_models``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from benchmarks.coverage_edits import Draw, Drawn, Rng, Sizes, named
from harmon_eval import registry
from harmon_eval.tasks.checklist.rules import ALL, BY, OF, RIGHT
from harmon_eval.tasks.tiif.rules import GROUPS

ALIKE = 4.0
LENGTHS = ("short", "long")
DIMENSIONS = [f"d{n}" for n in range(5)]
TIIF = [attribute for own in GROUPS.values() for attribute in own]
KINDS = [f"{part}/{n}" for part in "ABCDEFGHI" for n in range(3)]  # UniGenBench has 27


def items(rng: Rng, sizes: Sizes, mean: np.ndarray | float, images: int) -> pd.DataFrame:
    """``images`` of each prompt, with the chance of its points. ``mean``: of all, or (prompts,)."""
    prompts = sizes[""]
    share = np.broadcast_to(mean, prompts)
    chance = np.repeat(rng.beta(share * ALIKE, (1 - share) * ALIKE), images)
    rows = pd.DataFrame({"judge": "j", "stratum": "", "chance": chance})
    return rows.assign(group=np.repeat(np.arange(prompts), images).astype(str))


def expected(task: str, rows: pd.DataFrame, mean: np.ndarray | float) -> dict[str, float]:
    """The metrics if each image had exactly its ``mean`` share of right points, which is what they
    are on average: the points that are asked are fixed."""
    rows = rows.assign(score=mean)
    for name in [c for c in rows.columns if c.startswith(OF)]:
        rows[RIGHT + name.removeprefix(OF)] = rows[name] * mean
    return registry.task(task).summarize(rows)


def ask(rng: Rng, rows: pd.DataFrame, points: int | np.ndarray) -> pd.DataFrame:
    """``points`` an image, or (images,)."""
    right = rng.binomial(points, rows["chance"])
    return rows.assign(**{RIGHT + ALL: right, OF + ALL: points, "score": right / points})


def graph(task: str, points: int, images: int, parts: str) -> Draw:
    """A benchmark whose headline is the mean over prompts; each has one of two ``parts``."""

    def draw(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
        mean = 0.97 if strong else 0.75
        rows = ask(rng, items(rng, sizes, mean, images), points)
        first = np.arange(len(rows)) // images % 2 == 0
        rows[BY + parts] = np.where(first, "a", "b")
        half = rng.binomial(points // 2, rows["chance"])
        rows = rows.assign(**{RIGHT + "attribute": half, OF + "attribute": points // 2})
        truth = dict.fromkeys((named(task, rows), "kind/attribute", f"{parts}/a"), 100 * mean)
        return rows, truth

    return draw


def checklist(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Short prompts and longer ones, which are harder and count the same in all."""
    means = {"short": 0.99, "long": 0.95} if strong else {"short": 0.8, "long": 0.6}
    length = np.repeat(list(sizes), list(sizes.values()))
    rows = items(rng, {"": len(length)}, pd.Series(means)[length].to_numpy(), 4)
    rows["stratum"] = rows[BY + "length"] = length.repeat(4)
    rows = ask(rng, rows, 6)
    whole = 50 * sum(means.values())
    return rows, {named("checklist", rows): whole, "length/long": 100 * means["long"]}


def tiif(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """A short and a long wording of each instruction, with three to eight points."""
    ends = (0.94, 0.995) if strong else (0.4, 0.9)
    means = pd.Series(np.linspace(*ends, len(TIIF)), index=TIIF)
    attribute = np.repeat(list(sizes), list(sizes.values()))
    rows = items(rng, {"": len(attribute)}, means[attribute].to_numpy(), 2)
    rows["stratum"] = rows[BY + "attribute"] = attribute.repeat(2)
    rows[BY + "length"] = np.where(np.arange(len(rows)) % 2, "long", "short")
    rows = ask(rng, rows, rng.integers(3, 9, len(attribute)).repeat(2))
    name = named("tiif", rows)
    true = expected("tiif", rows, means[attribute].to_numpy().repeat(2))
    return rows, {key: true[key] for key in (name, "total/short")}


def unigenbench(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Three points an image, each of another kind; the kinds count alike."""
    ends = (0.94, 0.995) if strong else (0.4, 0.9)
    means = np.linspace(*ends, len(KINDS))
    rows = items(rng, sizes, 0.5, 4)
    asked = np.stack([rng.permutation(len(KINDS))[:3] for _ in range(sizes[""])])
    shift = rng.normal(size=sizes[""])  # how hard the prompt is, in all of its points
    columns = {}
    for number, kind in enumerate(KINDS):
        has = (asked == number).any(1)
        spread = np.sqrt(means[number] * (1 - means[number]) / (ALIKE + 1))
        # Bounded on both sides alike, so that the mean stays.
        room = min(means[number], 1 - means[number])
        chance = means[number] + np.clip(spread * shift, -room, room)
        columns[OF + kind] = has.repeat(4).astype(float)
        columns[RIGHT + kind] = (rng.random(len(rows)) < chance.repeat(4)) * columns[OF + kind]
    table = pd.DataFrame(columns)
    for start in (OF, RIGHT):
        for part in sorted({kind[0] for kind in KINDS}):
            table[start + part] = table[[start + k for k in KINDS if k[0] == part]].sum(axis=1)
        table[start + ALL] = table[[start + kind for kind in KINDS]].sum(axis=1)
    rows = pd.concat([rows, table], axis=1).assign(score=table[RIGHT + ALL] / 3)
    there = [n for n, kind in enumerate(KINDS) if table[OF + kind].any()]
    first = there[0]
    truth = {named("unigenbench", rows): 100 * float(means[there].mean())}
    return rows, truth | {f"kind/{KINDS[first]}": 100 * float(means[first])}


def specv(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Five dimensions, which count alike, and nineteen points an item."""
    ends = (0.94, 0.995) if strong else (0.4, 0.9)
    means = pd.Series(np.linspace(*ends, len(sizes)), index=list(sizes))
    own = np.repeat(list(sizes), list(sizes.values()))
    rows = items(rng, {"": len(own)}, means[own].to_numpy(), 1)
    rows["stratum"] = rows[BY + "dimension"] = own
    rows = ask(rng, rows, 19)
    first = next(iter(sizes))
    truth = {named("specv", rows): 100 * float(means.mean())}
    return rows, truth | {f"dimension/{first}": 100 * float(means[first])}


def geneval2(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """Geometric means of probabilities: most images are clearly right or clearly wrong."""
    mean = 0.97 if strong else 0.6
    scores = rng.beta(mean * 1.5, (1 - mean) * 1.5, sizes[""])
    rows = pd.DataFrame({"gm": scores, "am": scores, "tifa": scores, "vqascore": scores})
    atoms = 3 + np.arange(len(rows)) % 8
    rows = rows.assign(judge="j", atoms=atoms, stratum="", group=np.arange(len(rows)).astype(str))
    return rows, dict.fromkeys(("soft_tifa_gm[j]", "atoms/3"), 100 * mean)


def genai_bench(rng: Rng, sizes: Sizes, strong: bool) -> Drawn:
    """One image a prompt; its probability of a yes. Every third prompt takes counting."""
    mean = 0.97 if strong else 0.65
    scores = rng.beta(mean * 2, (1 - mean) * 2, sizes[""])
    rows = pd.DataFrame({"vqascore": scores, "judge": "j", "stratum": ""})
    rows["group"] = np.arange(len(rows)).astype(str)
    rows["skill:counting"] = pd.Series(True, index=rows.index).where(rows.index % 3 == 0)
    return rows, dict.fromkeys((named("genai_bench", rows), "skill/counting"), mean)


def evenly(names: Sequence[str], groups: int) -> dict[str, int]:
    """Groups in each stratum that has any."""
    each = {n: groups // len(names) + (i < groups % len(names)) for i, n in enumerate(names)}
    return {name: count for name, count in each.items() if count}


def _sizes(official: int, mini: int) -> Mapping[str, Sizes]:
    return {"official": {"": official}, "mini": {"": mini}}


TASKS: Mapping[str, tuple[Mapping[str, Sizes], Draw]] = {
    "geneval2": (_sizes(800, 40), geneval2),
    "genai_bench": (_sizes(1600, 40), genai_bench),
    "dsg": (_sizes(1060, 24), graph("dsg", 8, 4, "source")),
    "oneig": (_sizes(695, 24), graph("oneig", 16, 4, "class")),
    "checklist": (
        {"300 prompts": dict.fromkeys(LENGTHS, 150), "mini": dict.fromkeys(LENGTHS, 12)},
        checklist,
    ),
    "tiif": ({"official": evenly(TIIF, 277), "mini": evenly(TIIF, 24)}, tiif),
    "unigenbench": (_sizes(600, 24), unigenbench),
    "specv": ({"official": evenly(DIMENSIONS, 200), "mini": evenly(DIMENSIONS, 24)}, specv),
}
