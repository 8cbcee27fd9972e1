"""The arithmetic of all tests, and what those against other packages share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from scipy import linalg

from harmon_eval import cli
from harmon_eval.cli import ask_for_equal_bits
from tests.vectors import entries, read_vectors

ask_for_equal_bits()  # as every command does, before PyTorch loads
# Ray reads it when it is imported: nodes of the tests talk on the loopback address only.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

# How long an example takes is the machine's business, and shared machines are slow.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# pytest imports readline, which tells child processes a size of its own, 80 x 24: the workers of
# pytest-xdist would take it for what a user wants.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)
    os.unsetenv(_name)


@pytest.fixture
def clean_fid_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """clean-fid 0.1.35 asks for (root, error) of ``sqrtm``, which SciPy 1.18 no longer gives."""
    root = linalg.sqrtm
    monkeypatch.setattr(linalg, "sqrtm", lambda a, disp=True: root(a) if disp else (root(a), 0.0))


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """``../shared`` beside the checkout, with cases and specifications; not every clone has it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here: its cases are inputs that are not in the repository")
    return folder


SCORING = Path(__file__).resolve().parents[2] / "shared/data/scoring/vectors.json"


@pytest.fixture(scope="session")
def scoring_vectors() -> dict[str, Any]:
    """What the originals' own functions gave: ``../shared/data/scoring/vectors.json``, or the file
    (also .json.gz) that ``SCORING_VECTORS`` names. Keys may be absent."""
    if (found := _scoring_vectors()) is None:
        pytest.skip(f"{SCORING} is not here: it is not in the repository")
    return found


def _scoring_vectors() -> dict[str, Any] | None:
    if not os.environ.get("SCORING_VECTORS") and not SCORING.exists():
        return None
    return read_vectors("SCORING_VECTORS", SCORING)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the mark ``entries`` runs once for each entry of that list of the vectors."""
    if mark := metafunc.definition.get_closest_marker("entries"):
        metafunc.parametrize("case", entries(_scoring_vectors(), mark.args))


@dataclass(frozen=True)
class Measured:
    """What a command came to: exit code, what it printed, and metrics.json of its first task."""

    code: int
    said: str
    result: dict[str, Any]
    run: Path

    @property
    def n(self) -> tuple[int, int]:
        return self.result["n"], self.result["total"]

    def score(self, name: str) -> float:
        """The metric that begins so, whatever stands in brackets behind it."""
        metrics = self.result["metrics"]
        return float(next(value for key, value in metrics.items() if key.startswith(name)))


@pytest.fixture
def measure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., Measured]:
    """Evaluate on the command line, in this process, with a cache and run folders of its own."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))

    def measure(*arguments: object, run: str = "run") -> Measured:
        capfd.readouterr()
        caplog.clear()
        given = [str(argument) for argument in arguments]
        code = cli.main([*given, "--output", str(tmp_path / run), "--fresh"])
        printed = capfd.readouterr()
        found = sorted((tmp_path / run).glob("*/metrics.json"))
        result = json.loads(found[0].read_text()) if found else {}
        assert "Traceback" not in printed.err
        return Measured(code, printed.out + printed.err + caplog.text, result, tmp_path / run)

    return measure
