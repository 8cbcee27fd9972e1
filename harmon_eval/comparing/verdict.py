"""From differences to verdicts, and from verdicts to an exit code.

Holm's method (Holm 1979) corrects two families of metrics separately: the headlines, which decide,
and the details, which explain. With ``every_metric``, all metrics form one family and all decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scipy import stats

from harmon_eval.comparing.changes import Change
from harmon_eval.comparing.paired import Difference, differences
from harmon_eval.comparing.runs import TaskPair
from harmon_eval.core import UserError
from harmon_eval.settings import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

ALPHA, POWER = 0.05, 0.8
WORSE, BETTER, NO_EVIDENCE = "worse", "better", "no evidence"
NOT_COMPARABLE, UNDERPOWERED = "not comparable", "underpowered"
UNKNOWN_SPREAD = "the spread is unknown (a part with one group, or nothing changed)"


FRAME = (
    *("task", "metric", "verdict", "baseline", "candidate", "difference", "low", "high", "p"),
    *("test", "groups", "smallest_detectable", "groups_needed", "decides", "fails", "reason"),
)


@dataclass(frozen=True)
class Settings:
    """What the caller wants. ``tolerance`` and ``effect`` (the smallest difference that matters)
    are in the metric's units, by task; the key "" applies to all tasks."""

    tolerance: Mapping[str, float]
    effect: Mapping[str, float]
    every_metric: bool = False

    def check(self, tasks: Sequence[str]) -> None:
        """Raises UserError if an option names a task that is not compared."""
        for option, values in (("--tolerance", self.tolerance), ("--effect", self.effect)):
            for name in values.keys() - {"", *tasks}:
                raise UserError(
                    f"{option} {name}: this task is not compared, {did_you_mean(name, tasks)}"
                )

    def tolerated(self, task: str) -> float:
        return self.tolerance.get(task, self.tolerance.get("", 0.0))

    def wanted(self, task: str) -> float | None:
        return self.effect.get(task, self.effect.get(""))


def by_task(text: str, option: str) -> dict[str, float]:
    """Parse ``0.02`` or ``geneval=0.02,mjhq=0.5`` into task -> value; "" means all tasks.

    Raises UserError if a value is not a number of at least 0."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        task, _, number = part.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"{option} {part}: give a number of at least 0, or TASK=NUMBER,...")
        found[task] = value
    return found


@dataclass(frozen=True)
class Line:
    """One metric's verdict. ``p`` is corrected. ``detectable`` is the smallest true difference that
    is found with 80 % power. ``needed`` groups would find the wanted effect. ``fails``: the loss is
    beyond the tolerance."""

    task: str
    metric: str
    decides: bool
    verdict: str
    reason: str = ""
    difference: Difference | None = None
    p: float | None = None
    detectable: float | None = None
    needed: int | None = None
    fails: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """All fields as plain values; a number that is not finite becomes None."""
        found = self.difference
        values: dict[str, Any] = {
            "task": self.task,
            "metric": self.metric,
            "decides": self.decides,
            "verdict": self.verdict,
            "reason": self.reason,
            "fails": self.fails,
            "p": self.p,
            "smallest_detectable": self.detectable,
            "groups_needed": self.needed,
        }
        if found:
            values |= {
                "baseline": found.baseline,
                "candidate": found.candidate,
                "difference": found.value,
                "interval": found.interval,
                "test": found.test,
                "groups": found.groups,
            }
        return {
            k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in values.items()
        }


@dataclass(frozen=True)
class Comparison:
    """``lines``: one verdict per metric. ``changed``: samples whose mark changed, losses first."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    changed: tuple[Change, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """One row per metric: verdict, both values, their difference with its interval, p ..."""
        import pandas as pd

        rows = []
        for line in self.lines:
            row = line.values
            row["low"], row["high"] = row.pop("interval", None) or (None, None)
            rows.append({name: row.get(name) for name in FRAME})
        return pd.DataFrame(rows, columns=list(FRAME))

    @property
    def code(self) -> int:
        """1: worse beyond the tolerance; 2: a deciding metric could not be judged; 0: passed."""
        deciding = [line for line in self.lines if line.decides]
        if any(line.fails for line in deciding):
            return 1
        unjudged = (NOT_COMPARABLE, UNDERPOWERED)
        return 2 if not deciding or any(line.verdict in unjudged for line in deciding) else 0


def compare(pairs: Sequence[TaskPair], settings: Settings) -> Comparison:
    lines: list[Line] = []
    measured: dict[bool, list[tuple[TaskPair, str, Difference]]] = {True: [], False: []}
    for pair in pairs:
        headline = pair.headline
        reasons = pair.reasons
        found: Mapping[str, Difference] = {}
        if not reasons and pair.task:
            try:
                found = differences(pair.task, pair.baseline, pair.candidate, pair.metrics)
            except UserError as error:
                reasons = (str(error),)
            except (LookupError, TypeError, ValueError, ArithmeticError) as error:
                # Rows of a run may be anybody's: a task finds in them what its own never hold.
                flaw = f"{type(error).__name__}: {error}"[:200]
                reasons = (f"the rows of a run are not this task's ({flaw}): mark both again",)
        missing = {headline} if reasons else pair.metrics - found.keys()
        for metric in sorted(missing):
            why = "; ".join(reasons) or f"{metric} has no value in one of the runs"
            decides = settings.every_metric or metric == headline
            lines.append(Line(pair.name, metric, decides, NOT_COMPARABLE, why))
        for metric, difference in found.items():
            decides = settings.every_metric or metric == headline
            measured[decides].append((pair, metric, difference))
    for decides, family in measured.items():
        lines += judge(family, decides, settings, sum(line.decides for line in lines))
    order = {pair.name: number for number, pair in enumerate(pairs)}
    lines.sort(key=lambda line: (order[line.task], not line.decides))
    notes = tuple(f"{pair.name}: {note}" for pair in pairs for note in pair.notes)
    return Comparison(tuple(lines), notes)


def judge(
    family: Sequence[tuple[TaskPair, str, Difference]],
    decides: bool,
    settings: Settings,
    lost: int = 0,
) -> list[Line]:
    """Verdicts of one family. ``lost`` counts its metrics that could not be compared."""
    from statsmodels.stats.multitest import multipletests

    if not family:
        return []
    raw = [difference.p for _, _, difference in family] + [1.0] * (lost if decides else 0)
    corrected = multipletests(raw, ALPHA, "holm")[1][: len(family)]
    return [
        _line(pair, metric, difference, float(p), len(raw), decides, settings)
        for (pair, metric, difference), p in zip(family, corrected, strict=True)
    ]


def _line(
    pair: TaskPair,
    metric: str,
    difference: Difference,
    p: float,
    size: int,
    decides: bool,
    settings: Settings,
) -> Line:
    line = Line(pair.name, metric, decides, NO_EVIDENCE, "", difference, p)
    detectable = smallest_detectable(difference.error, size)
    if math.isfinite(detectable):
        line = replace(line, detectable=detectable)
    gain = difference.value if pair.higher_is_better else -difference.value
    if p <= ALPHA and gain > 0:
        return replace(line, verdict=BETTER)
    if p <= ALPHA and gain < 0:
        return _worse(line, pair, size, settings)
    if difference.finest > ALPHA / size:
        least = 1 + math.ceil(math.log2(size / ALPHA))
        reason = f"{difference.groups} groups are too few to show anything: use at least {least}"
        return replace(line, verdict=UNDERPOWERED, reason=reason, needed=least)
    wanted = settings.wanted(pair.name)
    if wanted and difference.interval is None:
        return replace(line, verdict=UNDERPOWERED, reason=UNKNOWN_SPREAD)
    if wanted and detectable > wanted:
        needed = math.ceil(difference.groups * (detectable / wanted) ** 2)
        reason = f"a difference of {wanted:g} needs {needed} groups, here are {difference.groups}"
        return replace(line, verdict=UNDERPOWERED, reason=reason, needed=needed)
    return line


def smallest_detectable(error: float, size: int = 1) -> float:
    """The true difference that a test at ALPHA / ``size`` finds with 80 % power; NaN if unknown."""
    return float(stats.norm.ppf(1 - ALPHA / (2 * size)) + stats.norm.ppf(POWER)) * error


def _worse(line: Line, pair: TaskPair, size: int, settings: Settings) -> Line:
    """Fails if the one-sided bound, simultaneous over the family, is beyond the tolerance."""
    tolerance, found = settings.tolerated(pair.name), line.difference
    assert found is not None
    if not tolerance:
        return replace(line, verdict=WORSE, fails=line.decides)
    share = ALPHA / size
    loss = -found.quantile(1 - share) if pair.higher_is_better else found.quantile(share)
    if not math.isfinite(loss):
        reason = f"worse, but it is unknown if by more than {tolerance:g}: {UNKNOWN_SPREAD}"
        return replace(line, verdict=UNDERPOWERED, reason=reason)
    return replace(line, verdict=WORSE, fails=line.decides and loss > tolerance)
