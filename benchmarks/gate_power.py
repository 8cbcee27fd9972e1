"""Does the gate keep its word? False alarms between equal checkpoints, power against worse ones.

``python benchmarks/gate_power.py`` simulates marks. With stored runs of a checkpoint and of a
damaged copy of it (``--good RUN RUN ... --damaged RUN RUN ...``, other seeds each) it resamples
these: a trial takes some prompts and deals each prompt's drawings to the two sides by chance.
``--damage FOLDER`` writes the damaged copy of harmon-mini: noise on the weights of its matrices.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from harmon_eval import registry
from harmon_eval.compare.paired import Difference, differences
from harmon_eval.compare.runs import TaskPair
from harmon_eval.compare.verdict import ALPHA, WORSE, Settings, judge
from harmon_eval.core import Task

IMAGES, STRATA = 4, 6
NOISE = 0.2  # standard deviations of each matrix
Trial = Callable[[np.random.Generator], list[tuple[TaskPair, str, Difference]]]


def member(name: str, task: Task, metric: str, a: pd.DataFrame, b: pd.DataFrame, seed: int):
    pair = TaskPair(name, task, metric, task.higher_is_better, a, b, frozenset(), (), ())
    return pair, metric, differences(task, a, b, frozenset({metric}), seed)[metric]


def geneval_rows(marks: np.ndarray, strata: np.ndarray) -> pd.DataFrame:
    """``marks`` (prompts, images), ``strata`` (prompts,)."""
    prompts, images = marks.shape
    groups = np.repeat(np.arange(prompts), images)
    names = np.repeat(strata, images)
    return pd.DataFrame(
        {
            "id": [f"{g:05d}-{i % images}" for i, g in enumerate(groups)],
            "group": [f"{g:05d}" for g in groups],
            "stratum": names,
            "tag": names,
            "correct": marks.ravel(),
        }
    )


def simulated(prompts: int, drop: float, tasks: int = 1) -> Trial:
    """Prompts of unequal difficulty in six parts; the candidate's chances are lower by ``drop``."""
    task = registry.task("geneval")

    def trial(rng: np.random.Generator):
        family = []
        for number in range(tasks):
            chance = drop + (1 - drop) * rng.beta(1.5, 1, (prompts, 1))
            strata = np.array([f"part{i % STRATA}" for i in range(prompts)])
            sides = [geneval_rows(rng.random((prompts, IMAGES)) < c, strata)
                     for c in (chance, chance - drop)]  # fmt: skip
            family.append(
                member(f"task{number}", task, "overall", *sides, int(rng.integers(2**31)))
            )
        return family

    return trial


def pooled_geneval(good: list[Path], other: list[Path], prompts: int) -> Trial:
    task = registry.task("geneval")
    pools = [marks_by_prompt(runs) for runs in (good, other)]
    same = good == other

    def trial(rng: np.random.Generator):
        table, strata = pools[0][0], pools[0][1]
        chosen = np.sort(rng.choice(len(table), min(prompts, len(table)), replace=False))
        sides = []
        for number, (pool, _) in enumerate(pools):
            if number == 0 or not same:
                order = rng.permuted(np.tile(np.arange(pool.shape[1]), (len(chosen), 1)), axis=1)
            start = IMAGES * number if same else 0
            dealt = np.take_along_axis(pool[chosen], order[:, start : start + IMAGES], axis=1)
            sides.append(geneval_rows(dealt, strata[chosen]))
        return [member("geneval", task, "overall", *sides, int(rng.integers(2**31)))]

    return trial


def marks_by_prompt(runs: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Marks (prompts, images of all runs) and strata (prompts,) of GenEval."""
    rows = pd.concat([pd.read_parquet(run / "geneval/rows.parquet") for run in runs])
    if rows["unscored"].notna().any():
        raise SystemExit("the runs hold unscored samples: finish them first")
    grouped = rows.groupby("group", sort=True)
    marks = np.stack([own["correct"].to_numpy(bool) for _, own in grouped])
    return marks, grouped["stratum"].first().to_numpy()


def pooled_fid(good: list[Path], other: list[Path], images: int) -> Trial:
    task = registry.task("mjhq")
    frames = [pd.read_parquet(run / "mjhq/rows.parquet").sort_values("id", ignore_index=True)
              for run in (good[0], good[1] if good == other else other[0])]  # fmt: skip
    metric = next(name for name in task.summarize(frames[0]) if name.startswith("fid["))

    def trial(rng: np.random.Generator):
        chosen = np.sort(rng.choice(len(frames[0]), images, replace=False))
        # Equal checkpoints: each prompt's two drawings are dealt to the sides by chance.
        swap = (rng.random(images) < 0.5) & (good == other)
        first, second = (frame.loc[chosen].reset_index(drop=True) for frame in frames)
        sides = [pd.concat([x[~swap], y[swap]]) for x, y in ((first, second), (second, first))]
        plain = [side.assign(stratum="").sort_values("id", ignore_index=True) for side in sides]
        return [member("mjhq", task, metric, *plain, int(rng.integers(2**31)))]

    return trial


def measure(name: str, trial: Trial, trials: int, seed: int) -> dict[str, object]:
    """How often the gate says "worse", beside what the planned power would be."""
    worse, errors, shifts = 0, [], []
    for number in range(trials):
        family = trial(np.random.default_rng([seed, number]))
        lines = judge(family, True, Settings({}, {}))
        worse += any(line.verdict == WORSE for line in lines)
        errors += [difference.error for _, _, difference in family]
        shifts += [difference.value for _, _, difference in family]
    span = stats.binomtest(worse, trials).proportion_ci(0.95)
    reach = abs(np.mean(shifts)) / np.sqrt(np.nanmean(np.square(errors)))
    planned = float(stats.norm.cdf(reach - stats.norm.ppf(1 - ALPHA / 2)))
    return {
        "case": name,
        "trials": trials,
        "mean difference": round(float(np.mean(shifts)), 4),
        "planned power": round(planned, 3),
        "said worse": round(worse / trials, 3),
        "95 % interval": f"[{span.low:.3f}, {span.high:.3f}]",
    }


def damage(folder: Path) -> None:
    """A copy of harmon-mini with noise on every matrix outside the VAE."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    from harmon_eval import model

    source = Path(model.__file__).parent / "bundled/harmon-mini"
    shutil.copytree(source, folder)
    weights = load_file(source / "model.safetensors")
    with safe_open(source / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    random = torch.Generator().manual_seed(0)
    for name in sorted(weights):
        weight = weights[name]
        if weight.ndim == 2 and not name.startswith("vae."):
            noise = torch.randn(weight.shape, generator=random)
            weights[name] = (weight + NOISE * weight.float().std() * noise).to(weight.dtype)
    save_file(weights, folder / "model.safetensors", metadata=metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--good", type=Path, nargs="+", metavar="RUN", default=[])
    parser.add_argument("--damaged", type=Path, nargs="+", metavar="RUN", default=[])
    parser.add_argument("--damage", type=Path, metavar="FOLDER")
    parser.add_argument("--trials", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.damage:
        damage(arguments.damage)
        return
    cases: list[tuple[str, Trial]] = [
        ("simulated, equal, 60 prompts x 4", simulated(60, 0.0)),
        ("simulated, equal, 300 prompts x 4", simulated(300, 0.0)),
        ("simulated, equal, three tasks of 120 prompts x 4", simulated(120, 0.0, tasks=3)),
        ("simulated, 0.05 worse, 120 prompts x 4", simulated(120, 0.05)),
        ("simulated, 0.05 worse, 240 prompts x 4", simulated(240, 0.05)),
    ]
    if good := arguments.good:
        for prompts in (60, 277):
            cases.append((f"harmon-mini, other seeds, geneval, {prompts} prompts x 4",
                          pooled_geneval(good, good, prompts)))  # fmt: skip
        cases.append(("harmon-mini, other seeds, mjhq FID, 500 images",
                      pooled_fid(good, good, 500)))  # fmt: skip
        for prompts in (120, 277):
            cases.append((f"damaged harmon-mini, geneval, {prompts} prompts x 4",
                          pooled_geneval(good, arguments.damaged, prompts)))  # fmt: skip
        for images in (250, 500):
            cases.append((f"damaged harmon-mini, mjhq FID, {images} images",
                          pooled_fid(good, arguments.damaged, images)))  # fmt: skip
    print("| case | trials | mean difference | planned power | said worse | 95 % interval |")
    print("|---|---|---|---|---|---|")
    for number, (name, trial) in enumerate(cases):
        row = measure(name, trial, arguments.trials, number)
        print("| " + " | ".join(map(str, row.values())) + " |", flush=True)


if __name__ == "__main__":
    main()
