"""Two saves in one folder: the index decides, or the files are named and none is taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_no_tensor_is_of_the_earlier_save(shared_folder: Path, tmp_path: Path) -> None:
    make = shared_folder / "cases" / "stale-shards" / "make.py"
    command = [sys.executable, str(make), str(tmp_path / "models")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    indexed, work_dir = done.stdout.splitlines()
    assert indexed == "old3_new2: 404 of 404 tensors right"
    assert work_dir.startswith("work_dir: refused")
    assert "iter_5000.pth, iter_10000.pth" in work_dir and "say which" in work_dir
