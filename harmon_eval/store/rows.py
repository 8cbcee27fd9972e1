"""Rows of marks as a table, read without trust: a file may unpack to more than any memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from harmon_eval.core import UserError
from harmon_eval.store.index import name_key

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAX_BYTES = 2**33  # of rows in memory: a million rows with replies take less than one of these
AT_A_TIME = 1024
LABELS = ("group", "stratum", "unscored")  # columns that every row has, beside its id
Columns: TypeAlias = "Sequence[str] | Callable[[pa.Field], bool] | None"


def in_parts(
    file: BinaryIO,
    where: object,
    columns: Columns = None,
    vectors: bool = True,
    limit: int = MAX_BYTES,
    groups: Sequence[int] | None = None,
) -> pa.Table:
    """The rows in a Parquet file. ``columns``: their names, or which fields to take (default: all).
    ``vectors``: columns of feature vectors too; ``groups``: only these row groups.

    Raises UserError for what is no table, lacks a column, or has more than ``limit`` bytes, which
    are counted while it is unpacked."""
    import pyarrow as pa

    parts = list(_parts(file, where, columns, vectors, limit, groups))
    return pa.Table.from_batches(parts[1:], parts[0].schema)


def _parts(
    file: BinaryIO,
    where: object,
    columns: Columns,
    vectors: bool = True,
    limit: int = MAX_BYTES,
    groups: Sequence[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The same, ``AT_A_TIME`` rows each, after an empty one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        names = [f.name for f in table.schema_arrow if vectors or not _is_vector(f.type)]
        chosen = names if columns is None else columns
        if callable(chosen):
            chosen = [name for name in names if chosen(table.schema_arrow.field(name))]
        if lacking := [name for name in chosen if name not in names]:
            raise UserError(f"{where} has no column {lacking[0]!r}: mark the run again")
        schema = pa.schema([table.schema_arrow.field(name) for name in chosen])
        yield pa.RecordBatch.from_pylist([], schema.with_metadata(table.schema_arrow.metadata))
        size = 0
        for part in table.iter_batches(AT_A_TIME, row_groups=groups, columns=chosen):
            size += part.nbytes
            if size > limit:
                raise UserError(f"{where} unpacks to more than {limit:,} bytes: it is not read")
            yield part
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{where} cannot be read ({reason}): mark the run again") from None


def labels(file: BinaryIO, where: object, name: str) -> Any:
    """Of groups a number for each, in the order of their names; of strata and reasons categories,
    in the order of theirs. What is no text stays as it is. Names that come in order, and such as
    are few, are never all held. Raises UserError as ``in_parts``."""
    import pyarrow as pa

    parts = _parts(file, where, [name])
    first = next(parts)
    if not (_is_text(first.schema[0].type) or pa.types.is_null(first.schema[0].type)):
        return in_parts(file, where, [name])[name].to_pandas()
    if name != "group":
        return _categories(part.column(0) for part in parts)
    ranks = _rising_ranks(part.column(0) for part in parts)
    if ranks is None:
        texts = in_parts(file, where, [name])[name].combine_chunks()
        ranks = texts.to_pandas() if texts.null_count else _ranks(texts)
    return ranks


def _rising_ranks(parts: Iterable[pa.Array]) -> np.ndarray | None:
    """The rank (rows,) of each text among the different ones; None unless they come in order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found, last = [np.empty(0, np.int32)], None
    for part in filter(len, parts):
        texts = part if last is None else pa.concat_arrays([last, part])
        if not in_order(texts, or_equal=True):
            return None
        steps = pc.not_equal(texts[1:], texts[:-1]).to_numpy(zero_copy_only=False)
        before = 0 if last is None else int(found[-1][-1])
        ranks = before + np.cumsum(steps, dtype=np.int32)
        found.append(np.append(np.int32(0), ranks) if last is None else ranks)
        last = texts[-1:]
    return np.concatenate(found)


def _ranks(texts: pa.Array) -> np.ndarray:
    import pyarrow.compute as pc

    order = pc.sort_indices(texts)
    found, ranks = np.empty(len(texts), np.int32), _rising_ranks([texts.take(order)])
    assert ranks is not None  # they were sorted just now
    found[order.to_numpy()] = ranks
    return found


def _categories(parts: Iterable[pa.Array]) -> pd.Categorical:
    import pandas as pd
    import pyarrow as pa

    known: dict[str, int] = {}
    found = [np.empty(0, np.int32)]
    for part in parts:
        coded = part.cast(pa.string()).dictionary_encode()
        own = [known.setdefault(text, len(known)) for text in coded.dictionary.to_pylist()]
        found.append(np.array([*own, -1], np.int32)[coded.indices.fill_null(-1).to_numpy()])
    names = sorted(known)
    rank = np.empty(len(names) + 1, np.int32)
    rank[[*(known[name] for name in names), -1]] = [*range(len(names)), -1]
    return pd.Categorical.from_codes(rank[np.concatenate(found)], names)


def selected(file: BinaryIO, where: object, ids: Collection[str]) -> pd.DataFrame:
    """The rows of these samples; no others are held. Raises UserError."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        wanted = pa.array(ids, table.schema_arrow.field("id").type)
        parts = [
            pa.Table.from_batches([part]).filter(pc.is_in(part["id"], wanted))
            for part in table.iter_batches(AT_A_TIME)
        ]
        return pa.concat_tables([table.schema_arrow.empty_table(), *parts]).to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{where} cannot be read ({error}): mark the run again") from None


def in_order(texts: pa.ChunkedArray | pa.Array, or_equal: bool = False) -> bool:
    """Whether each is greater than the one before it, ``or_equal`` to it."""
    import pyarrow.compute as pc

    compare = pc.less_equal if or_equal else pc.less
    return bool(pc.all(compare(texts[:-1], texts[1:]), min_count=0, skip_nulls=False).as_py())


def alike(ours: BinaryIO, theirs: BinaryIO, where: object) -> int | None:
    """How many rows both tables have, if their ids are the same texts, each greater than the one
    before it. Raises UserError as ``in_parts``."""
    import pyarrow as pa

    count, last = 0, pa.array([], pa.string())
    for one, two in zip_longest(*(_parts(file, where, ["id"]) for file in (ours, theirs))):
        if one is None or two is None or not one.equals(two) or not _is_text(one.schema[0].type):
            return None
        texts = pa.concat_arrays([last.cast(one.schema[0].type), one.column(0)])
        if not in_order(texts):
            return None
        count, last = count + len(one), texts[-1:]
    return count


def rising(values: pd.Series, or_equal: bool = False) -> bool:
    """The same, without the index or the copy as objects that pandas makes."""
    if values.dtype == "str":
        return in_order(values.array.__arrow_array__(), or_equal)
    held = values.to_numpy()
    return bool((held[1:] >= held[:-1] if or_equal else held[1:] > held[:-1]).all())


def check_ids(ids: pa.ChunkedArray, where: object) -> None:
    """Raises UserError for ids that are no texts, and where two are equal."""
    if not _is_text(ids.type) or ids.null_count:
        raise UserError(f"{where} has ids that are no text: mark the run again")
    if in_order(ids):
        return
    names = (name.as_py() for name in ids)
    keys = np.fromiter(map(name_key, names), np.uint64, len(ids))
    keys.sort()
    if (keys[1:] == keys[:-1]).any() and len(ids.unique()) < len(ids):
        raise UserError(f"{where} has two rows of one sample: mark the run again")


def values_of(file: BinaryIO, where: object, column: str) -> Iterator[Any]:
    """The values of a column, a part of the rows at a time; none where there is no such column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        if column in table.schema_arrow.names:
            for part in table.iter_batches(AT_A_TIME, columns=[column]):
                yield from part.column(0).drop_null().to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{where} cannot be read ({error}): mark the run again") from None


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_vector(kind: pa.DataType) -> bool:
    import pyarrow as pa

    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(lists and pa.types.is_floating(kind.value_type))
