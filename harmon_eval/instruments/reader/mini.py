"""The mini suite's reader: it knows the grid and the characters of the suite's own pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harmon_eval.core import Unscorable
from harmon_eval.files.images import read_rgb
from harmon_eval.suites.mini.pages import read_page


class PageReader:
    name = "page-reader-1"
    identity = "page-reader-1"

    def read(self, files: Sequence[Path]) -> list[str | Unscorable]:
        """The text of each image, which is empty for most that are no page."""
        found: list[str | Unscorable] = []
        for file in files:
            try:
                found.append(read_page(read_rgb(file)))
            except Unscorable as error:
                found.append(error)
        return found


def open_instrument() -> PageReader:
    return PageReader()
