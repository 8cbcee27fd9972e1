"""Two saves in one folder: the index decides, or the files are named and none is taken."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest


def test_no_tensor_is_of_the_earlier_save(
    shared_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = shared_folder / "cases" / "stale-shards" / "make.py"
    monkeypatch.setattr(sys, "argv", [str(make), str(tmp_path / "models")])
    runpy.run_path(str(make))
    indexed, work_dir = capsys.readouterr().out.splitlines()
    assert indexed == "old3_new2: 404 of 404 tensors right"
    assert work_dir.startswith("work_dir: refused")
    assert "iter_5000.pth, iter_10000.pth" in work_dir and "say which" in work_dir
