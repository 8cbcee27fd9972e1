"""Any model that answers questions as a reader: ``reader=openai:MODEL@URL``, ``reader=vlm:PATH``.

OneIG-Bench and LongText-Bench read with Qwen2.5-VL-7B, which is asked to give the text only and not
to repeat itself. The words here are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harmon_eval.core import Ask, Unscorable
from harmon_eval.instruments.judge import _any
from harmon_eval.instruments.judging import Judge
from harmon_eval.metrics.rendered_text import NO_TEXT

QUESTION = (
    "Write down all the text in this image exactly as it stands there, line by line from top to "
    "bottom. Give only the text, once, without explaining or translating it. If the image shows "
    f"no text, reply: {NO_TEXT}"
)
LONGEST = 1024  # tokens of a reply


class ModelReader:
    """A model asked for the text of an image; its replies are kept as a judge's are."""

    at_writer = True  # where its replies are kept

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.name, self.identity = judge.name, f"{judge.identity} {QUESTION}"

    def bound_to(self, folder: Path) -> ModelReader:
        """This reader with its replies kept in a task's folder."""
        return ModelReader(self.judge.bound_to(folder))

    def read(self, files: Sequence[Path]) -> list[str | Unscorable]:
        asked = [Ask(QUESTION, (file,), LONGEST) for file in files]
        return [
            verdict if isinstance(verdict, Unscorable) else _text(verdict.value)
            for verdict in self.judge.verdicts(asked, str)
        ]


def _text(reply: str) -> str:
    text = reply.strip()
    return "" if text.rstrip(".") == NO_TEXT.rstrip(".") else text


def open_instrument(argument: str, settings: _any.Settings) -> ModelReader:
    """Raises UserError for a model that cannot answer questions."""
    return ModelReader(_any.open_instrument(argument, settings))
