"""Check what the gate promises: few false alarms on equal checkpoints, enough power on worse ones.

    python -m benchmarks.gate_power                     # simulated marks and features
    python -m benchmarks.gate_power --runs runs/gate    # also harmon-mini against a damaged copy

Every case runs the gate's own tests, intervals and verdicts many times. For speed, it skips the
reading of run folders. If a command is killed, run it again to resume: a case in
``results/gate_power.json`` is measured again only with ``--again`` or if the model's weights
changed. At the end, the table in docs/statistics.md is rewritten from that file.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks import record
from harmon_eval import registry
from harmon_eval.comparing.means import Mean
from harmon_eval.comparing.paired import RESAMPLES, Difference, by_replicates, of_means
from harmon_eval.comparing.runs import TaskPair
from harmon_eval.comparing.verdict import ALPHA, Settings, judge
from harmon_eval.core import Task
from harmon_eval.metrics import fid_pairs
from harmon_eval.metrics.kid import kid as paired_kid
from harmon_eval.metrics.kid import kid_replicates

IMAGES, STRATA, FEATURES = 4, 6, 16
FOR_ALARMS, FOR_POWER = 400, 150  # trials
DOCS = Path(__file__).parents[1] / "docs/statistics.md"
Family = list[tuple[TaskPair, str, Difference]]
Trial = Callable[[np.random.Generator], Family]
Measure = Callable[..., Difference]


@dataclass(frozen=True)
class Case:
    """``trial`` returns a family of metrics. The first of them is worse, unless ``equal``.

    With a ``tolerance``, the true loss equals the tolerance, so stopping is also a false alarm."""

    name: str
    trial: Trial
    equal: bool = False
    tolerance: float = 0.0
    weights: str = ""

    @property
    def alarm(self) -> bool:
        return self.equal or self.tolerance > 0

    @property
    def trials(self) -> int:
        return FOR_ALARMS if self.alarm else FOR_POWER


def member(task: Task, difference: Difference, name: str = "") -> tuple[TaskPair, str, Difference]:
    none = pd.DataFrame()
    pair = TaskPair(name, task, "", task.higher_is_better, none, none, frozenset(), (), ())
    return pair, "", difference


def of_marks(marks: Sequence[np.ndarray], part: np.ndarray, rng: np.random.Generator) -> Difference:
    """The difference of the mean over the parts' means. ``marks`` holds (groups, samples per group)
    for each side; ``part`` (groups,) is the number of each group's part."""
    parts = tuple(np.flatnonzero(part == number) for number in np.unique(part))
    groups, each = marks[0].shape
    means = [Mean(m.sum(1).astype(float), np.full(groups, float(each)), parts) for m in marks]
    picked = np.empty((RESAMPLES, groups), dtype=np.int64)
    for own in parts:
        picked[:, own] = rng.choice(own, (RESAMPLES, len(own)))
    ours, theirs = means
    return of_means(ours, theirs, picked, int(rng.integers(2**31)))


def geneval(prompts: int, drop: float, share: float = 1.0) -> Trial:
    """Prompts of different difficulty in six parts. For a ``share`` of the prompts, the chance of
    success is lower by ``drop`` / ``share``, so that the score is lower by ``drop``."""
    part = np.arange(prompts) % STRATA
    lost = drop / share * (np.arange(prompts) // STRATA % round(1 / share) == 0)[:, None]
    task = registry.task("geneval")

    def trial(rng: np.random.Generator) -> Family:
        chance = lost + (1 - lost) * rng.beta(1.5, 1, (prompts, 1))
        sides = [rng.random((prompts, IMAGES)) < c for c in (chance, chance - lost)]
        return [member(task, of_marks(sides, part, rng))]

    return trial


def questions(count: int, drop: float) -> Trial:
    """One 0/1 mark per question, tested with McNemar's test. Greedy replies differ on few."""
    task = registry.task("gqa")

    def trial(rng: np.random.Generator) -> Family:
        before = rng.random((count, 1)) < 0.7
        # Equal checkpoints change as many marks to right as to wrong.
        flip = np.where(before, 0.03 + drop / 0.7, 0.03 * 0.7 / 0.3)
        after = before ^ (rng.random((count, 1)) < flip)
        part = np.zeros(count, int)
        return [member(task, of_marks((before, after), part, rng))]

    return trial


def features(images: int, widening: float, measure: Measure) -> Trial:
    """FID or KID. Features are a prompt's own plus a deviation per image, which becomes wider."""
    task = registry.task("mjhq")

    def trial(rng: np.random.Generator) -> Family:
        wanted, *own = rng.standard_normal((4, images, FEATURES))
        reference, *sides = (
            wanted + spread * each
            for spread, each in zip((1, 1.1, 1.1 + widening), own, strict=True)
        )
        return [member(task, measure(reference, *sides))]

    return trial


def fid(reference: np.ndarray, *sides: np.ndarray) -> Difference:
    """The FID difference from features (n, d) of the references and of each side."""
    first, second = (fid_pairs.fid(side, reference) for side in sides)
    parts = [fid_pairs.fid_replicates(side, reference) for side in sides]
    return by_replicates(first, second, parts[0], parts[1], len(reference))


def kid(reference: np.ndarray, *sides: np.ndarray) -> Difference:
    parts = [kid_replicates(side, reference) for side in sides]
    first, second = (paired_kid(side, reference).mean for side in sides)
    return by_replicates(first, second, parts[0], parts[1], len(reference))


def together(*trials: Trial) -> Trial:
    return lambda rng: [one for trial in trials for one in trial(rng)]


def simulated() -> Iterator[Case]:
    for prompts in (60, 300):
        yield Case(f"equal: GenEval, {prompts} prompts", geneval(prompts, 0), True)
    yield Case("equal: 500 questions", questions(500, 0), True)
    for metric, of in (("FID", fid), ("KID", kid)):
        yield Case(f"equal: {metric}, 300 images", features(300, 0, of), True)
    yield Case(
        "equal: all three at once (GenEval 120, questions 500, FID 300)",
        together(geneval(120, 0), questions(500, 0), features(300, 0, fid)),
        True,
    )
    yield Case(
        "0.05 worse, tolerance 0.05: GenEval, 240 prompts", geneval(240, 0.05), tolerance=0.05
    )
    for prompts in (120, 240, 393):
        yield Case(f"0.05 worse: GenEval, {prompts} prompts", geneval(prompts, 0.05))
    yield Case(
        "0.05 worse, by 0.25 on each fifth prompt: GenEval, 240 prompts", geneval(240, 0.05, 0.2)
    )
    yield Case("0.03 worse: 500 questions", questions(500, 0.03))
    for images in (300, 600):
        yield Case(f"drawings more scattered: FID, {images} images", features(images, 0.1, fid))
    yield Case(
        "GenEval 0.05 worse, the other two equal (240, 500, 300)",
        together(geneval(240, 0.05), questions(500, 0), features(300, 0, fid)),
    )


def stored(folder: Path) -> Iterator[Case]:
    """harmon-mini against itself with other seeds, and against the damaged copy."""
    from benchmarks.gate_runs import LIMITS, pooled_fid, pooled_geneval, pools

    good, damaged = pools(folder)
    prompts, images = LIMITS["geneval"], LIMITS["mjhq"]
    weights = good.fingerprint
    for other, name in (
        (good, "equal: harmon-mini, other seeds"),
        (damaged, "damaged harmon-mini"),
    ):
        same = other is good
        yield Case(
            f"{name}: GenEval-mini, of {prompts} prompts",
            pooled_geneval(good, other),
            same,
            weights=weights,
        )
        yield Case(
            f"{name}: FID-mini, of {images} images", pooled_fid(good, other), same, weights=weights
        )


def measure(case: Case, trials: int) -> dict[str, Any]:
    """How often the gate stops, and what it promises: at most ALPHA, or the planned power."""
    stopped, errors, shifts, size = 0, [], [], 1
    seed = zlib.crc32(case.name.encode())
    for number in range(trials):
        family = case.trial(np.random.default_rng([seed, number]))
        lines = judge(family, True, Settings({"": case.tolerance}, {}))
        stopped += any(line.fails for line in lines)
        size = len(family)
        errors.append(family[0][2].error)
        shifts.append(family[0][2].value)
    span = stats.binomtest(stopped, trials).proportion_ci(0.95)
    loss = np.mean(shifts) * (-1 if family[0][0].higher_is_better else 1)
    reach = loss / np.sqrt(np.mean(np.square(errors)))
    planned = float(stats.norm.cdf(reach - stats.norm.ppf(1 - ALPHA / (2 * size))))
    return {
        "case": case.name,
        "weights": case.weights,
        "trials": trials,
        "difference": float(np.mean(shifts)),
        "alarm": case.alarm,
        "promised": ALPHA if case.alarm else planned,
        "stopped": stopped / trials,
        "interval": [span.low, span.high],
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| case | trials | mean difference | promised | stopped | 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        sign = "at most" if row["alarm"] else "power"
        low, high = row["interval"]
        lines.append(
            f"| {row['case']} | {row['trials']} | {row['difference']:+.4f} "
            f"| {sign} {row['promised']:.2f} | {row['stopped']:.3f} "
            f"| [{low:.3f}, {high:.3f}] |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder for runs; resumes there")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only cases with this in their name"
    )
    parser.add_argument("--again", action="store_true", help="measure known cases again")
    arguments = parser.parse_args()
    file = record.RESULTS / "gate_power.json"
    known = (
        {}
        if not file.exists()
        else {row["case"]: row for row in json.loads(file.read_text())["measured"]["cases"]}
    )
    # statsmodels collects garbage at each correction; freezing spares it the imported objects.
    gc.freeze()
    cases = [*simulated(), *(stored(arguments.runs) if arguments.runs else ())]
    for case in cases:
        before = known.get(case.name, {})
        same = (before.get("weights"), before.get("trials")) == (case.weights, case.trials)
        if arguments.only in case.name and (arguments.again or not same):
            known[case.name] = measure(case, case.trials)
            print(markdown([known[case.name]]).splitlines()[-1], flush=True)
            record.write("gate_power", {}, {"cases": list(known.values())})
    text = f"\n{markdown(list(known.values()))}\n\n"
    marks = r"(?<=<!-- gate -->\n).*(?=<!-- /gate -->)"
    DOCS.write_text(re.sub(marks, lambda _: text, DOCS.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    main()
