"""The loopback server, importable by the tests and by the processes they start."""

import importlib.util
import sys
from pathlib import Path

FILE = Path(__file__).with_name("judge_server.py")
spec = importlib.util.spec_from_file_location("judge_server", FILE)
assert spec and spec.loader
module = importlib.util.module_from_spec(spec)
sys.modules["judge_server"] = module
spec.loader.exec_module(module)
