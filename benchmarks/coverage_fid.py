"""Do the intervals of FID and KID cover? Bias, coverage and width by simulation.

    python -m benchmarks.coverage_fid

Features are Gaussian, so that the exact FID and KID are known. A drawing and its reference follow
the same prompt. The model is exact (drawings and references have the same distribution), close
(shifted by 0.1 standard deviations) or far (shifted by 0.3, with 1.2 times the spread). The prompt
determines 80 % of the variance. The command rewrites the table in docs/statistics.md. Four minutes
on one core.

What must be covered: for FID its expectation at n, because its interval does not remove the bias;
for FID∞ the exact FID; for the matched contrast its expectation, which is 0 for exact models; for
KID the exact value. ``fidelity`` compares drawings of any prompts with one fixed set of references;
there each number's expectation must be covered, given the references.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import record
from harmon_eval import registry
from harmon_eval.tasks.fidelity import references

WIDTH = 16
TRIALS = 100
SIZES = (12, 24, 60, 100, 300, 1000)
MODELS = {"exact": (0.0, 1.0), "close": (0.1, 1.0), "far": (0.3, 1.2)}
LOYALTY = 0.8  # share of the variance that the prompt determines
METRICS = ("fid", "fid_infinity", "fid_matched", "kid")
DOCS = Path(__file__).parents[1] / "docs/statistics.md"
MIX = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH)
OFFSET = 0.5


@dataclass(frozen=True)
class World:
    """How a model's drawings are distributed."""

    model: str

    def rows(self, rng: np.random.Generator, count: int) -> pd.DataFrame:
        """Rows of mjhq, as ``mark`` makes them."""
        shift, scale = MODELS[self.model]
        wanted, drawn, reference = rng.normal(size=(3, count, WIDTH))
        sides = [
            np.sqrt(LOYALTY) * wanted + np.sqrt(1 - LOYALTY) * own for own in (drawn, reference)
        ]
        drawn = (scale * sides[0] + shift) @ MIX + OFFSET
        return pd.DataFrame(
            {
                "id": [f"{i:06d}" for i in range(count)],
                "group": [f"{i:06d}" for i in range(count)],
                "stratum": "all",
                "setting": "simulated",
                "features": list(drawn.astype(np.float32)),
                "reference_features": list((sides[1] @ MIX + OFFSET).astype(np.float32)),
            }
        )

    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Exact means (d,) and covariances (d, d) of drawings and references."""
        shift, scale = MODELS[self.model]
        spread = MIX.T @ MIX
        mean = np.full(WIDTH, OFFSET)
        return mean + shift * MIX.sum(axis=0), scale**2 * spread, mean, spread


def exact_fid(world: World) -> float:
    """The covariances are multiples of each other, so their root is in closed form."""
    mean, covariance, other_mean, other = world.moments
    scale = np.sqrt(np.trace(covariance) / np.trace(other))
    difference = mean - other_mean
    return float(difference @ difference + (scale - 1) ** 2 * np.trace(other))


def exact_kid(world: World) -> float:
    """The cubic kernel's expectation in closed form, from the moments of two Gaussians."""
    mean, covariance, other_mean, other = world.moments

    def kernel(m: np.ndarray, s: np.ndarray, o: np.ndarray, t: np.ndarray) -> float:
        # For x ~ N(m, S), y ~ N(o, T) independent and u = x·y: E u, E u², E u³.
        first = m @ o
        var = np.trace(s @ t) + o @ s @ o + m @ t @ m
        third = 6 * (o @ s @ t @ m) + 3 * first * var + first**3
        d = WIDTH
        return float(third / d**3 + 3 * (var + first**2) / d**2 + 3 * first / d + 1)

    own = kernel(mean, covariance, mean, covariance)
    theirs = kernel(other_mean, other, other_mean, other)
    return own + theirs - 2 * kernel(mean, covariance, other_mean, other)


def trials(world: World, count: int, trials: int = TRIALS) -> pd.DataFrame:
    """``value``, ``low``, ``high`` of each metric in each trial."""
    task = registry.task("mjhq")
    assert task.intervals is not None
    found = []
    for number in range(trials):
        rows = world.rows(np.random.default_rng((count, number)), count)
        values = task.summarize(rows)

        def summarize(_: pd.DataFrame, known: dict[str, float] = values) -> dict[str, float]:
            return known

        for name, (low, high) in task.intervals(rows, summarize).items():
            if "/" not in name:
                found.append((name.partition("[")[0], values[name], low, high))
    return pd.DataFrame(found, columns=["metric", "value", "low", "high"])


def against_a_fixed_set(model: str, count: int, trials: int = TRIALS) -> pd.DataFrame:
    """The same of ``fidelity``: new drawings in each trial, the same ``count`` references."""
    task, world, found = registry.task("fidelity"), World(model), []
    assert task.intervals is not None
    known = world.rows(np.random.default_rng(0), count)["reference_features"]
    folder = references.folder(key := f"simulated-{model}-{count}")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / references.FEATURES, np.stack(known.to_list()))
    for number in range(trials):
        rows = world.rows(np.random.default_rng((count, number + 1)), count)
        rows = rows.assign(reference=key)
        values = task.summarize(rows)

        def summarize(_: pd.DataFrame, own: dict[str, float] = values) -> dict[str, float]:
            return own

        for name, (low, high) in task.intervals(rows, summarize).items():
            found.append((name.partition("[")[0], values[name], low, high))
    return pd.DataFrame(found, columns=["metric", "value", "low", "high"])


def measured() -> Iterator[dict[str, object]]:
    yield from _paired()
    for model in ("exact", "far"):
        for count in (60, 300):
            for metric, own in against_a_fixed_set(model, count).groupby("metric", sort=False):
                mean = float(own["value"].mean())
                yield {
                    "model": f"{model}, fixed references",
                    "n": count,
                    "metric": metric,
                    "exact": None,
                    "mean": mean,
                    "coverage": float(((own["low"] <= mean) & (mean <= own["high"])).mean()),
                    "width": float((own["high"] - own["low"]).mean()),
                }


def _paired() -> Iterator[dict[str, object]]:
    for model in MODELS:
        world = World(model)
        truths = {"fid_infinity": exact_fid(world), "kid": exact_kid(world)}
        for count in SIZES:
            for metric, own in trials(world, count).groupby("metric", sort=False):
                mean = float(own["value"].mean())
                true = truths.get(str(metric), mean)
                covered = (own["low"] <= true) & (true <= own["high"])
                yield {
                    "model": model,
                    "n": count,
                    "metric": metric,
                    "exact": exact_fid(world) if metric == "fid" else truths.get(str(metric)),
                    "mean": mean,
                    "coverage": float(covered.mean()),
                    "width": float((own["high"] - own["low"]).mean()),
                }
                print(model, count, metric, f"{covered.mean():.3f}", flush=True)


def page(rows: pd.DataFrame) -> str:
    lines = [
        "| model | n | " + " | ".join(METRICS) + " |",
        "|---|---|" + "---|" * len(METRICS),
    ]
    for (model, count), own in rows.groupby(["model", "n"], sort=False):
        cells = []
        for metric in METRICS:
            found = own[own["metric"] == metric]
            cells.append(_cell(found.iloc[0]) if len(found) else "")
        lines.append(f"| {model} | {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: pd.Series) -> str:
    exact = "" if pd.isna(row["exact"]) else f" ({row['exact']:.3f})"
    return f"{row['coverage']:.3f}, mean {row['mean']:.3f}{exact}, width {row['width']:.3f}"


def main() -> None:
    logging.getLogger("harmon_eval").setLevel(logging.ERROR)  # 12 images are too few for FID
    with tempfile.TemporaryDirectory() as cache:  # of the fixed references
        os.environ["HARMON_EVAL_CACHE"] = cache
        rows = pd.DataFrame(measured())
    table = f"<!-- coverage fid -->\n\n{page(rows)}\n\n<!-- /coverage fid -->"
    text = DOCS.read_text()
    pattern = r"<!-- coverage fid -->.*<!-- /coverage fid -->"
    DOCS.write_text(re.sub(pattern, lambda _: table, text, flags=re.DOTALL))
    record.write("coverage_fid", {}, {"rows": rows.to_dict("records"), "trials": TRIALS})


if __name__ == "__main__":
    main()
