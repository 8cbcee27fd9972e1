"""Where a number comes from: versions, commit, machine, time."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from harmon_eval import settings
from harmon_eval.store.redact import redacted, shown

PACKAGES = (
    "harmon-eval",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pandas",
    "scipy",
    "pillow",
    "pyarrow",
)


def package_versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Commit of the checkout this package runs from, marked when it has changes; None without."""
    here = Path(__file__).resolve().parent
    try:
        command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def accelerator() -> str | None:
    """Name of the GPU, if a model that uses torch has been loaded and there is one."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None


def written(spec: str) -> str:
    """An instrument's name and settings as they are written: fields of requests that nobody here
    knows are hashed, and what looks like a key is hidden."""
    place, given = settings.split(spec)
    if "body" in given:
        try:
            body = json.loads(given["body"])
        except ValueError:
            body = None
        given["body"] = json.dumps(shown(body)) if isinstance(body, dict) else "{}"
    every = urlencode({k: redacted(v) for k, v in given.items()}, quote_via=quote)
    return f"{redacted(place)}?{every}" if every else redacted(place)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(),
        "commit": git_commit(),
        "cpus": os.cpu_count(),
        "accelerator": accelerator(),
    }
