"""Rows of marks as a table, read without trust: a file may unpack to more than any memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harmon_eval.core import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAX_BYTES = 2**33  # of rows in memory: a million rows with replies take less than one of these
AT_A_TIME = 1024


def unpacked(
    data: bytes,
    where: object,
    columns: Sequence[str] | None = None,
    vectors: bool = True,
    limit: int = MAX_BYTES,
) -> pd.DataFrame:
    """The rows in the bytes of a Parquet file. ``vectors``: columns of feature vectors too.

    Raises UserError for what is none, lacks a column, or has more than ``limit`` bytes of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        names = [f.name for f in file.schema_arrow if vectors or not _is_vector(f.type)]
        if lacking := [name for name in columns or () if name not in names]:
            raise UserError(f"{where} has no column {lacking[0]!r}: mark the run again")
        chosen = names if columns is None else list(columns)
        parts: list[pa.RecordBatch] = []
        size = 0
        for part in file.iter_batches(AT_A_TIME, columns=chosen):
            size += part.nbytes
            if size > limit:
                raise UserError(f"{where} unpacks to more than {limit:,} bytes: it is not read")
            parts.append(part)
        schema = pa.schema([file.schema_arrow.field(name) for name in chosen])
        schema = schema.with_metadata(file.schema_arrow.metadata)
        found: pd.DataFrame = pa.Table.from_batches(parts, schema).to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{where} cannot be read ({reason}): mark the run again") from None
    return found


def _is_vector(kind: pa.DataType) -> bool:
    import pyarrow as pa

    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(lists and pa.types.is_floating(kind.value_type))
