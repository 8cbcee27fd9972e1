"""The user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """``HARMON_EVAL_CACHE``, or the platform's cache folder."""
    override = os.environ.get("HARMON_EVAL_CACHE")
    return Path(override) if override else user_cache_path("harmon_eval")
