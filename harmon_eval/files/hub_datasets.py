"""Rows of a dataset by the names that a task gives its columns: ``NAME?question=q&split=test``.

NAME is a Parquet file, a folder (of Parquet files, of ``save_to_disk``, or any that the datasets
library reads), or a dataset of the Hugging Face hub. The library is imported only for what is no
Parquet. What was read is kept in the cache as one Parquet file: pictures as their bytes, names of
classes instead of their numbers, everything else as text, lists or yes and no.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harmon_eval import settings
from harmon_eval.core import UserError
from harmon_eval.files.cache import cache_folder, made_once
from harmon_eval.files.hub_access import refusal
from harmon_eval.files.question_files import MAX_TABLE
from harmon_eval.settings import did_you_mean
from harmon_eval.store.digests import folder_sha256, sha256_of

logger = logging.getLogger(__name__)
PREFIX = "datasets:"
WHERE = ("split", "config", "revision")  # settings that name no column
FIRST_SPLITS = ("test", "validation", "val", "dev", "train")
TABLE = "rows.parquet"
Columns = Mapping[str, Sequence[str]]


def dataset_table(
    spec: str,
    columns: Columns,
    fetching: bool,
    task: str,
    also: re.Pattern[str] | None = None,
) -> Path:
    """The Parquet file with the ``columns`` (ours -> names that are known for it without being
    told) of the dataset ``spec``, without ``datasets:``, and those whose name is one of ``also``.

    Raises UserError for unknown settings, splits and columns, and for a dataset of the hub that is
    not here while ``fetching`` is not allowed: ``task`` is then the name that allows it."""
    name, given = settings.split(spec)
    known = (*columns, *WHERE)
    for key in given:
        if key not in known:
            raise UserError(f"{PREFIX}{spec}: unknown setting {key!r}: {did_you_mean(key, known)}")
    place = Path(name)
    digest = _digest(place) if place.exists() else ""
    text = json.dumps([name if not digest else "", given, {k: list(v) for k, v in columns.items()}])
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[-60:]
    folder = cache_folder() / "datasets" / f"{plain}-{sha256_of(text + digest)[:24]}"
    if not digest and not (folder / TABLE).is_file() and not fetching:
        raise UserError(
            f"the dataset {name!r}, which only the run folder names, is not here and would be "
            f"fetched: if that is what you want, name it yourself with --tasks {task}"
        )
    wanted = {ours: given.get(ours) for ours in columns}

    def make(into: Path) -> None:
        rows = _rows(name, place, given)
        _write(_renamed(spec, rows, wanted, columns, also), into / TABLE)

    return made_once(folder, make) / TABLE


def _digest(place: Path) -> str:
    return sha256_of(place) if place.is_file() else folder_sha256(place)


# -- reading -----------------------------------------------------------------------------------


def _rows(name: str, place: Path, given: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """All rows, with pictures as objects that hold their bytes."""
    if place.is_file() and place.suffix == ".parquet":
        _no_other(name, given, "a Parquet file", "split", "config", "revision")
        return _parquet_rows([place])
    if place.is_dir() and (found := _parquet_files(place)):
        _no_other(name, given, "a folder of Parquet files", "config", "revision")
        splits: dict[str, list[Path]] = {}
        for file in found:
            splits.setdefault(re.split(r"[-.]", file.name)[0], []).append(file)
        return _parquet_rows(splits[_split(name, list(splits), given.get("split"))])
    if place.is_file():
        raise UserError(
            f"{PREFIX}{name} is a file, and of files only .parquet is a dataset: leave out "
            f"{PREFIX!r} and what stands behind '?'"
        )
    return _library_rows(name, place, given)


def _no_other(name: str, given: Mapping[str, str], what: str, *keys: str) -> None:
    if wrong := [key for key in keys if key in given]:
        raise UserError(f"{PREFIX}{name} is {what}: leave out {wrong[0]}={given[wrong[0]]}")


def _parquet_files(folder: Path) -> list[Path]:
    return sorted({*folder.glob("*.parquet"), *folder.glob("data/*.parquet")})


def _split(name: str, splits: Sequence[str], chosen: str | None) -> str:
    if chosen in splits:
        return str(chosen)
    if chosen is not None:
        raise UserError(f"dataset {name!r} has no split {chosen!r}: {did_you_mean(chosen, splits)}")
    if len(splits) == 1:
        return splits[0]
    first = next((split for split in FIRST_SPLITS if split in splits), "")
    if first == "train" or not first:
        raise UserError(f"dataset {name!r} has the splits {', '.join(splits)}: add ?split=NAME")
    return first


def _parquet_rows(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    for file in files:
        try:
            with parquet.ParquetFile(file) as table:
                names = _class_names(table.schema_arrow.metadata)
                for batch in table.iter_batches(64):
                    for row in batch.to_pylist():
                        yield {k: _named(v, names.get(k)) for k, v in row.items()}
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(f"{file} cannot be read ({error}): get it again") from None


def _class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """What the datasets library notes of classes in the files it writes."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        kinds = {k: v for k, v in features.items() if isinstance(v, dict)}
    except (KeyError, ValueError, TypeError):
        return {}
    return {k: list(v["names"]) for k, v in kinds.items() if v.get("_type") == "ClassLabel"}


def _named(value: Any, names: Sequence[str] | None) -> Any:
    known = names is not None and isinstance(value, int) and 0 <= value < len(names)
    return names[value] if known and names is not None else value


def _library_rows(name: str, place: Path, given: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    try:
        import datasets
    except ModuleNotFoundError:
        raise UserError(
            f"dataset {name!r} needs the package datasets: pip install 'harmon-eval[train]'"
        ) from None
    try:
        if (place / "dataset_info.json").is_file() or (place / "dataset_dict.json").is_file():
            _no_other(name, given, "a folder of save_to_disk", "config", "revision")
            found = datasets.load_from_disk(str(place))
        else:
            found = datasets.load_dataset(
                name,
                given.get("config"),
                revision=given.get("revision"),
                streaming=not place.exists(),
            )
        if isinstance(found, datasets.DatasetDict | datasets.IterableDatasetDict):
            found = found[_split(name, [str(split) for split in found], given.get("split"))]
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise _unopened(name, error) from None
    return _of_hub(name, _decoded(found))


def _of_hub(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows; where they come one by one, the hub may refuse any of them. Raises UserError."""
    try:
        yield from rows
    except OSError as error:
        raise _unopened(name, error) from None


def _unopened(name: str, error: BaseException) -> UserError:
    """Why a dataset cannot be opened, and what to do."""
    if refused := refusal(error):
        return UserError(f"dataset {name!r}: {refused}")
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(
        f"dataset {name!r} cannot be opened ({line[:200]}): give a folder, or a hub id that you "
        "have access to"
    )


def _decoded(dataset: Any) -> Iterator[dict[str, Any]]:
    from datasets import ClassLabel, Image, List

    features = dataset.features or {}
    names = {k: f.names for k, f in features.items() if isinstance(f, ClassLabel)}
    for column, feature in features.items():
        if isinstance(feature, Image):
            dataset = dataset.cast_column(column, Image(decode=False))
        elif isinstance(feature, List) and isinstance(feature.feature, Image):
            dataset = dataset.cast_column(column, List(Image(decode=False)))
    for row in dataset:
        yield {k: _named(v, names.get(k)) for k, v in row.items()}


# -- writing -----------------------------------------------------------------------------------


def _renamed(
    spec: str,
    rows: Iterable[dict[str, Any]],
    wanted: Mapping[str, str | None],
    columns: Columns,
    also: re.Pattern[str] | None,
) -> Iterator[dict[str, Any]]:
    """Rows with our names, of the columns that were given or that are known. Raises UserError."""
    chosen: dict[str, str] | None = None
    for row in rows:
        if chosen is None:
            chosen = _chosen(spec, row, wanted, columns, also)
        yield _of_index({ours: _cell(row.get(theirs), spec) for ours, theirs in chosen.items()})
    if chosen is None:
        raise UserError(f"{PREFIX}{spec} has no rows: name another split")


def _chosen(
    spec: str,
    row: Mapping[str, Any],
    wanted: Mapping[str, str | None],
    columns: Columns,
    also: re.Pattern[str] | None,
) -> dict[str, str]:
    found: dict[str, str] = {}
    for ours, theirs in wanted.items():
        if theirs is not None and theirs not in row:
            raise UserError(
                f"{PREFIX}{spec} has no column {theirs!r}: {did_you_mean(theirs, list(row))}"
            )
        known = theirs or next((name for name in columns[ours] if name in row), None)
        if known is not None:
            found[ours] = known
    left = [name for name in row if name not in found.values()]
    if also is not None:
        found |= {name: name for name in left if also.fullmatch(name.casefold())}
        left = [name for name in left if name not in found]
    pictures = [name for name in left if _is_picture(row[name])]
    if pictures and "image" in columns and "image" not in found:
        raise UserError(
            f"{PREFIX}{spec} has pictures in the column {pictures[0]!r}: add image={pictures[0]}"
        )
    if not found:
        raise UserError(
            f"{PREFIX}{spec}: none of its columns ({', '.join(row)[:200]}) is known: name them, as "
            f"?{next(iter(columns))}=COLUMN"
        )
    if left:
        logger.warning("%s: not read are the columns %s", spec, ", ".join(left)[:300])
    return found


def _of_index(row: dict[str, Any]) -> dict[str, Any]:
    """A right answer that is the place of an option, counted from 0, as its letter."""
    answer, options = row.get("answer"), row.get("options")
    if not isinstance(answer, int) or isinstance(answer, bool):
        return row
    listed = options if isinstance(options, list) else []
    if str(answer) not in map(str, listed) and 0 <= answer < min(len(listed), 26):
        return {**row, "answer": chr(ord("A") + answer)}
    return {**row, "answer": str(answer)}


def _is_picture(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_picture, value))
    return isinstance(value, Mapping) and {"bytes", "path"} <= value.keys()


def _cell(value: Any, spec: str) -> Any:
    if isinstance(value, Mapping):
        if {"bytes", "path"} <= value.keys():
            return _bytes(value, spec)
        texts = value.get("text") or value.get("answer")  # as SQuAD and VQAv2 keep answers
        return _cell(texts, spec) if texts is not None else json.dumps(value, default=str)
    if isinstance(value, list | tuple):
        return [_cell(each, spec) for each in value]
    # Whole numbers may be places of options (``_of_index``).
    if value is None or isinstance(value, str | bool | bytes | int):
        return value
    return str(value)


def _bytes(picture: Mapping[str, Any], spec: str) -> bytes:
    if isinstance(picture["bytes"], bytes):
        return picture["bytes"]
    try:  # a picture of a local folder, which the library names and does not hold
        return Path(str(picture["path"])).read_bytes()
    except OSError as error:
        raise UserError(f"{PREFIX}{spec}: a picture cannot be read ({error.strerror})") from None


def _write(rows: Iterable[dict[str, Any]], file: Path) -> None:
    """One table, whose columns are lists, or all of one kind. Raises UserError for too much."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        size += sum(len(v) if isinstance(v, str | bytes) else _size(v) for v in row.values())
        if size > MAX_TABLE:
            raise UserError(f"{file.parent.name}: more than {MAX_TABLE:,} bytes: take a split")
        kept.append(row)
    columns = {name: _column([row.get(name) for row in kept]) for name in kept[0]}
    pq.write_table(pa.table(columns), file)


def _size(value: Any) -> int:
    return sum(map(_size, value)) if isinstance(value, list) else len(str(value or ""))


def _column(values: list[Any]) -> Any:
    import pyarrow as pa

    known = [value for value in values if value is not None]
    if any(isinstance(value, list) for value in known):
        lists = [v if isinstance(v, list) or v is None else [v] for v in values]
        inner = [each for value in lists for each in value or ()]
        kind = pa.binary() if any(isinstance(each, bytes) for each in inner) else pa.string()
        texts = [None if v is None else [_as(each, kind) for each in v] for v in lists]
        return pa.array(texts, pa.list_(kind))
    if known and all(isinstance(value, bool) for value in known):
        return pa.array(values, pa.bool_())
    kind = pa.binary() if any(isinstance(value, bytes) for value in known) else pa.string()
    return pa.array([_as(value, kind) for value in values], kind)


def _as(value: Any, kind: Any) -> Any:
    import pyarrow as pa

    if value is None or isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode() if kind == pa.binary() else text
