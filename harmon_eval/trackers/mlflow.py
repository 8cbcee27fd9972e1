"""MLflow: at ``MLFLOW_TRACKING_URI``, or else in files of the run folder (``mlflow ui
--backend-store-uri RUN/trackers/mlflow/store``).

A run folder is one run there: a second call goes on with it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Its file store, which needs no database, asks for this since MLflow 3.7.
os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from harmon_eval.core import UserError
from harmon_eval.trackers import PROJECT, reason_of

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

ID = "id.txt"
LONGEST = 500  # characters of a parameter
AT_ONCE = 100


class MLflow:
    failures = (Exception,)  # which its file store raises without a class of its own

    def __init__(self, client: MlflowClient, run: str) -> None:
        self.client, self.run = client, run

    def settings(self, values: Mapping[str, Any]) -> None:
        """Parameters never change there, so those that it has already stay."""
        known = self.client.get_run(self.run).data.params
        flat = {_name(name): str(value)[:LONGEST] for name, value in _flat(values)}
        new = [Param(name, value) for name, value in flat.items() if name not in known]
        for part in _parts(new):
            self.client.log_batch(self.run, params=part)
        self.client.log_dict(self.run, dict(values), "settings.json")

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        from time import time

        now = int(1000 * time())
        found = [Metric(_name(name), value, now, step) for name, value in values.items()]
        for part in _parts(found):
            self.client.log_batch(self.run, metrics=part)

    def table(self, name: str, rows: pd.DataFrame, step: int) -> None:
        self.client.log_text(self.run, rows.to_csv(index=False), f"tables/{_file(name)}-{step}.csv")

    def picture(self, name: str, image: Image.Image, caption: str, step: int) -> None:
        place = f"pictures/{_file(name)}-{step}"
        self.client.log_image(self.run, image, f"{place}.png")
        self.client.log_text(self.run, caption, f"{place}.txt")

    def close(self) -> None:
        self.client.set_terminated(self.run)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _name(name: str) -> str:
    """MLflow takes letters, digits and ``_ - . : /`` and blanks."""
    return re.sub(r"[^\w\-.:/ ]", "_", name, flags=re.ASCII)[:250]


def _file(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip(".")[:120]


def _parts(items: list[Any]) -> Iterable[list[Any]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def ready() -> None:
    """Raises UserError for a server that does not answer, and a kind of place that is not known."""
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        try:
            _experiment(MlflowClient(given))
        except MlflowException as error:
            raise _not_started(error) from None


def _experiment(client: MlflowClient) -> Any:
    """None where there is none yet."""
    return client.get_experiment_by_name(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))


def _not_started(error: Exception) -> UserError:
    return UserError(
        f"MLflow did not start ({reason_of(error)}): check MLFLOW_TRACKING_URI (databases need "
        "`pip install mlflow`), or leave it out for files"
    )


def start(folder: Path, title: str) -> MLflow:
    """Raises UserError for a server that does not answer."""
    file = folder / ID
    try:
        client = MlflowClient(
            os.environ.get("MLFLOW_TRACKING_URI") or (folder / "store").absolute().as_uri()
        )
        if file.is_file():
            run = file.read_text().strip()
            client.update_run(run, status="RUNNING")
            return MLflow(client, run)
        known = _experiment(client)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        place = known.experiment_id if known else client.create_experiment(name)
        run = client.create_run(place, run_name=title).info.run_id
    except MlflowException as error:
        raise _not_started(error) from None
    file.write_text(run + "\n")
    return MLflow(client, run)
