"""TensorBoard, by PyTorch's writer: event files that no network is needed for.

Metrics with intervals have a chart with a band on the page "Custom scalars".
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

LOW, HIGH = "_low", "_high"


class TensorBoard:
    failures = (OSError,)

    def __init__(self, folder: Path) -> None:
        self.writer = SummaryWriter(str(folder))
        self.bands: dict[str, list[Any]] = {}

    def settings(self, values: Mapping[str, Any]) -> None:
        text = json.dumps(values, indent=2, ensure_ascii=False, default=str)
        self.writer.add_text("settings", f"<pre>{html.escape(text)}</pre>", 0)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        bands = {n for n in values if n + LOW in values and n + HIGH in values}
        if bands - self.bands.keys():
            self.bands |= {n: ["Margin", [n, n + LOW, n + HIGH]] for n in sorted(bands)}
            self.writer.add_custom_scalars({"95 % intervals": self.bands})
        self.writer.flush()

    def table(self, name: str, rows: pd.DataFrame, step: int) -> None:
        from harmon_eval.store.tables import cell

        heads = [cell(column) for column in rows.columns]
        lines = [heads, ["---"] * len(heads)]
        lines += [[cell(value) for value in row] for row in rows.itertuples(index=False)]
        self.writer.add_text(name, "\n".join(f"| {' | '.join(line)} |" for line in lines), step)

    def picture(self, name: str, image: Image.Image, caption: str, step: int) -> None:
        pixels = np.asarray(image.convert("RGB"))
        self.writer.add_image(name, pixels, step, dataformats="HWC")
        self.writer.add_text(f"{name}/caption", html.escape(caption), step)

    def close(self) -> None:
        self.writer.close()


def ready() -> None:
    """It needs nothing but its package."""


def start(folder: Path, title: str) -> TensorBoard:
    return TensorBoard(folder)
