"""What ``summarize`` gets: all columns as they are, or those that a task names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
from harmon_eval.core import About, Ask, Metric, Sample, Task

def samples(data):
    for k in range(6):
        stratum = "even" if k % 4 < 2 else "odd"
        group = f"pair-{{k // 2}}"
        yield Sample(f"id-{{k}}", Ask("Is it red?"), {{}}, group=group, stratum=stratum)

def summarize(rows):
    named = float(rows["group"].astype(str).str.startswith("pair-").mean())
    ids = float("id" in rows and rows["id"].str.startswith("id-").all())
    strata = len({{"even", "odd"}} & {{*rows["stratum"]}})
    correct = float(rows["correct"].mean())
    return {{"correct": correct, "named": named, "ids": ids, "strata": strata}}

TASK = Task(
    samples=samples,
    mark=lambda answers, instruments: [{{"correct": True}} for _ in answers],
    summarize=summarize,
    metrics=(Metric("correct", headline=True), Metric("named"), Metric("ids"),
             Metric("strata", maximum=None)),
    about=About(paper="none", version="1"),
    {columns}
)
"""


@pytest.mark.parametrize(
    ("columns", "named", "ids"),
    [
        ("", 1, 1),
        ('columns=("correct",), columns_once=(),', 0, 0),
        ('columns=("correct", "group", "id"),', 1, 1),
    ],
)
def test_a_task_that_names_no_columns_sees_all_of_them(
    call: Callable[..., Any], tmp_path: Path, columns: str, named: int, ids: int
) -> None:
    (tmp_path / "kept.py").write_text(PLUGIN.format(columns=columns))
    mine = ("--include", "kept.py")
    for name in "ab":
        done = call(*mine, "--model", "scripted", "--tasks", "kept", "--output", name)
        assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "a" / "kept" / "metrics.json").read_text())["metrics"]
    found = {name: metrics[name] for name in ("correct", "named", "ids", "strata")}
    assert found == {"correct": 1, "named": named, "ids": ids, "strata": 2}
    compared = call("compare", *mine, "a", "b", "--all-metrics")
    assert compared.code == 0, compared.err
