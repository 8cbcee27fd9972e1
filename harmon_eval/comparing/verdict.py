"""From differences to verdicts, and from verdicts to an exit code.

Every verdict is read off the interval that is shown with it: both come from one test. A headline is
*worse* if its interval lies below minus the margin. With ``no_worse_than``, it is *no worse* if its
interval lies above minus the margin, and otherwise it cannot be told.

Each test is one-sided at 5 %. That any of the headlines is called worse is corrected over them by
Holm's method; that all are no worse needs no correction (Berger 1982). All other metrics explain
and do not decide. They are corrected within their task by Benjamini and Hochberg's method, the same
number under two names counting once. With ``every_metric``, all metrics decide like headlines.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harmon_eval.comparing.bounds import BoundedMean, Evidence, Student
from harmon_eval.comparing.changes import Changes
from harmon_eval.comparing.margins import Settings
from harmon_eval.comparing.multiplicity import Corrected, benjamini_hochberg, holm
from harmon_eval.comparing.paired import ALPHA, Difference, contrasts
from harmon_eval.comparing.power import MOST_NEEDED, in_words, needed_for, seen
from harmon_eval.comparing.runs import TaskPair, maximum
from harmon_eval.core import Interval, UserError
from harmon_eval.metrics.text import counted

if TYPE_CHECKING:
    import pandas as pd

WORSE, BETTER, NO_EVIDENCE = "worse", "better", "no evidence"
NO_WORSE, CANNOT_TELL = "no worse", "cannot be told"
NOT_COMPARABLE, UNDERPOWERED = "not comparable", "underpowered"
UNJUDGED = (NOT_COMPARABLE, UNDERPOWERED, CANNOT_TELL)
UNKNOWN_SPREAD = "the spread is unknown (a part with one group, or no known range of marks)"
FRAME = (
    *("task", "metric", "verdict", "baseline", "candidate", "difference", "low", "high", "p"),
    *("p_no_worse", "test", "groups", "census", "margin", "smallest_detectable"),
    *("groups_needed", "decides", "fails", "reason"),
)
Measured = tuple[TaskPair, str, Difference]


@dataclass(frozen=True)
class Line:
    """One metric's verdict, which is what ``interval`` says of minus the ``margin``.

    ``p`` is that of being worse by more than the margin (of details: of any difference), corrected.
    ``p_no_worse`` is that of not being worse by as much. ``detectable`` is the true loss that is
    found with 80 % power; with ``no_worse_than``, the margin that is shown for an equal candidate
    with 80 % power; None if no loss that is possible would be. ``needed`` groups would be enough.
    ``fails``: worse, and it decides."""

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
    interval: Interval | None = None
    p_no_worse: float | None = None
    margin: float = 0.0

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
            "p_no_worse": self.p_no_worse,
            "margin": self.margin,
            "smallest_detectable": self.detectable,
            "groups_needed": self.needed,
        }
        if found:
            values |= {
                "baseline": found.baseline,
                "candidate": found.candidate,
                "difference": found.value,
                "interval": self.interval,
                "test": found.test,
                "groups": found.groups,
                "census": found.census,
            }
        return {
            k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in values.items()
        }


@dataclass(frozen=True)
class Comparison:
    """``lines``: one verdict per metric. ``changed``: samples whose mark changed, losses first.
    ``proof``: whether the candidate had to be shown to be no worse."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    changed: Changes = field(default_factory=Changes)
    proof: bool = False

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
        """1: a deciding metric is worse by more than the margin; 2: one could not be judged; 0:
        all are shown to be no worse or, without ``proof``, none is shown to be worse."""
        deciding = [line for line in self.lines if line.decides]
        if any(line.fails for line in deciding):
            return 1
        return 2 if not deciding or any(line.verdict in UNJUDGED for line in deciding) else 0

    @property
    def result(self) -> str:
        """The exit code in words."""
        passed = "shown to be no worse" if self.proof else "not shown to be worse"
        return (f"passed: {passed}", "worse than the baseline", "cannot decide")[self.code]


def compare(pairs: Sequence[TaskPair], settings: Settings) -> Comparison:
    lines: list[Line] = []
    heads: list[Measured] = []
    details: list[Measured] = []
    for pair in pairs:
        headline = pair.headline
        reasons = pair.reasons
        found: Mapping[str, Difference] = {}
        if not reasons and pair.task:
            try:
                found = contrasts(pair.task, *pair.contrast, pair.metrics, strata=pair.census)
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
            difference = known(pair, difference)
            decides = settings.every_metric or metric == headline
            (heads if decides else details).append((pair, metric, difference))
    lines += judge(heads, True, settings, sum(line.decides for line in lines))
    for name in dict.fromkeys(pair.name for pair, _, _ in details):
        own = [one for one in details if one[0].name == name]
        lines += explain(own, [one for one in heads if one[0].name == name])
    order = {pair.name: number for number, pair in enumerate(pairs)}
    lines.sort(key=lambda line: (order[line.task], not line.decides))
    notes = tuple(f"{pair.name}: {note}" for pair in pairs for note in pair.notes)
    tops = {pair.name: maximum(pair.task or pair.name, pair.headline) for pair in pairs}
    notes += settings.scales(tops)
    return Comparison(tuple(lines), notes, proof=bool(settings.no_worse_than))


def known(pair: TaskPair, difference: Difference) -> Difference:
    """Of two runs of the same weights, settings and seed with the same marks nothing is open."""
    if not pair.identical or difference.value or (difference.evidence and difference.error):
        return difference
    return replace(difference, evidence=Student(0.0, 0.0, 1))


def judge(
    family: Sequence[Measured], decides: bool, settings: Settings, lost: int = 0
) -> list[Line]:
    """Verdicts of one family. ``lost`` counts its metrics that could not be compared."""
    alpha = ALPHA / settings.looks
    once = list(dict.fromkeys(identity(one) for one in family))
    where = [once.index(identity(one)) for one in family]
    first = [where.index(number) for number in range(len(once))]
    ways = []
    for better in (False, True):
        raw = [_p(family[n], settings.margin(family[n][0].name), better) for n in first]
        corrected = holm([*raw, *[1.0] * lost], alpha) if raw else []
        ways.append([corrected[number] for number in where])
    judged = _proved if settings.no_worse_than else _found
    return [
        judged(*one, worse, better, decides, settings)
        for one, worse, better in zip(family, ways[0], ways[1], strict=True)
    ]


def _p(one: Measured, margin: float, better: bool) -> float:
    gain = _gain(*one)
    if gain is None:
        return 1.0
    return gain.above(0) if better else gain.below(-margin)


def identity(one: Measured) -> Hashable:
    """The same for a number under two names, such as a share and its percentage."""
    pair, metric, difference = one
    known = difference.evidence
    if isinstance(known, BoundedMean):
        kept = known.weights.tobytes(), (known.values / known.most).round(9).tobytes()
        ends = difference.baseline / known.most, difference.candidate / known.most
        return pair.name, kept, known.counts.tobytes(), tuple(round(end, 9) for end in ends)
    return pair.name, (metric if known is None else repr(known)), difference.candidate


def explain(details: Sequence[Measured], heads: Sequence[Measured]) -> list[Line]:
    """The details of one task. One that is its headline under another name is judged alone."""
    head = {identity(one) for one in heads}
    once = [name for name in dict.fromkeys(map(identity, details)) if name not in head]
    first = [next(one for one in details if identity(one) == name) for name in once]
    corrected = benjamini_hochberg([difference.p for _, _, difference in first], ALPHA)
    lines = []
    for one in details:
        name = identity(one)
        share = Corrected(one[2].p, ALPHA) if name in head else corrected[once.index(name)]
        # Half of the level for each direction; a headline has all of it for each.
        half = share if name in head else replace(share, level=share.level / 2)
        lines.append(_found(*one, half, half, False, Settings({}, {})))
    return lines


def _gain(pair: TaskPair, metric: str, difference: Difference) -> Evidence | None:
    """The evidence on how much better the candidate is."""
    known = difference.evidence
    return known if pair.higher_is_better or known is None else known.turned


def _line(
    one: Measured, low: float, high: float, worse: Corrected, decides: bool, margin: float
) -> Line:
    """``low`` and ``high``: bounds of the gain. The verdict is still open."""
    pair, metric, difference = one
    ends = (low, high) if pair.higher_is_better else (-high, -low)
    line = Line(pair.name, metric, decides, NO_EVIDENCE, "", difference, worse.p, margin=margin)
    return replace(line, interval=ends if difference.evidence else None)


def _found(
    pair: TaskPair,
    metric: str,
    difference: Difference,
    worse: Corrected,
    better: Corrected,
    decides: bool,
    settings: Settings,
) -> Line:
    """Whether the candidate was found to be worse by more than the tolerance, or better."""
    known, margin = difference.evidence, settings.margin(pair.name)
    wanted = settings.wanted(pair.name)
    gain = _gain(pair, metric, difference)
    if gain is None or known is None:
        line = _line((pair, metric, difference), 0, 0, worse, decides, margin)
        unknown = replace(line, verdict=UNDERPOWERED, reason=UNKNOWN_SPREAD)
        return unknown if decides else replace(line, reason=UNKNOWN_SPREAD)
    low, high = gain.lower(better.level), gain.upper(worse.level)
    line = _line((pair, metric, difference), low, high, worse, decides, margin)
    detectable = _possible(pair, metric, known, margin + seen(difference.value, known, worse.level))
    line = replace(line, detectable=detectable)
    if high < 0:
        return replace(line, verdict=WORSE, fails=decides and high < -margin)
    if low > 0:
        return replace(line, verdict=BETTER)
    here = counted(difference.groups, difference.unit)
    if gain.least(-margin) > worse.level:
        needed = needed_for(math.inf, difference, worse.level, margin)
        reason = f"too few to show anything: {here}, use at least {in_words(needed)}"
        return replace(line, verdict=UNDERPOWERED, reason=reason, needed=needed)
    if wanted and (detectable is None or detectable > wanted):
        needed = needed_for(wanted - margin, difference, worse.level, margin)
        reason = f"a loss of {wanted:g} needs {in_words(needed)} {difference.unit}s, here: {here}"
        return replace(line, verdict=UNDERPOWERED, reason=reason, needed=needed)
    return line


def _possible(pair: TaskPair, metric: str, known: Evidence, loss: float) -> float | None:
    """``loss``, or None if it is more than there can be."""
    top = maximum(pair.task, metric) if pair.task else None
    return loss if loss <= min(known.most, math.inf if top is None else top) else None


def _proved(
    pair: TaskPair,
    metric: str,
    difference: Difference,
    worse: Corrected,
    better: Corrected,
    decides: bool,
    settings: Settings,
) -> Line:
    """Whether the candidate is shown to be no worse than the margin, or worse than it."""
    known, margin = difference.evidence, settings.margin(pair.name)
    gain = _gain(pair, metric, difference)
    if gain is None or known is None:
        line = _line((pair, metric, difference), 0, 0, worse, decides, margin)
        return replace(line, verdict=CANNOT_TELL, reason=UNKNOWN_SPREAD)
    low, high = gain.lower(ALPHA), gain.upper(worse.level)
    line = replace(
        _line((pair, metric, difference), low, high, worse, decides, margin),
        verdict=outcome(low, high, margin),
        p_no_worse=gain.above(-margin),
        detectable=_possible(pair, metric, known, seen(difference.value, known, ALPHA)),
    )
    if line.verdict != CANNOT_TELL:
        return replace(line, fails=decides and line.verdict == WORSE)
    needed, how = needed_for(margin, difference, ALPHA), "if both are equally good"
    if needed <= difference.groups:
        value = difference.value if pair.higher_is_better else -difference.value
        level = ALPHA if value > -margin else worse.level
        needed = needed_for(abs(value + margin), difference, level)
        how = f"if the true difference is the measured {difference.value:+.3g}"
    here = counted(difference.groups, difference.unit)
    reason = f"{here}; it takes about {in_words(needed)} {how}"
    return replace(line, reason=reason, needed=needed if needed <= MOST_NEEDED else None)


def outcome(low: float, high: float, margin: float) -> str:
    """What an interval of the gain says of a loss as large as the ``margin``."""
    if low > -margin:
        return NO_WORSE
    return WORSE if high < -margin else CANNOT_TELL
