"""What is to be marked as a table for a spreadsheet, and such a table read back (``calibrate``).

A row is a sample of a random choice: what was asked, the reply or the place of the image, and an
empty cell for the mark. The task's own marks are not on it. ``of`` is the hash of the response: a
mark belongs to what was marked.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.files.question_files import field, read_separated
from harmon_eval.people import questions
from harmon_eval.people.labelling import task_of
from harmon_eval.people.marks import HumanMarks, rater_name, scale
from harmon_eval.store.durable import write_whole
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import defused

COLUMNS = ("sample", "of", "asked", "response", "mark", "rater")


def write(
    path: Path, task: str | None, file: Path, count: int, seed: int, steps: str, data: Path | None
) -> int:
    """Write what is to be marked, in random order, and note the choice in the run. Returns the
    number of rows. Raises UserError, also if ``file`` exists: there may be marks in it."""
    if file.exists():
        raise UserError(f"{file} exists: give another file, or delete it")
    run = RunFolder(path)
    name, asked = task_of(run, task), scale(steps)
    found = questions.read(run, name, None, data)
    chosen = questions.choose(list(found.hashes), count, seed)
    with run.locked():
        HumanMarks(run.task(name), asked.name).note_choice(chosen, seed)
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(COLUMNS)
    for sample in chosen:
        one = questions.shown(found, sample, seed)
        (response,) = one.responses
        place = os.path.relpath(response, file.parent) if isinstance(response, Path) else response
        rows.writerow(map(defused, (sample, one.response, one.text, place, "", "")))
    write_whole(file, table.getvalue())
    return len(chosen)


def read(path: Path, task: str | None, file: Path, steps: str, data: Path | None) -> int:
    """Store the marks of a filled table, and return how many are new. Rows without a mark are left.

    Raises UserError that names the row of a mark that the scale does not have, or of a response
    that is not in the run (any more); then nothing is stored."""
    run = RunFolder(path)
    name, asked = task_of(run, task), scale(steps)
    found = questions.read(run, name, None, data)
    log = HumanMarks(run.task(name), asked.name)
    new = []
    for number, row in enumerate(read_separated(file), start=2):
        where = f"{file}, row {number}"
        key = field(row, "mark", where).strip()
        if not key:
            continue
        sample, of = field(row, "sample", where).removeprefix("'"), field(row, "of", where)
        if (value := asked.value(key)) is None:
            known = ", ".join(own for own, _, _ in asked.keys)
            raise UserError(f"{where}: the mark {key[:20]!r} is none of {known}")
        if found.hashes.get(sample) != of:
            raise UserError(f"{where}: {path} has no such response of {sample[:80]!r} (any more)")
        new.append((sample, rater_name(row.get("rater") or file.stem), value, of))
    with run.locked():
        known_marks = {(m.sample, m.rater, m.value) for m in log.marks(found.hashes)}
        new = [mark for mark in new if mark[:3] not in known_marks]
        for mark in new:
            log.add(*mark)
    return len(new)
