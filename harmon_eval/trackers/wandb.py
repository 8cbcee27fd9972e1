"""Weights & Biases. Without a network: ``WANDB_MODE=offline``, and ``wandb sync`` later.

A run folder is one run there: a second call goes on with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb

from harmon_eval.core import UserError
from harmon_eval.trackers import PROJECT, reason_of

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

ID = "id.txt"


class WeightsAndBiases:
    failures = (wandb.errors.Error, OSError)

    def __init__(self, run: Any) -> None:
        self.run = run

    def settings(self, values: Mapping[str, Any]) -> None:
        self.run.config.update(dict(values), allow_val_change=True)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        # The step is a number of its own: theirs only rises, and a run may be tracked again.
        self.run.log({**values, "step": step})

    def table(self, name: str, rows: pd.DataFrame, step: int) -> None:
        cells = [[_cell(value) for value in row] for row in rows.itertuples(index=False)]
        table = wandb.Table(
            columns=list(map(str, rows.columns)), data=cells, allow_mixed_types=True
        )
        self.run.log({name: table, "step": step})

    def picture(self, name: str, image: Image.Image, caption: str, step: int) -> None:
        self.run.log({name: wandb.Image(image, caption=caption), "step": step})

    def close(self) -> None:
        self.run.finish()


def _cell(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def ready() -> None:
    """Raises UserError without a key for runs that go to the network, or where that does not
    answer. A terminal is asked for the key."""
    if wandb.setup().settings.mode not in ("online", "run", "shared"):
        return
    try:
        wandb.login()
    except wandb.errors.Error as error:
        raise _not_started(error) from None


def _not_started(error: Exception) -> UserError:
    return UserError(
        f"wandb did not start ({reason_of(error)}): `wandb login`, or set WANDB_MODE=offline"
    )


def start(folder: Path, title: str) -> WeightsAndBiases:
    """Raises UserError without a key for a run that goes to the network."""
    file = folder / ID
    name = file.read_text().strip() if file.is_file() else secrets.token_hex(4)
    file.write_text(name + "\n")
    try:
        run = wandb.init(
            project=None if wandb.Settings().project else PROJECT,
            name=title,
            id=name,
            resume="allow",
            dir=str(folder),
            settings=wandb.Settings(console="off", silent=True),
        )
    except wandb.errors.Error as error:
        raise _not_started(error) from None
    run.define_metric("*", step_metric="step")
    return WeightsAndBiases(run)
