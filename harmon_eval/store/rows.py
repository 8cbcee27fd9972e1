"""Rows of marks as a table, read without trust: a file may unpack to more than any memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from harmon_eval.core import UserError
from harmon_eval.store.index import name_key

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAX_BYTES = 2**33  # of rows in memory: a million rows with replies take less than one of these
AT_A_TIME = 1024
Columns: TypeAlias = "Sequence[str] | Callable[[pa.Field], bool] | None"


def unpacked(
    file: BinaryIO, where: object, columns: Columns = None, vectors: bool = True
) -> pd.DataFrame:
    """The rows in a Parquet file. ``columns``: their names, or which fields to take (default: all).
    ``vectors``: columns of feature vectors too.

    Raises UserError for what is no table, lacks a column, or has more than ``MAX_BYTES``."""
    found: pd.DataFrame = in_parts(file, where, columns, vectors).to_pandas(self_destruct=True)
    return found


def in_parts(
    file: BinaryIO,
    where: object,
    columns: Columns = None,
    vectors: bool = True,
    limit: int = MAX_BYTES,
    groups: Sequence[int] | None = None,
) -> pa.Table:
    """As ``unpacked``; ``groups``: only these row groups. It is counted while it is unpacked."""
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
        parts: list[pa.RecordBatch] = []
        size = 0
        for part in table.iter_batches(AT_A_TIME, row_groups=groups, columns=chosen):
            size += part.nbytes
            if size > limit:
                raise UserError(f"{where} unpacks to more than {limit:,} bytes: it is not read")
            parts.append(part)
        schema = pa.schema([table.schema_arrow.field(name) for name in chosen])
        return pa.Table.from_batches(parts, schema.with_metadata(table.schema_arrow.metadata))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{where} cannot be read ({reason}): mark the run again") from None


def selected(file: BinaryIO, where: object, ids: Collection[str]) -> pd.DataFrame:
    """The rows of these samples; no others are held. Raises UserError as ``unpacked``."""
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


def rising(texts: pd.Series, or_equal: bool = False) -> bool:
    """Whether each is greater than the one before it, ``or_equal`` to it: without the copy as
    objects that pandas makes."""
    import pyarrow.compute as pc

    if texts.dtype != "str":
        return bool(texts.is_monotonic_increasing and (or_equal or texts.is_unique))
    held = texts.array.__arrow_array__()
    compare = pc.less_equal if or_equal else pc.less
    return bool(pc.all(compare(held[:-1], held[1:]), min_count=0, skip_nulls=False).as_py())


def repeated(texts: pd.Series) -> bool:
    """Whether two are equal."""
    if rising(texts):
        return False
    keys = np.sort(np.fromiter(map(name_key, map(str, texts)), np.uint64, len(texts)))
    return bool((keys[1:] == keys[:-1]).any() and texts.duplicated().any())


def all_texts(column: pd.Series) -> bool:
    if column.dtype == "str":
        return not column.isna().any()
    return bool(column.map(type).eq(str).all())


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


def _is_vector(kind: pa.DataType) -> bool:
    import pyarrow as pa

    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(lists and pa.types.is_floating(kind.value_type))
