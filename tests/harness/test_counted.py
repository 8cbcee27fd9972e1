"""The number of samples beside a headline is the headline's own, wherever it is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import harmon_eval
from harmon_eval.ranking.entries import measured
from harmon_eval.report.scores import lines
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import results_by_task
from harmon_eval.trackers.results import numbers


def test_pope_s_headline_counts_one_image_in_three_everywhere(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    done = call("--model", "scripted", "--tasks", "pope", "--limit", 9, "--output", "some")
    run = harmon_eval.load(tmp_path / "some")
    pope, stored = run["pope"], results_by_task(RunFolder(run.path))
    told = f"{pope.counted} of {pope.total}"
    assert pope.counted == pope.counts[pope.headline].n < pope.n < pope.total
    assert f"({told})" in repr(run)
    assert f"n {told}" in done.err and told in done.out
    assert f"| {told} |" in (run.path / "table.md").read_text()
    assert f"of which the headline counts {pope.counted}" in pope.show()
    assert lines([stored], [])[0]["values"][0]["n"] == told
    assert numbers(stored["pope"])["pope/samples"] == pope.counted
    ranked = measured([run.path]).set_index("headline").loc[True]
    assert (ranked["n"], ranked["total"]) == (pope.counted, pope.total)
    board = call("leaderboard", "some")
    assert f"({told})" in board.out
