"""A tenth of the mini suite's MJHQ: enough to run a further protocol, and minutes less to draw."""

from __future__ import annotations

from pathlib import Path

from harmon_eval.tasks.mjhq.mini import IMAGES_A_CATEGORY, write


def make(folder: Path) -> None:
    write(folder, IMAGES_A_CATEGORY // 10)
