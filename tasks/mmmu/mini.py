"""MMMU's thirty tables: multiple choice and open questions, images inside."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.questions import Maker, beside, color, count, place, shape
from harmon_eval.suites.mini.quiz import options, shown_and_asked
from harmon_eval.suites.mini.scenes import render
from harmon_eval.tasks.mmmu.files import SUBJECTS

SEED = 900
QUESTIONS = 8  # a subject, the last of them open
KINDS: tuple[tuple[Maker, str], ...] = (
    (color, "two"),
    (shape, "two"),
    (count, "same"),
    (beside, "two"),
    (place, "two"),
    (color, "three"),
    (place, "four"),
    (count, "same"),
)


def make(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    for number, subject in enumerate(SUBJECTS):
        rows = []
        for index, (maker, form) in enumerate(KINDS, start=1):
            rng = np.random.default_rng((SEED, number, index))
            found, question = shown_and_asked(rng, form, maker, wrong=3)
            texts, right = options(question, rng)
            is_open = index == QUESTIONS
            image = io.BytesIO()
            Image.fromarray(render(found)).save(image, "PNG")
            # Markers are optional in this reader, and no words of the bundled model: one a subject.
            marker = "<image 1>\n" if index == 1 else ""
            rows.append(
                {
                    "id": f"validation_{subject}_{index}",
                    "question": marker + question.text,
                    "options": "[]" if is_open else str(list(texts.values())),
                    "answer": question.answer if is_open else right,
                    "question_type": "open" if is_open else "multiple-choice",
                    "image_1": {"bytes": image.getvalue(), "path": f"{subject}_{index}.png"},
                }
            )
        (folder / subject).mkdir()
        file = folder / subject / "validation-00000-of-00001.parquet"
        parquet.write_table(pa.Table.from_pylist(rows), file)
