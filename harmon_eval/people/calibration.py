"""How far a task's own marks are from people's, and its headline corrected by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval import registry
from harmon_eval.core import Interval, Task, UserError
from harmon_eval.metrics import agreement
from harmon_eval.metrics.columns import lean
from harmon_eval.metrics.corrected import (
    Corrected,
    prediction_powered,
    right_or_wrong,
    rogan_gladen,
)
from harmon_eval.metrics.text import counted
from harmon_eval.people import questions
from harmon_eval.people.labelling import identity_of, label_command, task_of
from harmon_eval.people.marks import PAIR, RIGHT_OR_WRONG, HumanMarks, kinds, table
from harmon_eval.store.durable import write_json
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import results_by_task

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 300
Measure = Callable[[np.ndarray], float | None]


@dataclass(frozen=True)
class Found:
    """A measure of agreement; ``value`` is None where the marks leave it undefined."""

    measure: str
    value: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True)
class Number:
    """A mean in the metric's units. ``width`` is that of its interval."""

    metric: str
    value: float
    interval: Interval
    note: str = ""

    @property
    def width(self) -> float:
        return self.interval[1] - self.interval[0]


@dataclass(frozen=True)
class Calibration:
    task: str
    scale: str
    raters: tuple[str, ...]
    marked: int
    agreement: tuple[Found, ...]
    numbers: tuple[Number, ...] = ()
    remarks: tuple[str, ...] = ()
    against: str = ""
    total: int = 0

    @property
    def file(self) -> str:
        """Its name in the task's folder: one for each scale, and for each run compared with."""
        kind = "" if self.scale == RIGHT_OR_WRONG.name else f"-{self.scale}"
        other = f"-{self.against.rpartition(' ')[2]}" if self.against else ""
        return f"calibration{kind}{other}.json"


def calibrate(
    path: Path,
    task: str | None = None,
    against: Path | None = None,
    scale: str = "",
    data: Path | None = None,
) -> Calibration:
    """Compare and correct, and write ``RUN/TASK/calibration.json`` (see ``Calibration.file``).

    Raises UserError for a run without human marks of this kind."""
    run = RunFolder(path)
    name = task_of(run, task)
    other = RunFolder(against) if against else None
    kind = _kind(run, name, scale, other)
    found = questions.read(run, name, other, data)
    log = HumanMarks(run.task(name), *kind)
    marks = log.marks(found.hashes)
    if len(samples := sorted({mark.sample for mark in marks})) < 3:
        raise UserError(
            f"{path} has people's marks of {counted(len(samples), 'sample')} of {name} as they are "
            f"now: `{label_command(path, name, against, kind[0])}` asks for more"
        )
    ratings, raters = table(marks, samples)
    groups = [str(found.views[0].rows[sample]["group"]) for sample in samples]
    chosen = {*log.choice()}
    at_random = chosen.issuperset(samples)
    remarks = [] if at_random else ["not all marked samples were chosen at random"]
    unmarked = len(chosen - {*samples})
    if unmarked:
        remarks.append(f"{unmarked:,} of {len(chosen):,} chosen samples are not marked yet")
    judge = Judge(run, name) if other is None else None
    rows = (*_among_raters(ratings, groups, kind[0]),)
    if judge is not None:
        rows += (*_with_judge(ratings, judge.marks(samples), groups),)
        numbers, more = _numbers(judge, samples, ratings, at_random)
    else:
        own = [Judge(each, name).marks(samples) for each in (run, other) if each is not None]
        rows += (*_of_pairs(ratings, own[0] - own[1], groups),)
        numbers, more = _preference(ratings, groups), []
    result = Calibration(
        name,
        kind[0],
        (*raters,),
        len(samples),
        rows,
        numbers,
        (*remarks, *more),
        kind[1],
        0 if judge is None else len(judge.own),
    )
    with run.locked():
        folder = run.task(name)
        write_json(folder.path / result.file, asdict(result), folder.root)
    return result


def _kind(run: RunFolder, task: str, scale: str, other: RunFolder | None) -> tuple[str, str]:
    """Scale and other run. Raises UserError if there are no such marks, or several kinds."""
    known = kinds(run.task(task))
    if other is not None:
        wanted = [k for k in known if k == (PAIR.name, identity_of(other))]
    else:
        wanted = [k for k in known if k[0] != PAIR.name and (not scale or k[0] == scale)]
    if len(wanted) == 1:
        return wanted[0]
    if not wanted:
        raise UserError(
            f"{run.path} has no such human marks of {task}: "
            f"`{label_command(run.path, task, other.path if other else None, scale)}` asks for them"
            + ("; marks of pairs need --against RUN" if known and not other else "")
        )
    raise UserError(f"choose one --scale: {', '.join(scale for scale, _ in wanted)}")


class Judge:
    """The task's own marks of each sample, and how its headline is a mean of them."""

    def __init__(self, run: RunFolder, name: str) -> None:
        self.task: Task = registry.task(name)
        rows = run.task(name).rows()
        if rows is None or name not in (results := results_by_task(run)):
            raise UserError(f"{run.path} has no marks of {name}: `mark {run.path}` makes them")
        self.headline = str(results[name]["headline"])
        span = results[name]["intervals"].get(self.headline)
        self.interval: Interval | None = None if span is None else (span[0], span[1])
        self.top = self.task.metric(self.headline).maximum or 1.0
        scored = rows[rows["unscored"].isna()].reset_index(drop=True)
        self.ids = scored["id"].map(str).to_list()
        self.groups = scored["group"].map(str).to_numpy()
        self.strata = scored["stratum"].map(str).to_numpy()
        parts = lean(self.task, scored)
        self.own = np.array([self._mark(parts.iloc[[place]]) for place in range(len(parts))])
        self.value = self.task.summarize(parts).get(self.headline, float("nan"))
        self.weights = self._weights(self.value / self.top)

    def _mark(self, row: pd.DataFrame) -> float:
        try:
            return float(self.task.summarize(row).get(self.headline, float("nan"))) / self.top
        except (ArithmeticError, LookupError, ValueError, TypeError):
            return float("nan")  # the headline is no mean of samples

    def _weights(self, whole: float) -> np.ndarray | None:
        """Each sample's weight in the headline, 1 on average; None if it is no mean of samples."""
        size = len(self.own)
        for parts in ([""] * size, self.groups, self.strata):
            _, codes, counts = np.unique(parts, return_inverse=True, return_counts=True)
            weights = size / len(counts) / counts[codes]
            if abs(float((weights * self.own).mean()) - whole) < 1e-9:
                return np.asarray(weights)
        return None

    def marks(self, samples: Sequence[str]) -> np.ndarray:
        places = {sample: place for place, sample in enumerate(self.ids)}
        return np.array([self.own[places[sample]] for sample in samples])


def _numbers(
    judge: Judge, samples: Sequence[str], ratings: np.ndarray, at_random: bool
) -> tuple[tuple[Number, ...], list[str]]:
    if judge.weights is None:
        return (), [f"{judge.headline} is no mean of samples' marks: it is not corrected"]
    if not at_random:
        return (), ["without a random choice nothing is corrected"]
    human = np.nanmean(ratings, axis=1)
    places = {sample: place for place, sample in enumerate(judge.ids)}
    own = np.array([places[sample] for sample in samples])
    rest = np.setdiff1d(np.arange(len(judge.ids)), own)
    # With weights of 1 on average, the mean of the weighted marks is the headline.
    weighted = judge.weights * judge.own
    marked = judge.weights[own] * human
    groups = judge.groups.tolist()

    plain = bool((judge.weights == 1).all())
    single_marks = plain and bool(np.isin(judge.own, (0, 1)).all() and np.isin(human, (0, 1)).all())

    def corrected(weight: float | None) -> Corrected:
        if single_marks:
            # A judge that always says the same is no judge: that leaves people alone.
            own_marks, others = judge.own[own], judge.own[rest]
            if weight == 0.0:
                own_marks, others = np.ones(len(own)), np.ones(len(rest))
            clusters = [groups[place] for place in own]
            return right_or_wrong(marked.tolist(), own_marks.tolist(), others.tolist(), clusters)
        return prediction_powered(
            marked.tolist(),
            weighted[own].tolist(),
            weighted[rest].tolist(),
            weight,
            [groups[place] for place in own],
            [groups[place] for place in rest],
        )

    tuned, alone = corrected(None), corrected(0.0)
    told = f"lambda {tuned.weight:.3f}, {tuned.n:,} marked by people, "
    told += f"{tuned.others:,} by the judge only"
    numbers = [
        _number(judge, named(judge.headline, f"calibrated:{tuned.n}"), tuned, told),
        _number(judge, named(judge.headline, f"people:{tuned.n}"), alone, "people alone"),
    ]
    if judge.interval is not None:
        # As `show` has it: one number has one interval.
        note = "judge alone: its interval ignores its bias"
        numbers.append(Number(judge.headline, judge.value, judge.interval, note))
    numbers += _by_rogan_gladen(judge, own, human)
    return tuple(numbers), []


def _number(judge: Judge, metric: str, found: Corrected, note: str) -> Number:
    """On the scale. Few marks of unequal weight can give a mean beyond its end: that becomes the
    end, and the interval moves along, so that it holds the value and never shrinks to a point."""
    value = float(np.clip(found.value, 0, 1))
    moved = value - found.value
    low, high = (float(np.clip(end + moved, 0, 1)) * judge.top for end in found.interval)
    if moved:
        note += f"; {found.value * judge.top:.3f} before it was limited to the scale: mark more"
    return Number(metric, value * judge.top, (low, high), note)


def named(headline: str, by: str) -> str:
    """``dpg[JUDGE,calibrated:60]``: a corrected number never has the name of the raw one."""
    return f"{headline[:-1]},{by}]" if headline.endswith("]") else f"{headline}[{by}]"


def _by_rogan_gladen(judge: Judge, own: np.ndarray, human: np.ndarray) -> list[Number]:
    """Where marks are right or wrong, equally weighted, and one a prompt."""
    single = len({*judge.groups}) == len(judge.groups)
    binary = np.isin(judge.own, (0, 1)).all() and np.isin(human, (0, 1)).all()
    assert judge.weights is not None
    if not (single and binary and (judge.weights == 1).all() and 0 < human.mean() < 1):
        return []
    mark = judge.own[own]
    sensitivity, specificity = float(mark[human == 1].mean()), float(1 - mark[human == 0].mean())
    if sensitivity + specificity <= 1:
        return []
    positives, negatives = int((human == 1).sum()), int((human == 0).sum())
    found = rogan_gladen(
        float(judge.own.mean()), len(judge.own), sensitivity, positives, specificity, negatives
    )
    cut = f", cut from {found.uncut:.3f}" if found.uncut != found.value else ""
    note = f"sensitivity {sensitivity:.3f}, specificity {specificity:.3f}{cut}"
    low, high = (end * judge.top for end in found.interval)
    name = named(judge.headline, f"rogan-gladen:{len(own)}")
    return [Number(name, found.value * judge.top, (low, high), note)]


def _preference(ratings: np.ndarray, groups: Sequence[str]) -> tuple[Number, ...]:
    human = np.nanmean(ratings, axis=1).tolist()
    share = prediction_powered(human, human, [], 0.0, groups)
    low, high = max(0.0, share.interval[0]), min(1.0, share.interval[1])
    return (Number("preferred", share.value, (low, high), "share of pairs; a tie counts one half"),)


# -- agreement -----------------------------------------------------------------------------------


def _among_raters(ratings: np.ndarray, groups: Sequence[str], scale: str) -> list[Found]:
    if ratings.shape[1] < 2:
        return []
    level: agreement.Level = "nominal" if scale in (RIGHT_OR_WRONG.name, PAIR.name) else "ordinal"
    both = ~np.isnan(ratings[:, :2]).any(axis=1)

    def of_two(measure: Callable[..., float | None]) -> Measure:
        def measured(picked: np.ndarray) -> float | None:
            own = picked[both[picked]]
            return measure(ratings[own, 0], ratings[own, 1]) if len(own) else None

        return measured

    found: dict[str, Measure] = {
        "raters: pairwise agreement (ceiling)": lambda p: agreement.pairwise_agreement(ratings[p]),
        f"raters: Krippendorff's alpha, {level}": lambda p: agreement.krippendorff_alpha(
            ratings[p], level
        ),
        "raters: Fleiss' kappa": lambda p: agreement.fleiss_kappa(ratings[p]),
    }
    if ratings.shape[1] == 2:
        found["raters: Cohen's kappa"] = of_two(agreement.cohen_kappa)
        found["raters: Gwet's AC1"] = of_two(agreement.gwet_ac1)
    several = (~np.isnan(ratings)).sum(axis=1) > 1
    return _measured(found, groups, int(several.sum()))


def _with_judge(ratings: np.ndarray, judge: np.ndarray, groups: Sequence[str]) -> list[Found]:
    human = np.nanmean(ratings, axis=1)
    if not np.isfinite(judge).all():
        return []
    found: dict[str, Measure] = {}
    if np.isin(judge, (0, 1)).all() and np.isin(human, (0, 1)).all():
        found = {
            "judge: agreement": lambda p: agreement.share_equal(human[p], judge[p]),
            "judge: Cohen's kappa": lambda p: agreement.cohen_kappa(human[p], judge[p]),
            "judge: Gwet's AC1": lambda p: agreement.gwet_ac1(human[p], judge[p]),
            "judge: sensitivity": lambda p: _share(judge[p][human[p] == 1]),
            "judge: specificity": lambda p: _share(1 - judge[p][human[p] == 0]),
        }

    def rank(place: int) -> Measure:
        def measured(picked: np.ndarray) -> float | None:
            both = agreement.rank_correlations(human[picked], judge[picked])
            return None if both is None else both[place]

        return measured

    found |= {"judge: Spearman": rank(0), "judge: Kendall tau-b": rank(1)}
    found["judge: Krippendorff's alpha, interval"] = lambda p: agreement.krippendorff_alpha(
        np.stack([human[p], judge[p]], axis=1), "interval"
    )
    _, threshold = agreement.pairwise_accuracy(human.tolist(), judge.tolist())
    found[f"judge: pairs ordered as by people (ties up to {threshold:.3g}, fitted)"] = lambda p: (
        agreement.pairwise_accuracy(human[p].tolist(), judge[p].tolist())[0]
        if np.ptp(human[p]) or np.ptp(judge[p])
        else None  # all pairs are ties: nothing was ordered
    )
    return _measured(found, groups, len(human))


def _of_pairs(ratings: np.ndarray, judge: np.ndarray, groups: Sequence[str]) -> list[Found]:
    """``judge``: its mark of this run minus that of the other, sample by sample."""
    if not np.isfinite(judge).all():
        return []
    human = np.sign(np.nanmean(ratings, axis=1) - 0.5)
    found: dict[str, Measure] = {
        "judge: same preference, ties included": lambda p: agreement.share_equal(
            human[p], np.sign(judge[p])
        ),
        "judge: same preference where both have one": lambda p: _share(
            (human[p] == np.sign(judge[p]))[(human[p] != 0) & (judge[p] != 0)]
        ),
    }
    return _measured(found, groups, len(human))


def _share(marks: np.ndarray) -> float | None:
    return float(np.mean(marks)) if len(marks) else None


def _measured(found: Mapping[str, Measure], groups: Sequence[str], n: int) -> list[Found]:
    """Values with percentile intervals from the bootstrap of whole groups."""
    _, codes = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(codes == group) for group in range(codes.max() + 1)]
    every = np.arange(len(groups))
    rng = np.random.default_rng(0)
    drawn = [
        np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])
        for _ in range(RESAMPLES)
    ]
    rows = []
    for name, measure in found.items():
        value = measure(every)
        again = [v for v in (measure(picked) for picked in drawn) if v is not None]
        interval = None
        if value is not None and len(again) > RESAMPLES / 2:
            low, high = map(float, np.quantile(again, [0.025, 0.975]))
            # Where no resample differs, the spread is unknown, not zero.
            interval = (low, high) if high > low else None
        rows.append(Found(name, value, interval, n))
    return rows
