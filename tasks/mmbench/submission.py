"""Excel files for evaluation servers."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harmon_eval.core import Sample, UserError

if TYPE_CHECKING:
    import pandas as pd

MAX_CELL = 32_767
# What XML cannot hold. It also reads a carriage return back as a line feed, so it is one.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
LINE_BREAK = re.compile(r"\r\n?")


def submission(asked: Sequence[Sample], rows: pd.DataFrame) -> dict[str, bytes]:
    """``submission.xlsx`` of a test set: every row of the table with its ``prediction``."""
    replies = dict(zip(rows["id"], rows["reply"], strict=True))
    table = [{**s.target["columns"], "prediction": replies.get(s.id, "")} for s in asked]
    return {"submission.xlsx": excel(table)}


def excel(rows: Sequence[Mapping[str, str]]) -> bytes:
    """A workbook of text cells: no formulas, no control characters, no cell beyond Excel's limit.

    ``index`` stays a number. Raises UserError where openpyxl is missing."""
    try:
        from openpyxl import Workbook
    except ModuleNotFoundError:
        raise UserError(
            "the submission file needs openpyxl: pip install 'harmon-eval[submission]', and "
            "`python -m harmon_eval mark RUN` writes it"
        ) from None
    book = Workbook()
    sheet = book.active
    names = list(rows[0])
    sheet.append(names)
    for number, row in enumerate(rows, start=2):
        for column, name in enumerate(names, start=1):
            cell = sheet.cell(number, column)
            if name == "index":
                cell.value = int(row[name])
            else:
                text = CONTROL.sub(" ", LINE_BREAK.sub("\n", str(row.get(name) or "")))
                cell.value = text[:MAX_CELL]
                cell.data_type = "s"  # also where it begins like a formula
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()
