"""GenEval as a reward for training: shares by hand, from stored detections, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmon_eval import cli, registry
from harmon_eval.core import Unscorable
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites.mini.detector import ShapeDetector
from harmon_eval.tasks.geneval import graded, prompts
from harmon_eval.tasks.geneval.marks import mark_image, unknown_class

BOX = [10, 10, 20, 20, 0.95]


def share(metadata: dict[str, Any], **boxes: list[list[float]]) -> float:
    found = {name: np.array(own, np.float32).reshape(-1, 5) for name, own in boxes.items()}
    return graded.share_of_clauses(metadata, found, lambda name, i: "red")


def test_the_share_of_clauses_by_hand() -> None:
    four_dogs = prompts.counting("dog", 4)  # four, and not five
    assert share(four_dogs, dog=[BOX] * 4) == 1
    assert share(four_dogs, dog=[BOX] * 3) == 0.5
    assert share(four_dogs, dog=[BOX] * 5) == 0.5
    assert share(four_dogs) == 0  # no dogs are not "not five dogs"
    pair = prompts.position("cat", "left of", "dog")
    assert share(pair, dog=[[50, 10, 60, 20, 0.9]], cat=[BOX]) == 1
    assert share(pair, dog=[BOX], cat=[[50, 10, 60, 20, 0.9]]) == 0.5  # the wrong side
    assert share(prompts.color_attr("dog", "red", "cat", "blue"), dog=[BOX], cat=[BOX]) == 0.5
    assert share(prompts.single("dog")) == 0


def test_a_class_that_only_exclude_names_may_be_absent() -> None:
    metadata = {"tag": "single_object", "include": [{"class": "cat", "count": 1}]}
    metadata["exclude"] = [{"class": "dog", "count": 1}]
    assert share(metadata, cat=[BOX]) == 1
    assert share(metadata, cat=[BOX], dog=[BOX]) == 0.5


def test_what_a_trainer_sends_makes_the_target_and_flaws_are_named() -> None:
    item = prompts.counting("dog", 4)
    sent = {"tag": item["tag"], "include": item["include"], "exclude": item["exclude"]}
    assert graded.target(item["prompt"], sent) == item
    assert graded.target("four dogs", {"reward": "x"}) is None  # then the prompt is looked up
    for change, said in (
        ({"tag": "count"}, "metadata.tag"),
        ({"include": []}, "metadata.include"),
        ({"include": [{"class": "dog", "count": 0}]}, "include[0].count"),
        ({"include": [{"class": "dog", "count": 1, "color": "redd"}]}, "include[0].color"),
        ({"include": [{"class": "dog", "count": 1, "colour": "red"}]}, "include[0].colour"),
        ({"exclude": [{"class": "dog", "count": 1, "max": 2}]}, "exclude[0].max"),
        ({"exlude": []}, "metadata.exlude: not known: did you mean 'exclude'"),
    ):
        with pytest.raises(Unscorable, match=said.replace("[", r"\[")):
            graded.target("four dogs", {**sent, **change})
    with pytest.raises(Unscorable, match=r"metadata\.tag"):
        graded.target("four dogs", {"exclude": item["exclude"]})


def test_a_class_that_the_detector_cannot_find_is_no_zero() -> None:
    assert unknown_class(prompts.single("unicorn"), ShapeDetector()) == "unicorn"
    assert unknown_class(prompts.single("circle"), ShapeDetector()) == ""
    assert unknown_class(prompts.single("unicorn"), object()) == ""


@pytest.mark.parametrize("name", ["geneval:share", "geneval:flow_grpo"])
def test_a_run_has_rewards_from_its_stored_detections(name: str, tmp_path: Path) -> None:
    run, column = tmp_path / "run", name.partition(":")[2]
    command = ["--model", "scripted", "--limit", "6", "--output", str(run)]
    assert cli.main([*command, "--tasks", "geneval"]) == 0
    assert cli.main(["mark", str(run), "--tasks", name]) == 0
    base, task = RunFolder(run).task("geneval").rows(), registry.task(name)
    own = RunFolder(run).task(name).rows()
    assert own is not None and base is not None and task.reward is not None
    for (_, made), (_, official) in zip(own.iterrows(), base.iterrows(), strict=True):
        scores = task.reward.scores(dict(made))
        assert next(iter(scores.values())) == made[column]
        assert (made["share"] == 1) == official["correct"] if column == "share" else True
    total = task.summarize(own)[column]
    assert total == pytest.approx(own.groupby("tag")[column].mean().mean())


def test_the_official_reward_holds_the_verdict_first() -> None:
    boxes = {"dog": (np.array([BOX], np.float32), None)}
    row = mark_image(prompts.counting("dog", 4), np.zeros((64, 64, 3)), boxes, None)
    assert list(graded.OFFICIAL.scores(row).items()) == [("geneval", 0.0), ("share", 0.5)]
    frame = graded.VARIANTS["flow_grpo"](registry.task("geneval"))
    assert frame.from_marks is not None
    made = frame.from_marks(pd.DataFrame([row]))
    assert made["flow_grpo"].tolist() == [0.25]
