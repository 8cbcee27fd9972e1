"""The files of WISE's verified edition: other prompts than ``wise``, under the same ids."""

from __future__ import annotations

from pathlib import Path

from harmon_eval.tasks.wise.mini import write
from harmon_eval.tasks.wise.rules import VERIFIED

SEED = 2_000


def make(folder: Path) -> None:
    write(folder, VERIFIED, SEED)
