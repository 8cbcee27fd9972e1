"""Store what a benchmark measured as JSON: ratios to compare later, and the machine used."""

from __future__ import annotations

import json
import platform
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harmon_eval.running.provenance import environment

RESULTS = Path(__file__).with_name("results")


def processor() -> str:
    """The machine's processor or accelerator, as its maker names it."""
    import torch  # here and below: Linux counts a parent's memory as the peak of its children

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def settings(arguments: Namespace) -> dict[str, Any]:
    """The options of a benchmark, without where it writes."""
    return {name: value for name, value in vars(arguments).items() if name != "results"}


def write(name: str, ratios: dict[str, float], measured: Any, folder: Path = RESULTS) -> Path:
    """Write ``{name}.json``. ``compare`` checks the ``ratios``, for which higher is better.
    ``measured`` holds everything else that was measured."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    record = {
        "benchmark": name,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "vector instructions": torch.backends.cpu.get_cpu_capability(),
        },
        "environment": environment(),
        "ratios": {key: round(value, 3) for key, value in ratios.items()},
        "measured": measured,
    }
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"written: {path.name}")
    return path
