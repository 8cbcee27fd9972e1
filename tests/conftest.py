"""What the tests against other packages share."""

import pytest
from scipy import linalg


@pytest.fixture
def clean_fid_scipy(monkeypatch):
    """clean-fid 0.1.35 asks for (root, error) of ``sqrtm``, which SciPy 1.18 no longer gives."""
    root = linalg.sqrtm
    monkeypatch.setattr(linalg, "sqrtm", lambda a, disp=True: root(a) if disp else (root(a), 0.0))
