"""The arithmetic of all tests, and what those against other packages share."""

from pathlib import Path

import pytest
from scipy import linalg

from harmon_eval.cli import ask_for_equal_bits

ask_for_equal_bits()  # as every command does, before PyTorch loads


@pytest.fixture
def clean_fid_scipy(monkeypatch):
    """clean-fid 0.1.35 asks for (root, error) of ``sqrtm``, which SciPy 1.18 no longer gives."""
    root = linalg.sqrtm
    monkeypatch.setattr(linalg, "sqrtm", lambda a, disp=True: root(a) if disp else (root(a), 0.0))


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Inputs from outside of the repository, in the folder ``shared`` beside it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("there is no folder shared beside the repository")
    return folder
