"""Stored runs of harmon-mini and of a damaged copy, and trials that sample from them.

The runs are normal runs of the harness, so generated images are kept, and the same command resumes
them. A trial takes some of the prompts and assigns each prompt's stored images to two sides at
random: both sides from one checkpoint, or one side from each checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.gate_power import IMAGES, Family, Trial, fid, member, of_marks
from harmon_eval import registry
from harmon_eval.model.checkpoint import BUNDLED
from harmon_eval.running.evaluate import Request, run
from harmon_eval.running.jobs import RunSettings
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.task_folder import ROWS

MODEL = "harmon-mini"
NOISE = 0.2  # in standard deviations of each matrix
SLIGHT = 0.03  # the same, for a checkpoint that is about as good
LIMITS = {"geneval": 277, "mjhq": 240}  # prompts
QUICK = {"steps": 8, "solver": "dpm-solver++", "diffusion_steps": 10, "device": "cpu"}
SHARE = 0.8  # the share of each part's prompts in a trial


@dataclass(frozen=True)
class Pool:
    """Two runs of one checkpoint with different seeds."""

    fingerprint: str
    runs: tuple[Path, ...]


def pools(folder: Path) -> tuple[Pool, Pool]:
    """The pools of harmon-mini and of the damaged copy. Generates what is missing."""
    return _pool(folder, "good"), _pool(folder, "damaged", NOISE)


def slightly_changed(folder: Path) -> tuple[Pool, Pool]:
    """The pools of harmon-mini and of a copy with little noise, on GenEval only."""
    return _pool(folder, "good"), _pool(folder, "slight", SLIGHT, ("geneval",))


def _pool(
    folder: Path, name: str, noise: float = 0.0, tasks: Sequence[str] = tuple(LIMITS)
) -> Pool:
    copy = folder / f"{name}-model"
    if noise and not copy.exists():
        damage(copy, noise)
    model = str(copy.resolve()) if noise else MODEL
    runs = []
    for seed in range(2):
        for task in tasks:
            limit = LIMITS[task]
            runs.append(folder / f"{name}-{task}-{seed}")
            settings = RunSettings(seed, limit)
            code = run(Request(model, QUICK, task, "mini", settings, output=runs[-1])).code
            if code:
                raise SystemExit(f"{runs[-1]} holds unscored samples: finish it first")
    return Pool(RunFolder(runs[0]).manifest["identity"]["model"]["fingerprint"], tuple(runs))


def damage(folder: Path, noise: float = NOISE) -> None:
    """Write a copy of harmon-mini with noise on every matrix outside the VAE. An interrupted write
    leaves no folder."""
    import shutil

    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    source, part = BUNDLED / MODEL, folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    weights = load_file(source / "model.safetensors")
    with safe_open(source / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    random = torch.Generator().manual_seed(0)
    for name in sorted(weights):
        weight = weights[name]
        if weight.ndim == 2 and not name.startswith("vae."):
            drawn = torch.randn(weight.shape, generator=random)
            weights[name] = (weight + noise * weight.float().std() * drawn).to(weight.dtype)
    save_file(weights, part / "model.safetensors", metadata=metadata)
    part.rename(folder)


def _rows(pool: Pool, task: str) -> list[pd.DataFrame]:
    """The rows of both seeds, sorted by id."""
    files = [run / task / ROWS for run in pool.runs if (run / task / ROWS).exists()]
    return [pd.read_parquet(file).sort_values("id", ignore_index=True) for file in files]


def some(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sorted indices of a random SHARE of each part, but at least two."""
    parts = [np.flatnonzero(strata == name) for name in np.unique(strata)]
    sizes = [min(len(own), max(2, round(SHARE * len(own)))) for own in parts]
    picked = [rng.choice(own, n, replace=False) for own, n in zip(parts, sizes, strict=True)]
    return np.sort(np.concatenate(picked))


def pooled_geneval(good: Pool, other: Pool) -> Trial:
    (marks, strata), (others, _) = (_marks(_rows(pool, "geneval")) for pool in (good, other))
    task = registry.task("geneval")

    def trial(rng: np.random.Generator) -> Family:
        chosen = some(strata, rng)
        first = rng.permuted(marks[chosen], axis=1)
        second = first[:, IMAGES:] if good == other else rng.permuted(others[chosen], axis=1)
        sides = [dealt[:, :IMAGES] for dealt in (first, second)]
        return [member(task, of_marks(sides, strata[chosen]))]

    return trial


def _marks(frames: list[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
    """GenEval's marks (prompts, images of all runs), and the number of each prompt's tag."""
    grouped = pd.concat(frames).groupby("group", sort=True)
    marks = np.stack([own["correct"].to_numpy(bool) for _, own in grouped])
    return marks, pd.factorize(grouped["stratum"].first())[0]


def common_seeds(good: Pool, other: Pool, resamples: int = 2000) -> dict[str, Any]:
    """How the spread of a prompt's difference grows if the two sides have other seeds. So many
    times more prompts does a comparison need. The interval is a bootstrap over prompts."""
    marks = [
        np.stack([_marks([rows])[0].mean(1) for rows in _rows(pool, "geneval")])
        for pool in (good, other)
    ]
    same, swapped = marks[1] - marks[0], marks[1] - marks[0][::-1]  # (seeds, prompts)
    rng = np.random.default_rng(0)
    picked = rng.integers(0, same.shape[1], (resamples, same.shape[1]))

    def ratio(chosen: np.ndarray) -> float:
        return float(swapped[:, chosen].var(1).mean() / same[:, chosen].var(1).mean())

    low, high = np.quantile([ratio(chosen) for chosen in picked], (0.025, 0.975))
    return {
        "prompts": same.shape[1],
        "same seed": float(same.std(1).mean()),
        "other seeds": float(swapped.std(1).mean()),
        "ratio": ratio(np.arange(same.shape[1])),
        "interval": [float(low), float(high)],
    }


def pooled_fid(good: Pool, other: Pool) -> Trial:
    frames = _rows(good, "mjhq") if good == other else [_rows(p, "mjhq")[0] for p in (good, other)]
    reference = np.stack(frames[0]["reference_features"].to_list())
    sides = np.stack([np.stack(frame["features"].to_list()) for frame in frames])
    strata = pd.factorize(frames[0]["stratum"])[0]
    task = registry.task("mjhq")

    def trial(rng: np.random.Generator) -> Family:
        chosen = some(strata, rng)
        # With one checkpoint, each prompt's two images are assigned to the sides at random.
        swap = (rng.random(len(chosen)) < 0.5) & (good == other)
        first, second = (
            np.where(swap[:, None], sides[1 - n, chosen], sides[n, chosen]) for n in range(2)
        )
        return [member(task, fid(reference[chosen], first, second))]

    return trial
