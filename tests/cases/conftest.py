"""The loopback server of the judges' tests, importable here too."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "judges" / "judge_server.py"
if "judge_server" not in sys.modules:
    spec = importlib.util.spec_from_file_location("judge_server", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["judge_server"] = module
    spec.loader.exec_module(module)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints are asked again at once."""
    from harmon_eval.adapters import openai

    plain = openai.Patience
    monkeypatch.setattr(openai, "Patience", lambda **given: plain(**{"backoff": 0.0, **given}))


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A working folder with a cache of its own, and no proxies or keys."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.chdir(tmp_path)
    return lambda name: tmp_path / name
