"""Stream a dataset, from the hub or any other that the datasets library opens, to Parquet shards.

This is done once. Streaming keeps one copy on disk and none in memory. The shards have the hub's
own layout, so ``folder.py`` reads them in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.files.cache import cache_folder
from harmon_eval.tasks.linear_probe.folder import NAMES

SHARD = 1024  # rows; an ImageNet shard is about 110 MB
COMPLETE = "complete"


def streamed(name: str, fetching: bool = True) -> Path:
    """The folder with the shards of dataset ``name``, created on the first call.

    Raises UserError if that is not allowed (``fetching``), if the datasets library is missing, if
    the dataset cannot be opened, or if it has no image or no class label."""
    folder = cache_folder() / "datasets" / re.sub(r"[^\w.-]+", "-", name).strip("-.")
    if (folder / COMPLETE).exists():
        return folder
    if not fetching:
        raise UserError(
            f"the dataset {name!r}, which only the run folder names, is not here and would be "
            f"fetched: if that is what you want, name it yourself with --tasks linear_probe:{name}"
        )
    splits = _opened(name)
    for names in NAMES.values():
        found = next((own for own in names if own in splits), None)
        if found is None:
            raise UserError(f"dataset {name!r} has no split {' or '.join(names)}")
        write_shards(_encoded(name, splits[found]), folder, found)
    (folder / COMPLETE).touch()
    return folder


def _opened(name: str) -> Mapping[str, Any]:
    try:
        from datasets import IterableDatasetDict, load_dataset
    except ModuleNotFoundError:
        raise UserError(
            f"dataset {name!r} needs the package datasets: pip install 'harmon-eval[train]'"
        ) from None
    try:
        splits = load_dataset(name, streaming=True)
    except (OSError, ValueError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"dataset {name!r} cannot be opened ({line}): give a folder or a hub id "
            "that you have access to"
        ) from None
    if not isinstance(splits, IterableDatasetDict):
        raise UserError(f"dataset {name!r} has no splits")
    found: Mapping[str, Any] = splits
    return found


def _encoded(name: str, dataset: Any) -> Iterable[dict[str, Any]]:
    """Rows of ``image`` (still encoded) and ``label``, whatever the columns are called."""
    from datasets import ClassLabel
    from datasets import Image as ImageFeature

    features = dataset.features or {}
    columns = {
        kind: next((column for column, own in features.items() if isinstance(own, kind)), None)
        for kind in (ImageFeature, ClassLabel)
    }
    image, label = columns[ImageFeature], columns[ClassLabel]
    if image is None or label is None:
        raise UserError(f"dataset {name!r} has no {'image' if image is None else 'class label'}")
    dataset = dataset.cast_column(image, ImageFeature(decode=False))
    for row in dataset:
        data = row[image]["bytes"]
        if data is None:
            data = Path(row[image]["path"]).read_bytes()
        yield {"image": {"bytes": data}, "label": int(row[label])}


def write_shards(rows: Iterable[dict[str, Any]], folder: Path, split: str) -> None:
    """Write ``SPLIT-00000.parquet`` and so on. A shard is complete or absent, and an existing shard
    is not written again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    left, number = iter(rows), 0
    while shard := list(islice(left, SHARD)):
        file = folder / f"{split}-{number:05d}.parquet"
        if not file.exists():
            temporary = file.with_name(f".{file.name}.tmp")
            pq.write_table(pa.Table.from_pylist(shard), temporary, row_group_size=128)
            temporary.replace(file)
        number += 1
