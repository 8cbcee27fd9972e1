"""Check what the gate promises: few false verdicts, and enough power.

    python -m benchmarks.gate_power                     # simulated marks and features, 4 minutes
    python -m benchmarks.gate_power --runs runs/gate    # also harmon-mini against copies with noise

Every case runs the gate's own tests, intervals and verdicts many times. For speed, it skips the
reading of run folders. ``gate_margins`` has the non-inferiority test at its margin in many
settings, ``gate_streams`` the streams of checkpoints. If a command is killed, run it again to
resume: a case in ``results/gate_power.json`` is measured again only with ``--again`` or if the
model's weights changed. At the end, the tables in docs/statistics.md are rewritten from that file.
"""

from __future__ import annotations

import gc
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks import gate_margins, gate_streams, parsing, record
from harmon_eval import registry
from harmon_eval.comparing.margins import Settings
from harmon_eval.comparing.means import Mean
from harmon_eval.comparing.paired import (
    ALPHA,
    GAFFKE,
    JACKKNIFE,
    Difference,
    of_means,
    of_replicates,
)
from harmon_eval.comparing.runs import TaskPair
from harmon_eval.comparing.verdict import NO_WORSE, WORSE, judge
from harmon_eval.core import Task
from harmon_eval.metrics import fid_pairs
from harmon_eval.metrics.kid import kid as paired_kid
from harmon_eval.metrics.kid import kid_replicates
from harmon_eval.metrics.statistics import Replicates

IMAGES, STRATA, FEATURES = 4, 6, 16
FOR_ALARMS, FOR_POWER = 300, 120  # trials
DOCS = Path(__file__).parents[1] / "docs/statistics.md"
Family = list[tuple[TaskPair, str, Difference]]
Trial = Callable[[np.random.Generator], Family]
Measure = Callable[..., Difference]


LESS = np.array([-1.0, 1.0])  # candidate less baseline


@dataclass(frozen=True)
class Case:
    """``trial`` returns a family of metrics. The first of them is worse, unless ``equal``.

    With a ``tolerance``, the true loss equals the tolerance, so stopping is a false alarm. With
    ``no_worse_than``, passing is counted, and it is false if the true loss is as large."""

    name: str
    trial: Trial
    equal: bool = False
    tolerance: float = 0.0
    no_worse_than: float = 0.0
    weights: str = ""

    @property
    def counted(self) -> str:
        return NO_WORSE if self.no_worse_than else WORSE

    @property
    def alarm(self) -> bool:
        return self.equal != bool(self.no_worse_than) or self.tolerance > 0

    @property
    def trials(self) -> int:
        return FOR_ALARMS if self.alarm else FOR_POWER

    @property
    def settings(self) -> Settings:
        margin = {"": self.no_worse_than} if self.no_worse_than else None
        return Settings({"": self.tolerance}, {}, no_worse_than=margin)


def member(task: Task, difference: Difference, name: str = "") -> tuple[TaskPair, str, Difference]:
    none = pd.DataFrame()
    pair = TaskPair(name, task, "", task.higher_is_better, none, none, frozenset(), (), ())
    return pair, "", difference


def of_marks(marks: Sequence[np.ndarray], part: np.ndarray) -> Difference:
    """The difference of the mean over the parts' means. ``marks`` holds (groups, samples per group)
    for each side; ``part`` (groups,) is the number of each group's part."""
    parts = tuple(np.flatnonzero(part == number) for number in np.unique(part))
    groups, each = marks[0].shape
    means = [Mean(m.sum(1).astype(float), np.full(groups, float(each)), parts) for m in marks]
    ours, theirs = (mean.value for mean in means)
    return Difference(ours, theirs, groups, GAFFKE, of_means(means, LESS))


def geneval(prompts: int, drop: float, share: float = 1.0) -> Trial:
    """Prompts of different difficulty in six parts. For a ``share`` of the prompts, the chance of
    success is lower by ``drop`` / ``share``, so that the score is lower by ``drop``."""
    part = np.arange(prompts) % STRATA
    lost = drop / share * (np.arange(prompts) // STRATA % round(1 / share) == 0)[:, None]
    task = registry.task("geneval")

    def trial(rng: np.random.Generator) -> Family:
        chance = lost + (1 - lost) * rng.beta(1.5, 1, (prompts, 1))
        sides = [rng.random((prompts, IMAGES)) < c for c in (chance, chance - lost)]
        return [member(task, of_marks(sides, part))]

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
        return [member(task, of_marks((before, after), part))]

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
    values = [fid_pairs.fid(side, reference) for side in sides]
    parts = [fid_pairs.fid_replicates(side, reference) for side in sides]
    return jackknifed(values, parts, len(reference))


def kid(reference: np.ndarray, *sides: np.ndarray) -> Difference:
    parts = [kid_replicates(side, reference) for side in sides]
    values = [paired_kid(side, reference).mean for side in sides]
    return jackknifed(values, parts, len(reference))


def jackknifed(values: Sequence[float], parts: Sequence[Replicates], groups: int) -> Difference:
    first, second = values
    return Difference(first, second, groups, JACKKNIFE, of_replicates(values, parts, LESS))


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
    yield Case(
        "0.05 worse, no worse than 0.05: GenEval, 240 prompts",
        geneval(240, 0.05),
        no_worse_than=0.05,
    )
    for prompts in (310, 553):
        yield Case(
            f"equal, no worse than 0.05: GenEval, {prompts} prompts",
            geneval(prompts, 0),
            equal=True,
            no_worse_than=0.05,
        )
    for prompts in (120, 240, 310):
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
    """How often the gate gives the counted verdict, and what it promises: at most ALPHA, or the
    power that its own bounds give."""
    counted, bounds, shifts = 0, [], []
    seed = zlib.crc32(case.name.encode())
    for number in range(trials):
        family = case.trial(np.random.default_rng([seed, number]))
        lines = judge(family, True, case.settings)
        verdicts = [line.verdict == NO_WORSE for line in lines]
        counted += all(verdicts) if case.no_worse_than else any(line.fails for line in lines)
        low, high = lines[0].interval or (0.0, 0.0)
        higher, value = family[0][0].higher_is_better, family[0][2].value
        shifts.append(value if higher else -value)
        up, down = (high - value, value - low) if higher else (value - low, high - value)
        bounds.append(down if case.no_worse_than else up)
    span = stats.binomtest(counted, trials).proportion_ci(0.95)
    size = 1 if case.no_worse_than else len(family)
    needed = float(stats.norm.isf(ALPHA / size))
    distance = abs(float(np.mean(shifts)) + max(case.tolerance, case.no_worse_than))
    planned = float(stats.norm.cdf(needed * (distance / np.mean(bounds) - 1)))
    return {
        "case": case.name,
        "weights": case.weights,
        "trials": trials,
        "difference": float(np.mean(shifts)) * (1 if family[0][0].higher_is_better else -1),
        "alarm": case.alarm,
        "counted": case.counted,
        "promised": ALPHA if case.alarm else planned,
        "share": counted / trials,
        "interval": [span.low, span.high],
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| case | trials | mean difference | verdict | promised | given | 95 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        sign = "at most" if row["alarm"] else "power"
        low, high = row["interval"]
        lines.append(
            f"| {row['case']} | {row['trials']} | {row['difference']:+.4f} "
            f"| {row['counted']} | {sign} {row['promised']:.2f} | {row['share']:.3f} "
            f"| [{low:.3f}, {high:.3f}] |"
        )
    return "\n".join(lines)


def seeds(rows: list[dict[str, Any]]) -> str:
    (found,) = rows
    low, high = found["interval"]
    return (
        f"Measured on harmon-mini and a copy with 3 % of noise on its weights, {found['prompts']} "
        "prompts of\nGenEval-mini with four images and two seeds "
        "(`benchmarks.gate_runs.common_seeds`): the standard deviation of\na prompt's difference "
        f"is {found['same seed']:.3f} with the same seed and {found['other seeds']:.3f} with other "
        f"seeds. So other seeds need\n**{found['ratio']:.1f} times** as many prompts "
        f"(95 % interval: {low:.1f} to {high:.1f})."
    )


TABLES = {
    "cases": markdown,
    "margins": gate_margins.markdown,
    "streams": gate_streams.markdown,
    "seeds": seeds,
}
Work = tuple[str, str, int, Callable[[], dict[str, Any]]]


def main() -> None:
    parser = parsing.Parser("gate_power", __doc__)
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder for runs; resumes there")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only cases with this in their name"
    )
    parser.add_argument("--again", action="store_true", help="measure known cases again")
    arguments = parser.parse_args()
    file = record.RESULTS / "gate_power.json"
    stored_before = json.loads(file.read_text())["measured"] if file.exists() else {}
    found: dict[str, list[dict[str, Any]]] = {}
    # statsmodels collects garbage at each correction; freezing spares it the imported objects.
    gc.freeze()
    cases = [*simulated(), *(stored(arguments.runs) if arguments.runs else ())]
    works: dict[str, list[Work]] = {
        "cases": [(c.name, c.weights, c.trials, partial(measure, c, c.trials)) for c in cases],
        "margins": [(c.name, "", c.trials, c.measure) for c in gate_margins.cells()],
        "streams": [(c.name, "", c.trials, c.measure) for c in gate_streams.cases()],
    }
    for table, work in works.items():
        known = {row["case"]: row for row in stored_before.get(table, ())}
        found[table] = list(known.values())
        for name, weights, trials, run in work:
            before = known.get(name, {})
            same = (before.get("weights", ""), before.get("trials")) == (weights, trials)
            if arguments.only in name and (arguments.again or not same):
                known[name] = run()
                found[table] = list(known.values())
                print(TABLES[table]([known[name]]).splitlines()[-1], flush=True)
                record.write("gate_power", {}, {**stored_before, **found})
    if arguments.runs:
        from benchmarks.gate_runs import common_seeds, slightly_changed

        found["seeds"] = [common_seeds(*slightly_changed(arguments.runs))]
        record.write("gate_power", {}, {**stored_before, **found})
    elif "seeds" in stored_before:
        found["seeds"] = stored_before["seeds"]
    text = DOCS.read_text()
    for table, rows in found.items():
        before, _, rest = text.partition(f"<!-- {table} -->\n")
        _, mark, after = rest.partition(f"<!-- /{table} -->")
        text = f"{before}<!-- {table} -->\n\n{TABLES[table](rows)}\n\n{mark}{after}"
    DOCS.write_text(text)


if __name__ == "__main__":
    main()
