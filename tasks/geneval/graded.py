"""GenEval as a reward for training: the official verdict, a share of clauses, Flow-GRPO's numbers.

``geneval:share`` is ours: the share of the prompt's clauses that hold by GenEval's rules, from 0 to
1, and 1 exactly where the image is correct. "Not five dogs" is no merit of an image without dogs: a
clause of ``exclude`` counts as held only if the prompt does not ask for its class, or some are
there.

``geneval:flow_grpo`` is the arithmetic of yifan123/reward-server @ 92ac29f, which Flow-GRPO trains
with. It is not GenEval: counts must be exact, a wrong position still gets 0.75, ``exclude`` is
ignored, and a reward may be below 0. Colours are read from images with red and blue in their
places, which that server swaps for its detector.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import Answer, Instruments, Metric, Reward, Row, Sample, Task, Unscorable
from harmon_eval.metrics.rows import of
from harmon_eval.metrics.shares import mean_of, share
from harmon_eval.settings import did_you_mean
from harmon_eval.tasks.geneval.layout import fault
from harmon_eval.tasks.geneval.prompts import TAGS
from harmon_eval.tasks.geneval.rules import (
    PUBLISHED,
    ColorOf,
    Found,
    Protocol,
    counted,
    failures,
    relative_position,
)

if TYPE_CHECKING:
    import pandas as pd

FIELDS = ("tag", "include", "exclude")
MOST_CLAUSES = 100  # of a prompt that a trainer sends


def share_of_clauses(
    metadata: Mapping[str, Any],
    detections: Mapping[str, np.ndarray],
    color_of: ColorOf,
    protocol: Protocol = PUBLISHED,
) -> float:
    """How many of the clauses hold, as a share. The arguments are those of ``rules.verdict``."""
    objects = counted(metadata, detections, protocol)
    included, excluded = failures(metadata, objects, color_of, protocol)
    asked = {clause["class"] for clause in metadata["include"]}
    held = [failure is None for failure in included]
    for clause, failure in zip(metadata.get("exclude", []), excluded, strict=True):
        held.append(
            failure is None and (clause["class"] in objects or clause["class"] not in asked)
        )
    return sum(held) / len(held)


def flow_grpo(
    metadata: Mapping[str, Any],
    objects: Mapping[str, Sequence[Found]],
    color_of: ColorOf,
    protocol: Protocol = PUBLISHED,
) -> tuple[float, bool]:
    """Flow-GRPO's (reward, strictly correct) for the ``objects`` that count, by class."""
    marks: list[float] = []
    matched: list[Sequence[Found] | None] = []
    strict = True
    for clause in metadata["include"]:
        name, count = clause["class"], clause["count"]
        found = objects.get(name, [])
        marks.append(_nearness(len(found), count))
        right = len(found) == count
        if not right and ("color" in clause or "position" in clause):
            marks.append(0.0)
        if right and "color" in clause:
            of_color = [color_of(name, each.row) for each in found].count(clause["color"])
            marks.append(_nearness(of_color, count))
            right = of_color == count
        if right and "position" in clause:
            relation, reference = clause["position"]
            right = _placed(found, relation, matched[reference], protocol)
            # The original adds its 1 after a miss too, unless there is nothing to be placed by.
            marks += [1.0] if right else [0.0] if matched[reference] is None else [0.0, 1.0]
        matched.append(found if right else None)
        strict &= right
    return (sum(marks) / len(marks) if marks else 0.0), strict


def _nearness(found: int, wanted: int) -> float:
    """1 for the right number, less by how far it is off; below 0 beyond twice the number."""
    return 1 - abs(wanted - found) / wanted


def _placed(
    found: Sequence[Found], relation: str, targets: Sequence[Found] | None, protocol: Protocol
) -> bool:
    return targets is not None and all(
        relation in relative_position(one.box, target.box, protocol.position_threshold)
        for one in found
        for target in targets
    )


# -- rows ----------------------------------------------------------------------------------------

Stored = tuple[dict[str, Any], dict[str, "np.ndarray"], ColorOf]


def _stored(row: Mapping[str, Any]) -> Stored:
    """The metadata of a row, its detections, and the colours that were named."""
    boxes = {name: np.array(b, np.float32) for name, b in json.loads(row["detections"]).items()}
    colors = json.loads(row["colors"])
    return json.loads(row["metadata"]), boxes, lambda name, i: colors[name][i]


def _share_columns(row: Mapping[str, Any]) -> Row:
    return {"share": share_of_clauses(*_stored(row))}


def _flow_grpo_columns(row: Mapping[str, Any]) -> Row:
    metadata, boxes, color_of = _stored(row)
    reward, strict = flow_grpo(metadata, counted(metadata, boxes, PUBLISHED), color_of)
    return {"flow_grpo": reward, "strict": strict}


Columns = Callable[[Mapping[str, Any]], Row]


def _mark(
    answers: Sequence[Answer], instruments: Instruments, task: Task, added: Columns
) -> list[Row]:
    rows = task.mark(answers, instruments)
    return [row if row.get("unscored") else {**row, **added(row)} for row in rows]


def _from_marks(rows: pd.DataFrame, added: Columns) -> pd.DataFrame:
    import pandas as pd

    own = [added(row) for row in rows.to_dict("records")]
    return rows.assign(**pd.DataFrame(own, index=rows.index))


def _summarize(rows: pd.DataFrame, column: str) -> dict[str, float]:
    """The unweighted mean over the tags present of the mean of ``column``, and each tag's."""
    tags = rows[column].astype(float).groupby(rows["tag"]).mean()
    found = {column: float(tags.mean()), **{t: float(tags[t]) for t in TAGS if t in tags.index}}
    strict = {"strict": float(rows["strict"].astype(bool).mean())} if "strict" in rows else {}
    return found | strict


def _share_bounds(sample: Sample) -> tuple[Row, Row]:
    return {"tag": sample.stratum, "share": 0.0}, {"tag": sample.stratum, "share": 1.0}


# -- the variants --------------------------------------------------------------------------------


def _variant(task: Task, name: str, added: Columns, differs: str, **changes: Any) -> Task:
    about = replace(
        task.about,
        version=f"{task.version}, {name}",
        differs=f"{differs} {task.about.differs}",
        compares="With itself only: it is a reward for training, not the benchmark's score.",
    )
    return replace(
        task,
        mark=partial(_mark, task=task, added=added),
        from_marks=partial(_from_marks, added=added),
        summarize=partial(_summarize, column=name),
        about=about,
        rewritten="",
        **changes,
    )


def _share(task: Task) -> Task:
    return _variant(
        task,
        "share",
        _share_columns,
        "The share of clauses that hold, instead of the verdict.",
        metrics=(
            Metric("share", headline=True, mean_of=mean_of(TAGS)),
            *(Metric(tag, rows=of("tag"), of=share("share")) for tag in TAGS),
        ),
        bounds=_share_bounds,
        columns=("tag", "share"),
        reward=Reward(_share_scores, target, reads_base=True),
    )


def _flow_grpo(task: Task) -> Task:
    return _variant(
        task,
        "flow_grpo",
        _flow_grpo_columns,
        "Flow-GRPO's arithmetic (yifan123/reward-server @ 92ac29f), which is not GenEval's; "
        "`strict` is its strict reward.",
        # Rewards have no lower end, so neither shares nor bounds.
        metrics=(
            Metric("flow_grpo", headline=True),
            Metric("strict", of=share("strict")),
            *(Metric(tag, rows=of("tag")) for tag in TAGS),
        ),
        bounds=None,
        columns=("tag", "flow_grpo", "strict"),
        reward=Reward(_flow_grpo_scores, target, reads_base=True),
    )


VARIANTS = {"share": _share, "flow_grpo": _flow_grpo}


# -- rewards -------------------------------------------------------------------------------------


def target(prompt: str, metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A line of GenEval's metadata from what a trainer sends beside the prompt."""
    if not metadata.keys() & set(FIELDS):
        return None
    for name in metadata.keys() - {*FIELDS, "prompt"}:
        raise Unscorable(f"metadata.{str(name)[:60]}: not known: {did_you_mean(str(name), FIELDS)}")
    made = {field: metadata[field] for field in FIELDS if metadata.get(field) is not None}
    made["prompt"] = prompt.strip() or metadata.get("prompt")
    if flaw := fault(made):
        raise Unscorable(f"metadata.{flaw}")
    if (clauses := len(made["include"]) + len(made.get("exclude", ()))) > MOST_CLAUSES:
        raise Unscorable(f"metadata has {clauses} clauses: at most {MOST_CLAUSES} are read")
    return made


def _official_scores(row: Row, protocol: Protocol) -> dict[str, float]:
    share_held = share_of_clauses(*_stored(row), protocol)
    return {"geneval": float(row["correct"]), "share": share_held}


def _share_scores(row: Row) -> dict[str, float]:
    own = row if "share" in row else _share_columns(row)
    return {"share": own["share"], "geneval": float(row["correct"])}


def _flow_grpo_scores(row: Row) -> dict[str, float]:
    own = row if "flow_grpo" in row else _flow_grpo_columns(row)
    return {"score": own["flow_grpo"], "strict": float(own["strict"])}


def official(protocol: Protocol) -> Reward:
    return Reward(partial(_official_scores, protocol=protocol), target)


OFFICIAL = official(PUBLISHED)
