"""The mini suite's colour namer: the palette colour nearest to an object's pixels."""

from __future__ import annotations

from harmon_eval.suites.mini.colors import ColorNamer


def open_instrument() -> ColorNamer:
    return ColorNamer()
