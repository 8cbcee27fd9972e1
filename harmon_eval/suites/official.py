"""The official suite: real prompts, real reference data, published instruments."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.scoring.judge import Judge, JudgeOptions, open_judge
from harmon_eval.suites.cache import cache_folder, made_once

# File that shows a task's folder, where it comes from, and what else belongs beside it.
NEEDED: dict[str, tuple[str, str]] = {
    "geneval": (
        "evaluation_metadata.jsonl",
        "prompts/evaluation_metadata.jsonl of djghosh13/geneval",
    ),
    "mjhq": (
        "meta_data.json",
        "the dataset playgroundai/MJHQ-30K (meta_data.json, and mjhq30k_imgs.zip unpacked beside "
        "it to mjhq30k_imgs/CATEGORY/KEY.jpg)",
    ),
    "wise": (
        "cultural_common_sense.json",
        "the three files of WISE_legacy/data in PKU-YuanGroup/WISE",
    ),
    "wise_verified": (
        "cultural_common_sense_verified.json",
        "the three files of data_verified in PKU-YuanGroup/WISE",
    ),
    "dpg": (
        "dpg_bench.csv",
        "the folder dpg_bench of TencentQQGYLab/ELLA (dpg_bench.csv, prompts/*.txt)",
    ),
}
MISSING = {
    "detector": "the official GenEval detector (Mask2Former of MMDetection)",
    "color": "the official GenEval colour classifier (CLIP ViT-L/14)",
}


class OfficialSuite:
    """``data`` holds one folder a task, or the files of one task directly.

    GenEval's prompts need no download: they are made again by the official procedure and checked
    against their published sha256."""

    name = "official"
    images_per_prompt = 4

    def __init__(self, data: Path | None = None, judge: JudgeOptions | None = None) -> None:
        self._data = data
        self._judge_options = judge or JudgeOptions()

    @cached_property
    def _judge(self) -> Judge:
        return open_judge(self._judge_options)

    def data(self, task: str) -> Path:
        if task not in NEEDED:
            raise UserError(f"the official suite knows no data for task {task!r}")
        file, source = NEEDED[task]
        if self._data is not None:
            for folder in (self._data / task, self._data):
                if (folder / file).is_file():
                    return folder
        if task == "geneval" and self._data is None:
            return made_once(cache_folder() / "official-1" / task, _write_prompts)
        place = f"{self._data}/{task}" if self._data else f"DIR/{task}"
        option = "" if self._data else " and pass --data DIR"
        raise UserError(f"task {task!r} needs {file}: put {source} into {place}{option}")

    def instrument(self, name: str) -> Any:
        """Raises InstrumentMissing for what is not here: drawn images stay for ``mark``."""
        if name == "judge":
            return self._judge
        if name == "features":
            from harmon_eval.scoring.features import inception_features

            return inception_features()
        raise InstrumentMissing(
            f"{MISSING.get(name, f'the instrument {name!r}')} is not part of this version yet; "
            "what was drawn is stored in the official folder layout, ready for the authors' "
            "scorer, and `python -m harmon_eval mark RUN` will go on from it"
        )


def _write_prompts(folder: Path) -> None:
    from harmon_eval.scoring.geneval_prompts import official_metadata

    (folder / "evaluation_metadata.jsonl").write_text(official_metadata(), encoding="utf-8")
