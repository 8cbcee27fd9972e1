"""The mini suite: benchmarks in their official file formats, made from rendered scenes."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any

from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.files.cache import cache_folder, made_once
from harmon_eval.instruments.judge import Judge, JudgeOptions, open_judge

VERSION = "3"


class MiniSuite:
    """Made deterministically on first use into the user's cache; instruments are rules and a small
    bundled feature network."""

    name = "mini"
    images_per_prompt = 4

    def __init__(self, data: Path | None = None, judge: JudgeOptions | None = None) -> None:
        self._data = data
        self._judge_options = judge or JudgeOptions()

    @cached_property
    def _judge(self) -> Judge:
        from harmon_eval.suites.mini.judge import RuleJudge

        return open_judge(self._judge_options, RuleJudge())

    def data(self, task: str) -> Path:
        if self._data is not None:
            folder = self._data / task
            return folder if folder.is_dir() else self._data
        twins = {
            "geneval_fresh": "geneval.mini_fresh",
            "mjhq_gigagan256": "mjhq.mini_gigagan256",
            "mjhq_pytorch_fid": "mjhq.mini_pytorch_fid",
            "wise_verified": "wise.mini_verified",
        }
        name = f"harmon_eval.tasks.{twins.get(task, task + '.mini')}"
        if importlib.util.find_spec(name.rpartition(".")[0]) is None:
            raise UserError(f"the mini suite has no data for task {task!r}: pass --data DIR")
        make = importlib.import_module(name).make
        return made_once(cache_folder() / f"mini-{VERSION}" / task, make)

    def instrument(self, name: str) -> Any:
        if name == "detector":
            from harmon_eval.suites.mini.detector import ShapeDetector

            return ShapeDetector()
        if name == "color":
            from harmon_eval.suites.mini.colors import ColorNamer

            return ColorNamer()
        if name == "judge":
            return self._judge
        if name == "probe":
            from harmon_eval.instruments.probe.probes import Probes

            return Probes()
        if name == "features":
            from harmon_eval.instruments.features import mini_features

            return mini_features()
        raise InstrumentMissing(f"the mini suite has no instrument {name!r}")
