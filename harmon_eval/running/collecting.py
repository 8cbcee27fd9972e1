"""From the marks of batches to one table of all samples in order, a block at a time.

Of a sample are held: the stamp of its response (16 bytes) and where its row lies (8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import Row, Sample
from harmon_eval.metrics.floors import about
from harmon_eval.store.index import Numbers
from harmon_eval.store.redact import redacted
from harmon_eval.store.row_files import ROW_GROUP, RowFiles, common_schema, in_form
from harmon_eval.store.task_folder import TaskFolder

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

READ = ("id", "unscored", "response")  # columns that say what a row marks
RAW = "raw_reply"  # the column with what was said, where that is not what the task has read


def frame(marked: Sequence[tuple[Sample, Row]], stamps: Numbers) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {
            **row,
            **about(sample),
            "response": _written(stamps.get(sample.id)),
            "unscored": None,
            # A reason may be an error's text, and that may hold a key.
            **({"unscored": redacted(row["unscored"])} if row.get("unscored") else {}),
        }
        for sample, row in marked
    ]
    return pd.DataFrame(rows).astype({"unscored": object})


def _written(stamp: int | None) -> str:
    return "" if stamp is None else f"{stamp:016x}"


def marked(folder: TaskFolder, key: Mapping[str, Any], stamps: Numbers) -> Numbers:
    """Samples with a mark of the response that is stored now."""
    files = folder.marked(key, READ)
    rows = _current(files, stamps)
    return stamps.beside((name, 1) for _, name, scored in rows if scored) if files else Numbers()


def _current(files: RowFiles, stamps: Numbers) -> Iterator[tuple[int, str, bool]]:
    """Of each row that marks the response that is stored now: its number, its sample, and whether
    it has a score."""
    for piece in files.pieces:
        table = files.read(piece, READ)
        columns = (table["id"], table["response"], table["unscored"].is_null())
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        for number, (name, said, scored) in enumerate(rows, piece.start):
            stamp = stamps.get(name)
            if stamp is not None and said == _written(stamp):
                yield number, name, scored


def collect_rows(
    key: Mapping[str, Any], folder: TaskFolder, samples: Sequence[Sample], stamps: Numbers
) -> None:
    """Store the rows of all samples in order as one file, from all that was marked.

    Those without a mark carry the reason in ``unscored``. ``stamps``: from ``mark_missing``. Raises
    UserError where a column holds different things."""
    files = folder.marked(key, READ)
    chosen, scored = _chosen(files, samples, stamps)
    reasons = _Reasons(folder, samples, chosen)
    schemas = [*files.schemas, *(block.schema for block in reasons.blocks() if block is not None)]
    schema = common_schema(schemas, texts=("unscored",))
    place = schema.get_field_index("unscored")
    # What files of no reasons, of some or of reasons only make of the column is no matter.
    schema = schema.set(place, schema.field(place).with_type(_reason_type(bool(scored.all()))))

    def blocks() -> Iterator[pa.Table]:
        import pyarrow as pa

        for number, block in enumerate(reasons.blocks()):
            own = chosen[number * ROW_GROUP : (number + 1) * ROW_GROUP]
            table = files.gathered(own[own >= 0], schema)
            if block is not None:
                both = pa.concat_tables([table, block], promote_options="permissive")
                order = np.argsort([*np.flatnonzero(own >= 0), *np.flatnonzero(own < 0)])
                table = in_form(both.take(pa.array(order)), schema)
            yield table

    folder.finish_with(key, schema, blocks())


def _reason_type(all_scored: bool) -> pa.DataType:
    import pyarrow as pa

    return pa.null() if all_scored else pa.string()


def _chosen(
    files: RowFiles, samples: Sequence[Sample], stamps: Numbers
) -> tuple[np.ndarray, np.ndarray]:
    """Of each sample (samples,) the number of its row, -1 where there is none, and whether it has a
    score. A row without one gives way to one that has it, and an older one to a newer."""
    # Beside the stamps: twice the number of a row from 1 on, and 1 more if it has a score.
    rows = stamps.beside(())
    for number, name, known in _current(files, stamps):
        if known or not (rows.get(name) or 0) & 1:
            rows.put(name, 2 * number + 2 + known)
    chosen, scored = np.empty(len(samples), np.int32), np.empty(len(samples), bool)
    found = (rows.get(sample.id) or 0 for sample in samples)
    for start in range(0, len(samples), ROW_GROUP):
        own = np.fromiter(islice(found, ROW_GROUP), np.int64)
        chosen[start : start + len(own)] = own // 2 - 1
        scored[start : start + len(own)] = own % 2
    return chosen, scored


class _Reasons:
    """Rows of the samples that have no mark, with the reason, made anew for each pass."""

    def __init__(self, folder: TaskFolder, samples: Sequence[Sample], chosen: np.ndarray) -> None:
        self.samples, self.lacking = samples, chosen < 0
        self.recorded = folder.recorded() if self.lacking.any() else {}

    def blocks(self) -> Iterator[pa.Table | None]:
        """Those of each block of samples; None for a block that lacks none."""
        import pyarrow as pa

        every = iter(self.samples if self.lacking.any() else ())
        for start in range(0, len(self.lacking), ROW_GROUP):
            lacks = self.lacking[start : start + ROW_GROUP]
            own = islice(every, len(lacks))
            rows = [
                (
                    sample,
                    {"unscored": _reason(sample, self.recorded), **_said(sample, self.recorded)},
                )
                for sample, lack in zip(own, lacks, strict=False)
                if lack
            ]
            table = frame(rows, Numbers()) if rows else None
            yield None if table is None else pa.Table.from_pandas(table, preserve_index=False)


def _reason(sample: Sample, recorded: Mapping[str, Mapping[str, Any]]) -> str:
    entry = recorded.get(sample.id)
    if entry is not None:
        return str(entry["error"]) if "error" in entry else "the stored response is damaged or lost"
    failed = [name for name in sample.after if "error" in recorded.get(name, {"error": ""})]
    return f"no response to {failed[0]}, which it comes after" if failed else "no response"


def _said(sample: Sample, recorded: Mapping[str, Mapping[str, Any]]) -> Row:
    """The reply of a sample that has none that answers, where there is one."""
    said = recorded.get(sample.id, {}).get("said")
    return {RAW: said} if isinstance(said, str) else {}
