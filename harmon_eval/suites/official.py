"""The official suite: real prompts, real reference data, published instruments."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.files.cache import cache_folder, made_once
from harmon_eval.instruments.judge import Judge, JudgeOptions, open_judge
from harmon_eval.suites import official_weights
from harmon_eval.suites.official_files import FILES
from harmon_eval.tasks.gqa import files as gqa_files
from harmon_eval.tasks.mmbench import files as mmbench_files
from harmon_eval.tasks.mme import files as mme_folder
from harmon_eval.tasks.mmmu import files as mmmu_files
from harmon_eval.tasks.pope import files as pope_files
from harmon_eval.tasks.seed import files as seed_files


@dataclass(frozen=True)
class Needed:
    """``files``: patterns, one of which shows a task's folder, the published form first.
    ``source`` says where that comes from and what else belongs beside it."""

    files: tuple[str, ...]
    source: str


NEEDED: dict[str, Needed] = {
    "geneval": Needed(
        ("evaluation_metadata.jsonl",), "prompts/evaluation_metadata.jsonl of djghosh13/geneval"
    ),
    "geneval_fresh": Needed(
        ("evaluation_metadata.jsonl",), "a file of prompts in GenEval's format"
    ),
    "pope": Needed(
        pope_files.PATTERNS,
        "output/coco/*.json and output/seem/*/*.json of AoiDragon/POPE, and the images named there "
        "(COCO val2014, GQA) as images/",
    ),
    "mme": Needed(
        mme_folder.PATTERNS,
        "the 14 folders of MME_Benchmark_release_version (by request to the authors)",
    ),
    "mmbench": Needed(mmbench_files.PATTERNS, "VLMEvalKit's file MMBench_DEV_EN.tsv"),
    "seed": Needed(
        seed_files.PATTERNS,
        "SEED-Bench.json and SEED-Bench-image.zip, unpacked, of the dataset AILab-CVC/SEED-Bench",
    ),
    "gqa": Needed(
        gqa_files.PATTERNS,
        "testdev_balanced_questions.json of GQA's questions1.2.zip and images.zip, unpacked,",
    ),
    "mmmu": Needed(
        mmmu_files.PATTERNS, "the dataset MMMU/MMMU (one folder of Parquet files a subject)"
    ),
    "mjhq": Needed(
        ("meta_data.json",),
        "the dataset playgroundai/MJHQ-30K (meta_data.json, and mjhq30k_imgs.zip unpacked beside "
        "it to mjhq30k_imgs/CATEGORY/KEY.jpg)",
    ),
    "coco_fid": Needed(
        ("captions_val2014.json",),
        "annotations/captions_val2014.json of COCO 2014 (and its images beside it in val2014/)",
    ),
    "linear_probe": Needed(
        ("train*",),
        "ImageNet-1k, or a set of your own, as train/CLASS/*.JPEG and val/CLASS/*.JPEG, or as the "
        "hub's train-*.parquet and validation-*.parquet",
    ),
    "wise": Needed(
        ("cultural_common_sense.json",), "the three files of WISE_legacy/data in PKU-YuanGroup/WISE"
    ),
    "wise_verified": Needed(
        ("cultural_common_sense_verified.json",),
        "the three files of data_verified in PKU-YuanGroup/WISE",
    ),
    "dpg": Needed(
        ("dpg_bench.csv",),
        "the folder dpg_bench of TencentQQGYLab/ELLA (dpg_bench.csv, prompts/*.txt)",
    ),
    "synergy": Needed(
        ("synergy.jsonl",),
        "GenEval prompts with pictures and questions of your own (none are published; the format "
        "is in docs/tasks.md) and the pictures",
    ),
    "held_out": Needed(
        ("held_out.jsonl",),
        "prompts with pictures and questions that the model's training showed, and ones that it "
        "left out (they are its own affair; the format is in docs/tasks.md)",
    ),
}
# Prompts that are made here by the published procedure, with its seed and with another one.
MADE = ("geneval", "geneval_fresh")
# Tasks that have no data of their own.
SHARED = {"mjhq_gigagan256": "mjhq", "mjhq_pytorch_fid": "mjhq"}
DETECTORS = ("mask2former", "mmdet", "hf")


class OfficialSuite:
    """``data`` holds one folder a task, or the files of one task directly, and ``weights/``.

    What is not there is looked for in the cache, where ``prepare`` puts it. GenEval's prompts need
    no download: they are made by the official procedure and checked against their published
    sha256. ``detector`` is one of DETECTORS."""

    name = "official"
    images_per_prompt = 4

    def __init__(
        self,
        data: Path | None = None,
        detector: str | None = None,
        judge: JudgeOptions | None = None,
    ) -> None:
        detector = detector or DETECTORS[0]
        if detector not in DETECTORS:
            raise UserError(f"unknown detector {detector!r}: known are {', '.join(DETECTORS)}")
        self._data = data
        self._detector = detector
        self._judge_options = judge or JudgeOptions()

    @cached_property
    def _judge(self) -> Judge:
        return open_judge(self._judge_options)

    def data(self, task: str) -> Path:
        task = SHARED.get(task, task)
        if task not in NEEDED:
            raise UserError(f"the official suite knows no data for task {task!r}")
        needed = NEEDED[task]
        own = [self._data / task, self._data] if self._data is not None else []
        for folder in (*own, prepared_folder(task)):
            if any(any(folder.glob(file)) for file in needed.files):
                return folder
        if task in MADE:
            return made_once(cache_folder() / "official-1" / task, _write_prompts[task])
        place = f"{self._data}/{task}" if self._data else f"DIR/{task}"
        option = "" if self._data else " and pass --data DIR"
        command = f", or: python -m harmon_eval prepare {task}" if task in FILES else ""
        raise UserError(
            f"task {task!r} needs {needed.files[0]}: put {needed.source} into {place}{option}"
            f"{command}"
        )

    def instrument(self, name: str) -> Any:
        """Raises InstrumentMissing for what is not here: drawn images stay for ``mark``; UserError
        for an instrument that fails its self-test."""
        open_instrument = {
            "features": self._features,
            "detector": self._open_detector,
            "color": self._color,
            "judge": lambda: self._judge,
            "probe": _probes,
        }.get(name)
        if open_instrument is None:
            raise InstrumentMissing(f"the official suite has no instrument {name!r}")
        return open_instrument()

    def _features(self) -> Any:
        from harmon_eval.instruments.features import INCEPTION_FILE, inception_features, self_test

        # Where clean-fid itself keeps it, beside the places of all weights.
        folders = (cache_folder(), Path(tempfile.gettempdir()), Path("/tmp"))
        try:
            path = official_weights.find("features", self._data)
        except InstrumentMissing:
            found = [f / INCEPTION_FILE for f in folders if (f / INCEPTION_FILE).is_file()]
            if not found:
                raise
            path = found[0]
        features = inception_features(path)
        self_test(features)
        return features

    def _open_detector(self) -> Any:
        from harmon_eval.instruments.mask2former import detector as mask2former

        weights = "detector-hf" if self._detector == "hf" else "detector"
        path = official_weights.find(weights, self._data)
        if self._detector == "hf":
            detector: mask2former.Detector = mask2former.hub_detector(path.parent)
        elif self._detector == "mmdet":
            from harmon_eval.instruments.mask2former.mmdet import mmdet_detector

            detector = mmdet_detector(path)
        else:
            detector = mask2former.official_detector(path)
        mask2former.self_test(detector)
        return detector

    def _color(self) -> Any:
        from harmon_eval.instruments import clip_colors

        colors = clip_colors.official_colors(official_weights.find("color", self._data))
        clip_colors.self_test(colors)
        return colors


def _probes() -> Any:
    from harmon_eval.instruments.probe.probes import Probes

    return Probes()


def prepared_folder(task: str) -> Path:
    """Where ``prepare`` puts a task's data."""
    return cache_folder() / "data" / task


def _official_prompts(folder: Path) -> None:
    from harmon_eval.tasks.geneval.prompts import official_metadata

    (folder / "evaluation_metadata.jsonl").write_text(official_metadata(), encoding="utf-8")


def _fresh_prompts(folder: Path) -> None:
    from harmon_eval.tasks.geneval.prompts import fresh_metadata

    (folder / "evaluation_metadata.jsonl").write_text(fresh_metadata(), encoding="utf-8")


_write_prompts: dict[str, Callable[[Path], None]] = {
    "geneval": _official_prompts,
    "geneval_fresh": _fresh_prompts,
}
