"""Simulated runs of models whose true score is known, one function a task, for ``coverage``.

Prompts and images differ in difficulty (beta distributed, with the given correlation within a
group). Two models: a middling one, and one close to the maximum, where intervals are hardest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from benchmarks import coverage_checklists, coverage_edits, coverage_measures
from benchmarks.coverage_checklists import evenly
from harmon_eval import registry
from harmon_eval.tasks.geneval.prompts import TAGS
from harmon_eval.tasks.mme.files import COGNITION, PERCEPTION, SUBTASKS
from harmon_eval.tasks.mmmu.files import SUBJECTS
from harmon_eval.tasks.seed.files import DIMENSIONS
from harmon_eval.tasks.wise.rules import CATEGORIES, LEGACY

LIMITS = (12, 24, 60, 100)
STRONG = 0.97
Rng = np.random.Generator
Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Benchmark:
    """``sizes``: suite -> stratum -> groups. ``draw(rng, sizes, strong)`` gives the rows of a run
    and the true value of each metric that is looked at."""

    task: str
    sizes: Mapping[str, Sizes]
    draw: Callable[[Rng, Sizes, bool], tuple[pd.DataFrame, dict[str, float]]]

    def settings(self) -> Iterator[tuple[str, Sizes]]:
        """The suites whole, and their first groups from the strata in turn."""
        yield from self.sizes.items()
        whole = self.sizes.get("official", next(iter(self.sizes.values())))
        for limit in (n for n in LIMITS if n < sum(whole.values())):
            each, more = divmod(limit, len(whole))
            taken = {s: min(each + (i < more), whole[s]) for i, s in enumerate(sorted(whole))}
            yield f"--limit {limit}", {name: n for name, n in taken.items() if n}


def chances(rng: Rng, mean: float, rho: float, groups: int) -> np.ndarray:
    """The chance of each group to be right; two marks of a group have the correlation ``rho``."""
    scale = 1 / rho - 1
    return rng.beta(mean * scale, (1 - mean) * scale, groups)


def table(
    rng: Rng, sizes: Sizes, means: Mapping[str, float], rho: float, each: int
) -> pd.DataFrame:
    """Rows with group, stratum and correct: ``each`` marks a group."""
    parts = []
    for stratum, groups in sizes.items():
        own = np.repeat(chances(rng, means[stratum], rho, groups), each)
        names = np.char.add(f"{stratum}/", np.repeat(np.arange(groups), each).astype(str))
        parts.append(
            pd.DataFrame(
                {"group": names, "stratum": stratum, "correct": rng.random(len(own)) < own}
            )
        )
    return pd.concat(parts, ignore_index=True)


def levels(names: Sequence[str], strong: bool) -> dict[str, float]:
    """The true share of each stratum: spread around 0.65, or from 0.94 to 0.995."""
    ends = (0.94, 0.995) if strong else (0.4, 0.9)
    return dict(zip(names, np.linspace(*ends, len(names)), strict=True))


# -- tasks -------------------------------------------------------------------------------------


def geneval(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    means = levels(TAGS[::-1], strong)
    rows = table(rng, sizes, means, 0.4, 4).assign(tag=lambda rows: rows["stratum"])
    truth = {tag: means[tag] for tag in ("counting", "color_attr", "single_object") if tag in sizes}
    return rows, {"overall": float(np.mean([means[tag] for tag in sizes])), **truth}


def mme(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    means, rho = levels(tuple(SUBTASKS), strong), 0.3
    rows = table(rng, sizes, means, rho, 2).assign(subtask=lambda rows: rows["stratum"])
    rows = rows.assign(
        other=False, **{rule: rows["correct"] for rule in ("lmms-eval", "vlmevalkit")}
    )
    points = {name: 100 * (p + p * p + rho * p * (1 - p)) for name, p in means.items()}
    truth = {name: points[name] for name in ("existence", "OCR") if name in sizes}
    truth |= {f"{name}_accuracy": 100 * means[name] for name in ("existence",) if name in sizes}
    for kind, parts in (("perception", PERCEPTION), ("cognition", COGNITION)):
        if set(parts) <= set(sizes):
            truth[kind] = sum(points[name] for name in parts)
    return rows, truth


def pope(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    """Six questions an image and split; the three that are answered yes are in every split."""
    hit, false = (0.97, 0.02) if strong else (0.85, 0.12)
    images = sizes["coco"]
    kinds = ["all"] * 3 + [split for split in ("random", "popular", "adversarial") for _ in "123"]
    yes = np.array([kind == "all" for kind in kinds])
    miss, alarm = chances(rng, 1 - hit, 0.1, images), chances(rng, false, 0.1, images)
    chance = np.where(yes, 1 - miss[:, None], alarm[:, None]).ravel()
    said = np.where(rng.random(len(chance)) < chance, "yes", "no")
    rows = pd.DataFrame({"label": np.tile(np.where(yes, "yes", "no"), images)})
    rows = rows.assign(source="coco", stratum="coco", release="r")
    rows["group"] = np.repeat(np.arange(images), len(kinds)).astype(str)
    for split in ("random", "popular", "adversarial"):
        rows[split] = np.tile([int(kind in (split, "all")) for kind in kinds], images)
    for rule in ("parsed", "lmms-eval", "vlmevalkit", "strict"):
        rows[rule] = said
    f1 = 200 * hit / (hit + false + 1)
    right = {"coco_random_recall": 100 * hit, "coco_random_accuracy": 50 * (hit + 1 - false)}
    return rows, {"coco_f1_macro[r]": f1, "coco_random_f1": f1, **right}


def mmbench(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    """What is known is right in every rotation; the rest is guessed in each."""
    known, guess, options = (0.95 if strong else 0.6), 0.4, 4
    strata = np.repeat(list(sizes), list(sizes.values()))
    right = np.repeat(rng.random(len(strata)) < known, options)
    right |= rng.random(len(right)) < guess
    rows = pd.DataFrame({"group": np.repeat(np.arange(len(strata)), options).astype(str)})
    rows["stratum"] = rows["l2-category"] = rows["category"] = np.repeat(strata, options)
    rows = rows.assign(options=options, answer="A", unmatched=False, correct=right)
    rows["base"] = np.tile(np.arange(options) == 0, len(strata))
    rows["lmms-eval"] = rows["whole-letter"] = right
    circular = known + (1 - known) * guess**options
    first = next(iter(sizes))
    every = known + (1 - known) * guess
    return rows, {
        "circular": 100 * circular,
        f"circular_{first}": 100 * circular,
        "vanilla_all": 100 * every,
    }


def seed(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    """One to three questions about an image, each of any dimension."""
    names = tuple(DIMENSIONS.values())
    means, share = levels(names, strong), np.array([9, 6, 14, 3, 8, 2, 1, 1, 1]) / 45
    each = rng.integers(1, 4, sizes[""])
    kinds = rng.choice(len(names), each.sum(), p=share)
    chance = np.array([means[name] for name in names])[kinds]
    rows = pd.DataFrame({"correct": rng.random(len(kinds)) < chance, "unmatched": False})
    rows["group"] = np.repeat(np.arange(len(each)), each).astype(str)
    rows = rows.assign(stratum="", dimension=np.array(names)[kinds])
    for rule in ("first-char", "llava-exact", "whole-letter"):
        rows[rule] = rows["correct"]
    found = [name for name in names if (rows["dimension"] == name).any()]
    truth = {name: 100 * means[name] for name in (names[0], names[-1]) if name in found}
    truth["macro_dimensions"] = 100 * float(np.mean([means[name] for name in found]))
    return rows, {"seed_image": 100 * float(share @ [means[n] for n in names]), **truth}


def gqa(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    mean, groups = (STRONG if strong else 0.6), sizes[""]
    each = 32 if groups in (398, *LIMITS) else 4
    rows = table(rng, sizes, {"": mean}, 0.05, each).rename(columns={"correct": "llava"})
    rows["structural"] = np.tile(["query", "verify", "query", "choose"], len(rows) // 4)
    rows = rows.assign(semantic="attr", long=False)
    for rule in ("official", "lmms-eval", "vlmevalkit"):
        rows[rule] = rows["llava"]
    return rows, {"gqa_accuracy": 100 * mean, "structural_verify": 100 * mean}


def mmmu(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    means = levels(tuple(SUBJECTS), strong)
    rows = table(rng, sizes, means, 0.3, 1)
    rows = rows.assign(subject=rows["stratum"], choice=True, options="ABCD", answer="A")
    rows = rows.assign(number=np.arange(len(rows)), known=True, unmatched=False)
    rows["empty-tail"] = rows["correct"]
    weights = np.array(list(sizes.values()))
    whole = float(weights @ [means[name] for name in sizes] / weights.sum())
    first = next(iter(sizes))
    return rows, {"mmmu_val": 100 * whole, first: 100 * means[first]}


def vqa(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    mean = STRONG if strong else 0.7
    rows = table(rng, sizes, {"": mean}, 0.2, 2).assign(choice=True, unmatched=False)
    return rows, {"accuracy": 100 * mean}


def easy_vqa(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    """Ten questions about a picture, every second one about yes or no."""
    mean = STRONG if strong else 0.7
    rows = table(rng, sizes, {"": mean}, 0.2, 10)
    rows["kind"] = np.where(np.arange(len(rows)) % 2, "color", "yesno")
    return rows, {"accuracy": 100 * mean, "accuracy_color": 100 * mean}


def dpg(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    """Four images a prompt, ten questions an image; a prompt and an image have their difficulty."""
    mean, rho, groups = (STRONG if strong else 0.75), 0.2, sizes[""]
    prompts = chances(rng, mean, rho, groups)
    images = np.repeat(np.clip(prompts, 1e-3, 1 - 1e-3), 4)
    images = rng.beta(images * 9, (1 - images) * 9)
    yes = rng.binomial(10, images).astype(float)
    rows = pd.DataFrame({"score": yes / 10, "published": np.nan, "judge": "j", "stratum": ""})
    rows["group"] = np.repeat(np.arange(groups), 4).astype(str)
    rows = rows.assign(last=np.tile([False, False, False, True], groups))
    rows = rows.assign(**{"yes:entity": yes, "of:entity": 10.0})
    return rows, {"dpg[j]": 100 * mean, "entity": 100 * mean}


def wise(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    """Nought to two points in each of three respects, which go together."""
    means = levels(CATEGORIES, strong)
    parts = []
    for name, prompts in sizes.items():
        own = chances(rng, means[name], 0.4, prompts)
        points = rng.binomial(2, np.repeat(own[:, None], 3, axis=1))
        parts.append(pd.DataFrame(points, columns=["consistency", "realism", "aesthetic_quality"]))
        parts[-1] = parts[-1].assign(category=name, stratum=name)
    rows = pd.concat(parts, ignore_index=True)
    weighted = 7 * rows["consistency"] + 2 * rows["realism"] + rows["aesthetic_quality"]
    rows = rows.assign(wiscore=weighted / 20, judge="j", total=len(rows))
    rows["group"] = np.arange(len(rows)).astype(str)
    truth = {"wiscore[j]": float(sum(w * means[c] for c, w in LEGACY.weights.items()))}
    return rows, {**truth, CATEGORIES[0]: float(means[CATEGORIES[0]])}


def verified(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    means = levels(CATEGORIES, strong)
    rows = table(rng, sizes, means, 0.3, 1).rename(columns={"correct": "score"})
    rows = rows.assign(category=rows["stratum"], judge="j", total=len(rows))
    rows["score"] = rows["score"].astype(int)
    weights = registry.task("wise_verified").metric("verified_score[j]").mean_of
    assert weights is not None
    truth = sum(w * means[c] for c, w in weights(CATEGORIES, "").items())
    return rows, {"verified_score[j]": float(truth), CATEGORIES[0]: float(means[CATEGORIES[0]])}


def two_sides(rng: Rng, sizes: Sizes, means: Mapping[str, float]) -> pd.DataFrame:
    """Four replies and four drawings a concept, whose difficulty is common to both."""
    rows = table(rng, sizes, means, 0.4, 8).assign(unreadable=False)
    rows["side"] = np.tile(np.repeat(["named", "drawn"], 4), len(rows) // 8)
    return rows


@cache
def both_sides(mean: float) -> tuple[float, float]:
    """The share of concepts with more than half of the replies and of the drawings right, and phi
    of the two."""
    rng = np.random.default_rng(0)
    own = chances(rng, mean, 0.4, 200_000)
    named, drawn = rng.binomial(4, own) > 2, rng.binomial(4, own) > 2
    return float((named & drawn).mean()), float(np.corrcoef(named, drawn)[0, 1])


def synergy(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    means = levels(TAGS[::-1], strong)
    rows = two_sides(rng, sizes, means)
    both = {tag: both_sides(means[tag]) for tag in sizes}
    truth = {"both": float(np.mean([share for share, _ in both.values()]))}
    if "counting" in sizes:
        truth |= dict(zip(("counting_both", "counting_phi"), both["counting"], strict=True))
        truth["counting_naming"] = means["counting"]
    return rows, truth


def held_out(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    tags = dict(
        zip(sizes, np.linspace(*((0.94, 0.995) if strong else (0.4, 0.9)), len(sizes)), strict=True)
    )
    rows = two_sides(rng, sizes, tags)
    unseen = [mean for name, mean in tags.items() if name.startswith("unseen")]
    return rows, {"unseen": float(np.mean(unseen)), "unseen_drawn": float(np.mean(unseen))}


def probe(rng: Rng, sizes: Sizes, strong: bool) -> tuple[pd.DataFrame, dict[str, float]]:
    """Ten classes of which some are hard; each class is a stratum."""
    means = levels(tuple(sizes), strong)
    rows = table(rng, sizes, means, 0.3, 1)
    ranks = np.where(rows["correct"], 0.0, 3.0)
    rows = rows.assign(source="", split="val", **{"rank[knn20]": ranks, "fact classes": 10.0})
    return rows, {"top1[knn20]": 100 * float(np.mean(list(means.values())))}


def only(groups: int) -> dict[str, int]:
    return {"": groups}


LEVEL2 = ("attribute", "relation", "logic", "coarse", "finegrained", "cross")
SPLIT_TAGS = [f"{split}_{tag}" for split in ("seen", "unseen") for tag in TAGS[1:]]
OFFICIAL_TAGS = dict(zip(TAGS, (80, 99, 80, 94, 100, 100), strict=True))
MINI_TAGS = dict(zip(TAGS, (6, 30, 18, 50, 74, 99), strict=True))
MINI_FRESH = dict(zip(TAGS, (6, 16, 12, 19, 18, 19), strict=True))
OFFICIAL_WISE = dict(zip(CATEGORIES, (400, 167, 133, 100, 100, 100), strict=True))
DIGITS = [f"digit {n}" for n in range(10)]
BENCHMARKS = (
    Benchmark("geneval", {"official": OFFICIAL_TAGS, "mini": MINI_TAGS}, geneval),
    Benchmark("pope", {"official": {"coco": 500}, "mini": {"coco": 30}}, pope),
    Benchmark("mme", {"official": SUBTASKS, "mini": dict.fromkeys(SUBTASKS, 10)}, mme),
    Benchmark("mmbench", {"official": evenly(LEVEL2, 1164), "mini": evenly(LEVEL2, 78)}, mmbench),
    Benchmark("seed", {"official": only(7000), "mini": only(252)}, seed),
    Benchmark("gqa", {"official": only(398), "mini": only(64)}, gqa),
    Benchmark(
        "mmmu", {"official": dict.fromkeys(SUBJECTS, 30), "mini": dict.fromkeys(SUBJECTS, 8)}, mmmu
    ),
    Benchmark("vqa", {"300 images": only(300), "mini": only(30)}, vqa),
    Benchmark("dpg", {"official": only(1065), "mini": only(60)}, dpg),
    Benchmark("wise", {"official": OFFICIAL_WISE, "mini": evenly(CATEGORIES, 80)}, wise),
    Benchmark(
        "wise_verified", {"official": OFFICIAL_WISE, "mini": evenly(CATEGORIES, 80)}, verified
    ),
    Benchmark("synergy", {"mini": evenly(TAGS, 80)}, synergy),
    Benchmark("held_out", {"mini": evenly(SPLIT_TAGS, 96)}, held_out),
    Benchmark("linear_probe", {"mini": dict.fromkeys(DIGITS, 15)}, probe),
    Benchmark("geneval_fresh", {"official": OFFICIAL_TAGS, "mini": MINI_FRESH}, geneval),
    Benchmark("easy_vqa", {"official": only(1000), "mini": only(24)}, easy_vqa),
    *(
        Benchmark(name, sizes, draw)
        for tasks in (coverage_edits.TASKS, coverage_checklists.TASKS, coverage_measures.TASKS)
        for name, (sizes, draw) in tasks.items()
    ),
)
