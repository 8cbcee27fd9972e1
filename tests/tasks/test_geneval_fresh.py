"""Fresh prompts: GenEval's grammar and sizes from another seed, marked by GenEval's own rules."""

import json
from collections import Counter
from pathlib import Path

import pytest

from harmon_eval.core import UserError
from harmon_eval.suites import load
from harmon_eval.tasks import geneval_fresh
from harmon_eval.tasks.geneval import prompts
from harmon_eval.tasks.geneval import task as geneval


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path))


def test_the_official_suite_makes_the_same_fresh_prompts_everywhere() -> None:
    items = [json.loads(line) for line in prompts.fresh_metadata().splitlines()]
    official = prompts.generate(prompts.OFFICIAL_SEED)
    counts = Counter(item["tag"] for item in items)
    assert counts["single_object"] == 80
    assert all(
        90 <= counts[tag] <= 100 for tag in prompts.TAGS if tag not in ("single_object", "counting")
    )
    assert 70 <= counts["counting"] <= 100
    new = [item for item in items if item not in official]
    assert len(new) > 400
    task = geneval_fresh.TASK
    samples = list(task.samples(load("official").data("geneval_fresh", task)))
    assert len(samples) == 4 * len(items)


def test_another_numpy_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "FRESH_SEED", 7)
    with pytest.raises(UserError, match="does not reproduce the fresh prompts"):
        prompts.fresh_metadata()


def test_the_mini_suite_has_its_own_and_the_rules_are_genevals() -> None:
    mini = load("mini")
    fresh, known = (
        {sample.request.prompt for sample in task.samples(mini.data(name, task))}
        for name, task in (("geneval_fresh", geneval_fresh.TASK), ("geneval", geneval.TASK))
    )
    assert fresh - known and len(fresh) > 80
    assert geneval_fresh.TASK.mark is geneval.TASK.mark
    assert geneval_fresh.TASK.summarize is geneval.TASK.summarize
