"""OCR reward: does the image show the text that its prompt has in quotation marks?

Paper: Liu et al. 2025, arXiv 2505.05470 (Flow-GRPO). Protocol: yifan123/flow_grpo @ ac4c86e; UniRL
and Flow-Factory have the same formula. The reward of an image is 1 if the text read contains the
wanted one, else 1 - edit distance / length of the wanted one, at least 0; spaces and case are of no
account. Wanted is the first text in double quotes, else in single quotes. A prompt without either
asks for no text and is refused.
"""

from __future__ import annotations

import ast
import codecs
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Draw,
    Instruments,
    Metric,
    Remote,
    Reward,
    Row,
    Sample,
    Source,
    Task,
    Unscorable,
    UserError,
)
from harmon_eval.files.packages import carried
from harmon_eval.files.question_files import read_text
from harmon_eval.instruments import reading
from harmon_eval.metrics import rendered_text
from harmon_eval.metrics.shares import share

if TYPE_CHECKING:
    import pandas as pd

FILE = "test.txt"
COLUMNS = ("ocr_reward", "text_accuracy", "exact")
MINI = ("OPEN", "Exit", "Gate 12", "Hello", "Stop", "Mind the step", "café", "June 30")


def samples(data: Data) -> Iterator[Sample]:
    """A prompt a line. Raises UserError for a file without prompts or a prompt without a text."""
    file = data.folder / FILE
    lines = enumerate(read_text(file).splitlines(), 1)
    if not (prompts := [(place, line.strip()) for place, line in lines if line.strip()]):
        raise UserError(f"{file} holds no prompts: give one a line")
    for number, (place, prompt) in enumerate(prompts):
        try:
            wanted = target(prompt, {})
        except Unscorable as error:
            raise UserError(f"{file}, line {place}: {error}") from None
        group = f"{number:04d}"
        for index in range(data.images_per_prompt):
            yield Sample(f"{group}/{index:04d}", Draw(prompt, index=index), wanted, group)


def target(prompt: str, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an image is marked by where a trainer sends a prompt of its own. Raises Unscorable."""
    if not prompt.strip():
        raise Unscorable("the prompt is empty: it has to say the text to be drawn")
    wanted = rendered_text.reward_target(prompt)
    if wanted == prompt or not wanted.strip():
        told = "has no text in quotation marks, so nothing says what is to be read"
        raise Unscorable(f"the prompt {prompt[:80]!r} {told}: put the text in double quotes")
    return {"text": wanted}


def image_row(sample: Sample, read: str) -> Row:
    wanted = sample.target["text"]
    accuracy = rendered_text.accuracy(wanted, read)
    reward = rendered_text.reward(wanted, read)
    return {"ocr_reward": reward, "text_accuracy": accuracy, "exact": float(accuracy == 1)}


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    return reading.marked(answers, instruments["reader"], image_row)


def bounds(sample: Sample) -> tuple[Row, Row]:
    wrong, right = (image_row(sample, read) for read in ("", sample.target["text"]))
    return {"reader": None, **wrong}, {"reader": None, **right}


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Means over images, from 0 to 1."""
    reader = reading.reader_of(rows)
    return {f"{name}[{reader}]": float(rows[name].mean()) for name in COLUMNS}


def make(folder: Path) -> None:
    rng = np.random.default_rng(2_505)
    kinds = rng.choice(["sign", "poster", "label"], size=3 * len(MINI))
    prompts = [f'A {kind} that says "{MINI[n % len(MINI)]}".' for n, kind in enumerate(kinds)]
    (folder / FILE).write_text("".join(f"{prompt}\n" for prompt in prompts), encoding="utf-8")


def make_zen(folder: Path) -> None:
    """The Zen of Python, which comes with Python: a poster for each of its lines."""
    # Importing the module prints it.
    source = carried("this", "this.py", "Python's standard library", "real").read_text("utf-8")
    written = next(n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant))
    text = codecs.decode(str(written), "rot13")
    lines = [line.strip() for line in text.splitlines()[2:] if line.strip()]
    prompts = [f'A white poster that says "{line}" in black letters.\n' for line in lines]
    (folder / FILE).write_text("".join(prompts), encoding="utf-8")


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    metrics=tuple(
        Metric(f"{name}[*]", headline=number == 0, of=share(name))
        for number, name in enumerate(COLUMNS)
    ),
    about=About(
        paper="arXiv 2505.05470",
        version="1",
        protocol="yifan123/flow_grpo @ ac4c86e, flow_grpo/ocr.py",
        differs="A prompt without double quotes ends the original's batch, and UniRL takes single "
        "quotes, then the whole prompt; here single quotes are taken, and a prompt without any is "
        "refused, since nobody asked to see its words. An image that the reader fails on is "
        "unscored with bounds; the original gives it 0. `text_accuracy` and `exact` are ours: "
        "1 - edit distance / the longer text, in lower case with single spaces.",
        compares="Published rewards are PaddleOCR's (UniRL: GOT-OCR); the reader is part of the "
        "metric's name.",
        licence="MIT (yifan123/flow_grpo); the Zen of Python: PSF licence",
        size="as many prompts as the file has, 4 images each",
        cost="one drawing an image; rapidocr reads one in 1 to 3 s on one core",
    ),
    sources={
        "official": Source(
            files=(FILE,),
            text="dataset/ocr/test.txt of yifan123/flow_grpo, or your own prompts, one a line",
            downloads=(
                Remote(
                    "https://raw.githubusercontent.com/yifan123/flow_grpo/ac4c86e/dataset/ocr/"
                    + FILE,
                    FILE,
                ),
            ),
        ),
        "mini": Source(make=make),
        "real": Source(make=make_zen),
    },
    instruments={"reader": "rapidocr"},
    bounds=bounds,
    columns=("reader", *COLUMNS),
    reward=Reward.of_columns(*COLUMNS, target=target),
)
