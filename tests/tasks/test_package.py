"""A task of another package: built, installed, and run by its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = """[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "parity-bench"
version = "1.0"

[project.entry-points."harmon_eval.tasks"]
parity = "parity_bench:open_task"

[tool.setuptools]
py-modules = ["parity_bench"]
"""
CODE = '''"""Parity: is a number even?"""

from harmon_eval.core import Ask, Sample, Task


def open_task(argument=""):
    count = int(argument or 4)

    def samples(suite):
        for i in range(count):
            yield Sample(f"n{i}", Ask(f"{i}"), {"even": i % 2 == 0}, f"n{i}")

    def mark(answers, instruments):
        return [{"correct": (int(a.reply) % 2 == 0) == a.sample.target["even"]} for a in answers]

    def summarize(rows):
        return {"accuracy": float(rows["correct"].mean())}

    return Task(samples, mark, summarize, "accuracy", True, "none", "1")
'''


def test_a_task_of_an_installed_package_runs_by_its_name(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "parity_bench.py").write_text(CODE)
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(site), str(source)], check=True)
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(root)])}
    for name in ("parity", "parity:7"):
        command = [sys.executable, "-m", "harmon_eval", "--model", "scripted", "--tasks", name]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "accuracy" in done.stdout and "1.000" in done.stdout
    assert "7 of 7" in done.stdout
