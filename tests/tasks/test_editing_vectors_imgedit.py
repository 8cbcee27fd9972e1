"""ImgEdit-Bench against its own scripts and those of other toolkits, on the vectors' replies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmon_eval.tasks.imgedit import rules
from harmon_eval.tasks.imgedit.task import summarize
from tests.vectors import check

LABELS = rules.TYPES["replace"].labels


def official(reply: Any) -> Any:
    try:
        return rules.original_mean(reply)
    except (ValueError, AttributeError) as error:
        return {"raises": type(error).__name__}


def torchumm(reply: str) -> Any:
    """The original's reading, or the mean of all digits 1 to 5 that stand alone."""
    found = official(reply)
    if found is None and (digits := re.findall(r"(?<!\d)[1-5](?!\d)", reply)):
        return round(sum(map(int, digits)) / len(digits), 2)
    return found


def lmms_eval(reply: Any) -> list[float]:
    """The last three numbers behind colons, else at the ends of lines, else three zeros."""
    text = reply if isinstance(reply, str) else ""
    lines = (re.search(r"(\d+)\s*$", line.strip()) for line in text.strip().split("\n"))
    for found in (re.findall(r":\s*(\d+)", text), [line[1] for line in lines if line]):
        if len(found) >= 3:
            return [float(number) for number in found[-3:]]
    return [0.0] * 3


def test_what_lmms_eval_reads_and_gives_zeros_for(imgedit_parse: Any) -> None:
    if "lmms_eval" in imgedit_parse:
        assert lmms_eval(imgedit_parse["reply"]) == imgedit_parse["lmms_eval"]


def test_the_original_reader(imgedit_parse: Any) -> None:
    reply = imgedit_parse["reply"]
    found = {"official": official(reply)}
    if "torchumm" in imgedit_parse:  # not recorded for every reply
        found["torchumm"] = torchumm(reply)
    check(imgedit_parse, found)


def test_what_the_original_reads_is_read_and_nothing_off_the_scale(imgedit_parse: Any) -> None:
    reply = imgedit_parse["reply"]
    if not isinstance(reply, str):
        return
    found = rules.parse(reply, LABELS)
    if found is not None:
        assert all(1 <= value <= 5 for value in found.values)
    if isinstance(official(reply), float):
        sound = all(1 <= n <= 5 for n in rules.original_scores(reply))
        assert (found is not None) == sound or (found is not None and found.rule == "labels")


def test_uge_replies(imgedit_uge_parse: Any) -> None:
    reply = imgedit_uge_parse["reply"]
    assert official(reply) == imgedit_uge_parse["official"]
    found = rules.parse(reply, ("Score",))
    if imgedit_uge_parse["official"] is not None:
        assert found is not None and found.mean == imgedit_uge_parse["official"]


def test_the_average_of_uge(vectors: Any) -> None:
    scores = [official(entry["reply"]) for entry in vectors["imgedit_uge_parse"]]
    known = [score for score in scores if score is not None]
    assert sum(known) / len(known) == vectors["imgedit_uge_average"]


def per_image(items: Any) -> Mapping[str, float]:
    found = {item["key"]: official(item["reply"]) for item in items}
    return {key: score for key, score in found.items() if isinstance(score, float)}


def test_types_and_the_totals_of_each_toolkit(imgedit_aggregate: Any) -> None:
    items, unknown = imgedit_aggregate["items"], imgedit_aggregate["unknown_keys"]
    kinds = {item["key"]: item["edit_type"] for item in items if item["key"] not in unknown}
    scores = per_image(items)
    means = rules.type_means((kinds[key], s) for key, s in scores.items() if key in kinds)
    mean = sum(means.values()) / len(means)
    bagel = np.mean(list(scores.values()))
    fallback = [torchumm(item["reply"]) for item in items if item["key"] in kinds]
    known = [score for score in fallback if isinstance(score, float)]
    zeros_too = [sum(lmms_eval(item["reply"])) / 3 for item in items]
    found = {
        "per_image": scores,
        "official_types": means,
        "mean_of_types": pytest.approx(mean, abs=1e-4),
        "genedit_eval_kit_overall": round(mean, 2),
        "bagel_overall": pytest.approx(bagel, abs=0.0051),
        "torchumm_overall": pytest.approx(np.mean(known), abs=0.0051),
        "lmms_eval_overall": pytest.approx(np.mean(zeros_too), abs=1e-5),
    }
    check(imgedit_aggregate, found)


def test_the_task_reports_the_originals_figure_for_the_same_replies(imgedit_aggregate: Any) -> None:
    unknown = imgedit_aggregate["unknown_keys"]
    rows = []
    for item in imgedit_aggregate["items"]:
        kind = rules.OLD_NAMES.get(item["edit_type"], item["edit_type"])
        found = rules.parse(item["reply"], rules.TYPES[kind].labels)
        if item["key"] in unknown or found is None:
            continue
        original = official(item["reply"])
        rows.append({"edit_type": kind, "score": found.mean, "original": original})
    table = pd.DataFrame(rows).assign(judge="j", rubric_kind="given")
    metrics = summarize(table, "imgedit")
    (name,) = (name for name in metrics if name.startswith("as_published"))
    assert metrics[name] == pytest.approx(imgedit_aggregate["mean_of_types"], abs=1e-4)
    (headline,) = (name for name in metrics if name.startswith("imgedit["))
    assert ("of 9 types" in headline) == (len(table["edit_type"].unique()) < 9)
    assert math.isfinite(metrics[headline])
