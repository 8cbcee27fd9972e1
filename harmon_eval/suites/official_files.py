"""What ``prepare`` fetches for each task of the official suite: from where, to where, its digest.

Understanding tasks come as VLMEvalKit's tables, whose images lie inside and whose MD5 it publishes;
what only the original files can do stands in docs/official.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from harmon_eval.suites.official_weights import WEIGHTS


@dataclass(frozen=True)
class Remote:
    """A file at ``url`` that belongs at ``place`` below the data folder.

    ``sha256`` and ``md5`` are as much of the digest as its publisher states, from the left; empty
    where none does. ``unpack`` is a pattern of the members of an archive to unpack beside it; its
    group is their place there."""

    url: str
    place: str
    sha256: str = ""
    md5: str = ""
    unpack: str = ""


def _weights(instrument: str, sha256: str) -> Remote:
    wanted = WEIGHTS[instrument]
    return Remote(wanted.source, f"weights/{wanted.names[0]}", sha256)


def _table(task: str, place: str, md5: str) -> tuple[Remote]:
    """One of VLMEvalKit's TSV files."""
    file = place.rpartition("/")[2]
    return (Remote(f"https://opencompass.openxlab.space/utils/{place}", f"{task}/{file}", md5=md5),)


def _wise(task: str, folder: str, digests: dict[str, str]) -> tuple[Remote, ...]:
    return tuple(
        Remote(f"{WISE}/{folder}/{file}", f"{task}/{file}", sha256)
        for file, sha256 in digests.items()
    )


MJHQ = "https://huggingface.co/datasets/playgroundai/MJHQ-30K/resolve/main"
COCO = "http://images.cocodataset.org"
WISE = (
    "https://raw.githubusercontent.com/PKU-YuanGroup/WISE/eb51174483a5de2e34e8614cf9dfb3319ee7fcd0"
)
DETECTION = (
    _weights("detector", "743b7d99"),
    _weights("color", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
)
MJHQ_FILES = (
    _weights("features", ""),
    Remote(f"{MJHQ}/meta_data.json", "mjhq/meta_data.json"),
    Remote(
        f"{MJHQ}/mjhq30k_imgs.zip",
        "mjhq/mjhq30k_imgs.zip",
        unpack=r"(mjhq30k_imgs/[\w-]+/[\w-]+\.(?:jpg|jpeg|png|webp))",
    ),
)
FILES: dict[str, tuple[Remote, ...]] = {
    # Their prompts are made here; those of synergy and held_out nobody publishes.
    **dict.fromkeys(("geneval", "geneval_fresh", "synergy", "held_out"), DETECTION),
    **dict.fromkeys(("mjhq", "mjhq_gigagan256", "mjhq_pytorch_fid"), MJHQ_FILES),
    "coco_fid": (
        _weights("features", ""),
        Remote(
            f"{COCO}/annotations/annotations_trainval2014.zip",
            "coco_fid/annotations_trainval2014.zip",
            unpack=r"annotations/(captions_val2014\.json)",
        ),
        Remote(
            f"{COCO}/zips/val2014.zip",
            "coco_fid/val2014.zip",
            md5="a3d79f5ed8d289b7a7554ce06a5782b3",
            unpack=r"(val2014/COCO_val2014_\d{12}\.jpg)",
        ),
    ),
    "pope": _table("pope", "VLMEval/POPE.tsv", "c12f5acb142f2ef1f85a26ba2fbe41d5"),
    "mme": _table("mme", "VLMEval/MME.tsv", "b36b43c3f09801f5d368627fb92187c3"),
    **{
        name: _table("mmbench", f"benchmarks/MMBench/MMBench_{part}.tsv", md5)
        for name, part, md5 in (
            ("mmbench", "DEV_EN", "b6caf1133a01c6bb705cf753bb527ed8"),
            ("mmbench:test_en", "TEST_EN", "6939fadb0ce626fefc0bdc9c64efc528"),
            ("mmbench:dev_cn", "DEV_CN", "08b8fc3324a5ed74155350f57be69fbd"),
            ("mmbench:test_cn", "TEST_CN", "7e1239baf0ee4c8b513e19705a0f317e"),
        )
    },
    "seed": _table(
        "seed", "benchmarks/SEEDBench/SEEDBench_IMG.tsv", "68017231464752261a2526d6ca3a10c0"
    ),
    "gqa": _table("gqa", "VLMEval/GQA_TestDev_Balanced.tsv", "99b62f22e224d9b2f32dcbe41359d1c9"),
    "mmmu": _table("mmmu", "VLMEval/MMMU_DEV_VAL.tsv", "585e8ad75e73f75dcad265dfd0417d64"),
    "wise": _wise("wise", "WISE_legacy/data", {
        "cultural_common_sense.json":
            "7a59216c768698280cea37caa574b52f3faf054d73b398b9bb6b3161baf8e3aa",
        "spatio-temporal_reasoning.json":
            "e27d797885ad86e64d857d0cc93d33e04be572a8dcae95692a2c7e7876233f9a",
        "natural_science.json":
            "b262fae58e413c7a4bd3c3d5a089f8c6529feac227e4b6606be261a949035544",
    }),
    "wise_verified": _wise("wise_verified", "data_verified", {
        "cultural_common_sense_verified.json":
            "23482925266e2784b2ba24b75239fdc6691bf85ae253d2c4aa38b71b45fefa89",
        "spatio-temporal_reasoning_verified.json":
            "42c0b9d829365e392c2d4af283850dc76b1f922ab0c79198366de4f306eaf2b6",
        "natural_science_verified.json":
            "6f346c336f16f611e5c73e0fcacdccb336c200d534cf111526b22d50ea912555",
    }),
    "dpg": (
        Remote(
            "https://github.com/TencentQQGYLab/ELLA/archive/3c228f1.zip",
            "dpg/ELLA.zip",
            unpack=r"[^/]+/dpg_bench/(dpg_bench\.csv|prompts/[\w-]+\.txt)",
        ),
    ),
}  # fmt: skip
