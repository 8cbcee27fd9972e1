"""GEdit-Bench: does the result do what the instruction says, change nothing else, and look right?

Paper: Liu et al. 2025, arXiv 2504.17761. Protocol: stepfun-ai/Step1X-Edit @ 570eba6. A judge gives
two pairs of scores from 0 to 10 for each result: SC is the lower one of success and restraint, PQ
of naturalness and freedom from faults, O the square root of SC x PQ. The headline is the unweighted
mean of O over the groups. ``gedit`` asks the English instructions, ``gedit:cn`` the Chinese ones,
``gedit:full`` both; ``_intersection`` is the part that all models of the paper returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harmon_eval.core import (
    About,
    Data,
    Edit,
    Metric,
    Sample,
    Source,
    Task,
    UserError,
    count,
)
from harmon_eval.instruments.editing import label_of
from harmon_eval.instruments.rubrics import read_rubric
from harmon_eval.metrics.rows import Mask, both, having
from harmon_eval.metrics.shares import Share, mean_over, share
from harmon_eval.suites.mini.edit_images import FLOORS, floors
from harmon_eval.tasks.gedit import files, marks, mini, rules

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = {"": ("en",), "en": ("en",), "cn": ("cn",), "full": ("en", "cn")}


def samples(data: Data, languages: Sequence[str]) -> Iterator[Sample]:
    """Raises UserError for files with a flaw, or without instructions in these languages."""
    folder = data.folder
    rubric, found = read_rubric(folder, Path(__file__).parent, rules.RUBRICS), 0
    rows = list(files.read_table(folder))
    for row in rows:
        language, group, key = row["instruction_language"], row["task_type"], row["key"]
        if language not in languages:
            continue
        found += 1
        name = files.sample_id(language, group, key, row["occurrence"])
        target = {
            **{"task_type": group, "key": key, "occurrence": row["occurrence"]},
            **{"language": language, "instruction": row["instruction"]},
            "intersection": bool(row["Intersection_exist"]),
            **rubric.texts,
            **{"rubric": rubric.digest(), "rubric_kind": rubric.kind},
            "floors": floors(folder, name, row["input_image"]),
        }
        request = Edit((row["input_image"],), row["instruction"], language)
        yield Sample(name, request, target, f"{group}/{key}", group)
    if not found:
        other = ", ".join(sorted({row["instruction_language"] for row in rows}))
        raise UserError(
            f"{folder} has no instructions in {' or '.join(languages)}, only in {other}: the "
            "published files (--suite official) have en and cn"
        )


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Per language: O, SC and PQ as averages of groups, O of each group, and means of samples."""
    label = label_of(rows)
    found: dict[str, float] = {}
    for language in files.LANGUAGES:
        own = rows[rows["language"] == language]
        found |= rules.totals(own, f"gedit_{language}", label)
        shared = own[own["intersection"].astype(bool)]
        found |= rules.totals(shared, f"gedit_{language}_intersection", label)
        if len(own):
            means = rules.group_means(own, "O")
            found |= {f"{language}/{g}": mean for g, mean in means.items() if mean == mean}
            found[f"sample_mean_{language}[{label}]"] = float(own["O"].mean())
    if "original_guesses" in rows:
        found["official_would_guess"] = float(rows["original_guesses"].sum())
        found["official_would_loop"] = float(rows["original_loops"].sum())
    return found


def files_after(asked: Sequence[Sample], rows: pd.DataFrame) -> Mapping[str, str]:
    return files.score_tables(rows) if len(rows) else {}


def _metrics(languages: Sequence[str]) -> tuple[Metric, ...]:
    found = []
    for place, language in enumerate(languages):
        own = having("language", language)
        shared = both(own, having("intersection", True))
        for part, keep in (("", own), ("_intersection", shared)):
            for score, end in (("O", ""), ("SC", "_SC"), ("PQ", "_PQ")):
                name, of = f"gedit_{language}{part}{end}[*]", _average(score, keep)
                head = not (place or part or end)
                found.append(Metric(name, maximum=10.0, rows=keep, of=of, headline=head))
        of = share("O", 10.0)
        found.append(Metric(f"sample_mean_{language}[*]", maximum=10.0, rows=own, of=of))
        for group in files.GROUPS:
            keep = both(own, having("task_type", group))
            found.append(Metric(f"{language}/{group}", maximum=10.0, rows=keep, of=of))
    return (*found, count("official_would_guess"), count("official_would_loop"))


def _average(score: str, keep: Mask) -> Share:
    return mean_over(score, "task_type", keep, 10.0)


def open_task(argument: str = "") -> Task:
    """``gedit``, ``gedit:cn`` or ``gedit:full``. Raises UserError for another variant."""
    if argument not in VARIANTS:
        raise UserError(f"gedit:{argument}: give cn, full, or nothing for English")
    languages = VARIANTS[argument]
    return Task(
        samples=partial(samples, languages=languages),
        mark=marks.mark,
        summarize=summarize,
        metrics=_metrics(languages),
        about=ABOUT,
        sources={"official": files.OFFICIAL, "mini": Source(make=mini.make)},
        instruments={"judge": ""},
        judged=marks.judged,
        bounds=marks.bounds,
        files_after=files_after,
        also=("gedit_bench",),
        layout=files.read_images,
        layout_shown="fullset/GROUP/LANGUAGE/KEY.png",
        published=files.published,
        floors=FLOORS,
        columns=(
            *("task_type", "language", "intersection", "judge", "rubric_kind"),
            *(*rules.SCORES, "original_guesses", "original_loops"),
        ),
    )


ABOUT = About(
    paper="arXiv 2504.17761",
    version="1",
    protocol="stepfun-ai/Step1X-Edit @ 570eba6, GEdit-Bench; VIEScore @ 2cbea4e",
    differs="Replies without scores are asked for again, only the call that failed, and are then "
    "unscored with bounds; the original draws a random number or asks without end, and counts "
    "`official_would_guess` and `official_would_loop` say how often. A score outside 0 to 10 is "
    "none. Missing results are unscored instead of skipped. Temperature is 0 (the original's 1: "
    "`--judge-body '{\"temperature\": 1}'`). The rubric is our wording, which the metric's name "
    "says, unless you give the official one (docs/editing.md).",
    compares="lmms-eval and evalscope take the mean over samples, which is `sample_mean_*`; they "
    "give failures zeros and send images in other sizes. Published rows are of GPT-4.1 and differ "
    "by up to 0.5 between 2025-04 and mid-2025 for a model. A copied source gets SC 0.",
    licence="MIT by its card (stepfun-ai/GEdit-Bench)",
    size="606 English and 606 Chinese instructions in 11 groups; mini: 120 in 6 groups",
    cost="two judge calls a result; about 1.1 million tokens in for one language",
)
TASK = open_task()
