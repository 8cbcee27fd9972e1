"""Where a run holds every prompt there is: do gate and intervals keep their word?

    python -m benchmarks.coverage_census

The prompts are fixed, and only seeds are left to chance. Two runs: the chance of each number of
losses and gains among the drawings is computed, so the first table has no error of simulation. One
run: 2,000 draws a row, so that a true 0.95 shows as 0.94 to 0.96. Both call what ``compare`` and
``run`` call, with GenEval's single objects. The command rewrites two tables in docs/statistics.md.
One minute on one idle core.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import record
from harmon_eval import registry
from harmon_eval.comparing.paired import differences
from harmon_eval.comparing.verdict import NO_WORSE, WORSE, outcome
from harmon_eval.core import Interval
from harmon_eval.metrics.intervals import Repeats, intervals

DOCS = Path(__file__).parents[1] / "docs/statistics.md"
NAME = "single_object"
TRIALS = 2000
RARE = 1e-9  # less likely numbers of losses and gains are left out
# Prompts, drawings of each, and the margin, which is also what the candidate loses.
SIZES = ((6, 4, 0.25), (2, 4, 0.45), (20, 1, 0.25))
ALONE: dict[str, tuple[list[float], int]] = {  # chances of the prompts, drawings of each
    "6 prompts x 4, all 0.98": ([0.98] * 6, 4),
    "6 prompts x 4, all 0.5": ([0.5] * 6, 4),
    "6 prompts x 4, one 0.3, the rest 0.99": ([0.3] + [0.99] * 5, 4),
    "6 prompts x 4, one 0.7, the rest always right": ([0.7] + [1.0] * 5, 4),
    "6 prompts x 4, half 0.1, half 0.9": ([0.1] * 3 + [0.9] * 3, 4),
    "2 prompts x 4, both 0.98": ([0.98] * 2, 4),
    "2 prompts x 4, both 0.5": ([0.5] * 2, 4),
    "2 prompts x 4, 0.1 and 0.9": ([0.1, 0.9], 4),
    "20 prompts x 1, all 0.98": ([0.98] * 20, 1),
    "20 prompts x 1, all 0.5": ([0.5] * 20, 1),
    "20 prompts x 1, half 0.1, half 0.9": ([0.1] * 10 + [0.9] * 10, 1),
    "80 prompts x 4, all 0.98": ([0.98] * 80, 4),
    "80 prompts x 4, 20 of 0.05, 60 of 0.97": ([0.05] * 20 + [0.97] * 60, 4),
}


def rows(marks: np.ndarray) -> pd.DataFrame:
    """Rows of single objects. ``marks`` (prompts, drawings): right or wrong."""
    prompts, each = marks.shape
    group = np.repeat([f"{n:03d}" for n in range(prompts)], each)
    found = pd.DataFrame({"group": group, "stratum": NAME, "tag": NAME, "correct": marks.ravel()})
    return found.assign(id=[f"{g}/{k % each}" for k, g in enumerate(group)], unscored=None)


# -- two runs ---------------------------------------------------------------------------------


def chances(before: np.ndarray, after: np.ndarray, each: int, same_seed: bool) -> np.ndarray:
    """The chance of each number of (losses, gains) among ``each`` drawings of all prompts.

    ``before``, ``after`` (prompts,): the chances of a right mark. With the same seed the better
    model gets right whatever the other does; with other seeds marks are independent."""
    found = np.ones((1, 1))
    for one, two in zip(before, after, strict=True):
        lose, gain = max(one - two, 0.0), max(two - one, 0.0)
        if not same_seed:
            lose, gain = one * (1 - two), two * (1 - one)
        for _ in range(each):
            new = np.pad(found, (0, 1)) * (1 - lose - gain)
            new[1:, :-1] += lose * found
            new[:-1, 1:] += gain * found
            found = new
    return found


@cache
def interval(drawings: int, lost: int, gained: int) -> Interval:
    """What ``compare`` says of so many losses and gains, whichever drawings they are."""
    before, after = np.zeros((2, drawings, 1), bool)
    before[:lost] = after[lost : lost + gained] = True
    task, wanted = registry.task("geneval"), frozenset({NAME})
    found = differences(task, rows(before), rows(after), wanted, strata=(NAME,))[NAME].interval
    assert found is not None
    return found


def shares(
    before: np.ndarray, after: np.ndarray, each: int, same_seed: bool, margin: float
) -> dict[str, float]:
    """How often the interval holds the true difference, and how often each verdict is given."""
    true = float((after - before).mean())
    found = {"held": 0.0, NO_WORSE: 0.0, WORSE: 0.0}
    for (lost, gained), chance in np.ndenumerate(chances(before, after, each, same_seed)):
        if chance > RARE:
            low, high = interval(len(before) * each, lost, gained)
            found["held"] += chance * (low - 1e-9 <= true <= high + 1e-9)
            # A bound that is exactly the margin shows nothing.
            said = outcome(low - 1e-9, high + 1e-9, margin)
            if said in found:
                found[said] += chance
    return found


def packed(before: np.ndarray, loss: float) -> np.ndarray:
    """The same loss (of the mean), taken from as few prompts as can be."""
    left, after = loss * len(before), before.copy()
    for n, chance in enumerate(before):
        after[n] -= min(left, chance)
        left -= before[n] - after[n]
    return after


def two_runs() -> Iterator[dict[str, object]]:
    for prompts, each, margin in SIZES:
        for right in (0.98, 0.5):
            before = np.full(prompts, right)
            for same_seed in (True, False):
                equal, spread, few = (
                    shares(before, after, each, same_seed, margin)
                    for after in (before, before - margin, packed(before, margin))
                )
                yield {
                    "prompts": f"{prompts} prompts x {each}, {right:g} right",
                    "seeds": "same" if same_seed else "other",
                    "margin": margin,
                    "false": [own[NO_WORSE] for own in (spread, few)],
                    "false_worse": [own[WORSE] for own in (spread, few)],
                    "no_worse": equal[NO_WORSE],
                    "held": [own["held"] for own in (equal, spread, few)],
                }


# -- one run ----------------------------------------------------------------------------------


def alone(marks: np.ndarray) -> Interval:
    """The interval of a run with these ``marks`` (prompts, drawings)."""
    counted = sorted(map(int, marks.sum(1)))  # the same for prompts in another order
    return _alone(tuple(counted), marks.shape[1])


@cache
def _alone(right: tuple[int, ...], each: int) -> Interval:
    table = rows(np.arange(each) < np.array(right)[:, None])
    repeats = Repeats(dict(zip(table["id"], table["group"], strict=True)), (NAME,))
    return intervals(registry.task("geneval"), table, repeats=repeats, wanted={NAME})[NAME]


def one_run() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(0)
    for name, (chance, each) in ALONE.items():
        true, own = float(np.mean(chance)), np.array(chance)[:, None]
        held = width = 0.0
        for _ in range(TRIALS):
            low, high = alone(rng.random((len(chance), each)) < own)
            held, width = held + (low <= true <= high), width + high - low
        yield {"run": name, "held": held / TRIALS, "width": width / TRIALS}


# -- the page ---------------------------------------------------------------------------------


def slashed(values: object) -> str:
    assert isinstance(values, list)
    return " / ".join(f"{value:.3f}" for value in values)


def page(pairs: list[dict[str, object]], alone: list[dict[str, object]]) -> str:
    lines = [
        '| every prompt, marks | seeds | margin | false "no worse" | false "worse" | '
        '"no worse" if equal | the interval holds the true difference |',
        "|---|---|---|---|---|---|---|",
        *(
            f"| {p['prompts']} | {p['seeds']} | {p['margin']} | {slashed(p['false'])} | "
            f"{slashed(p['false_worse'])} | {p['no_worse']:.2f} | {slashed(p['held'])} |"
            for p in pairs
        ),
        "",
        "| one run of every prompt there is: chances of a right mark | coverage | width |",
        "|---|---|---|",
        *(f"| {one['run']} | {one['held']:.3f} | {one['width']:.3f} |" for one in alone),
    ]
    return "\n".join(lines)


def main() -> None:
    pairs, alone = list(two_runs()), list(one_run())
    table = f"<!-- census -->\n\n{page(pairs, alone)}\n\n<!-- /census -->"
    pattern = r"<!-- census -->.*<!-- /census -->"
    DOCS.write_text(re.sub(pattern, lambda _: table, DOCS.read_text(), flags=re.DOTALL))
    record.write("coverage_census", {}, {"pairs": pairs, "alone": alone, "trials": TRIALS})


if __name__ == "__main__":
    main()
