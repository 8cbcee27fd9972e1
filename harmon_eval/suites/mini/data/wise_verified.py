"""The files of WISE's verified edition: other prompts than ``wise``, under the same ids."""

from __future__ import annotations

from pathlib import Path

from harmon_eval.scoring.wise import VERIFIED
from harmon_eval.suites.mini.data.wise import write

SEED = 2_000


def make(folder: Path) -> None:
    write(folder, VERIFIED, SEED)
