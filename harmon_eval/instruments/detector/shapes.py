"""The mini suite's detector: fixed rules that find coloured shapes."""

from __future__ import annotations

from harmon_eval.suites.mini.detector import ShapeDetector


def open_instrument() -> ShapeDetector:
    return ShapeDetector()
