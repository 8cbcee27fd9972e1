"""Marks that a server gave, kept in a run folder that ``show`` and ``report`` read.

Each batch is on disk before its marks are answered: one line an image in ``served.jsonl``. What
they add up to is written when the server stops, and when one starts on what another left.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Draw, Sample, UserError
from harmon_eval.files.images import read_picture
from harmon_eval.running.faults import of_task
from harmon_eval.running.jobs import Job
from harmon_eval.running.provenance import environment, now, written
from harmon_eval.running.results import store_result, summarize
from harmon_eval.serving.line import Waiting
from harmon_eval.serving.rewards import Served, rows_of
from harmon_eval.store import tables
from harmon_eval.store.log import append, log_entries
from harmon_eval.store.redact import redacted
from harmon_eval.store.run_folder import SERVED, RunFolder, differing
from harmon_eval.store.task_folder import TaskFolder
from harmon_eval.suites import Suite

if TYPE_CHECKING:
    import pandas as pd

LOG = "served.jsonl"
SERVING = "serving: marks are added up when the server stops, or starts again with this store"
KEPT = 1000  # of so many images one is kept, with its marks
MODEL = {"name": "images sent to serve", "fingerprint": "not given", "settings": {}}


class Ledger:
    """``rewards`` are those whose marks it keeps; it is only used while its folder is locked."""

    def __init__(self, run: RunFolder, suite: Suite, rewards: Sequence[Served]) -> None:
        self.run, self.suite, self.rewards = run, suite, rewards
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def start(self, command: Mapping[str, Any]) -> int:
        """Begin, or go on with what is stored. Returns how many marks the folder holds.
        ``command``: the command line and its options, for the manifest.

        Raises UserError where the folder holds something else."""
        if self.run.exists and self.run.model["name"] != MODEL["name"]:
            raise UserError(
                f"{self.run.path} holds a run of {self.run.model['name']}: choose another --store"
            )
        self.run.start({"model": MODEL, "suite": self.suite.name, "seed": 0})
        self.run.update(
            started=self.run.manifest.get("started", now()),
            environment=environment(),
            command=dict(command),
            data=str(self.suite.data_folder) if self.suite.data_folder else None,
            instruments={role: written(spec) for role, spec in self.suite.chosen.items()},
        )
        for reward in self.rewards:
            self.run.start_task(reward.name, reward.task.version, f"{SERVED}: {reward.name}", None)
        self.serving()
        for base in {reward.base for reward in self.rewards}:
            self._counts[base] = sum(1 for _ in self._entries(base))
        return sum(self._counts.values())

    def serving(self) -> None:
        self.run.update(state="serving")
        for reward in self.rewards:
            self.run.update_task(reward.name, state=SERVING)

    def folder(self, base: str) -> TaskFolder:
        return self.run.task(base)

    def keep(self, base: str, batch: Sequence[Waiting], rows: Sequence[Mapping[str, Any]]) -> None:
        """Store a batch durably; of every ``KEPT`` images the first with its pixels."""
        folder = self.folder(base)
        folder.path.mkdir(parents=True, exist_ok=True)
        entries = [_entry(one, row) for one, row in zip(batch, rows, strict=True)]
        with self._lock:
            before = self._counts.get(base, 0)
            self._counts[base] = before + len(batch)
        kept = {
            one.answer.sample.id: read_picture(one.picture.file)
            for number, one in enumerate(batch, start=before)
            if number % KEPT == 0 and one.picture is not None
        }
        for reward in self.rewards:
            if kept and reward.base == base:
                self.run.task(reward.name).record(kept)
        append(folder.path / LOG, entries, folder.root)

    def check(self, keys: Mapping[str, Mapping[str, Any]]) -> None:
        """Note what marks. Raises UserError where the folder holds marks of something else."""
        for reward in self.rewards:
            known = self.run.manifest["tasks"][reward.name].get("marked_by")
            key = json.loads(json.dumps(redacted({**keys[reward.base], "version": ""})))
            key["version"] = reward.task.version
            if self._counts[reward.base] and known is not None and known != key:
                told = "; ".join(differing(known, key))
                raise UserError(
                    f"{self.run.path} holds marks of {reward.name} by other means ({told}): "
                    "choose another --store"
                )
            self.run.update_task(reward.name, marked_by=key)

    def finish(self, keys: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
        """Add up what is stored, by reward; ``keys`` say what the marks of a base depend on.

        Returns how many marks each has."""
        counts = {}
        for reward in self.rewards:
            entries = list(self._entries(reward.base))
            counts[reward.name] = len(entries)
            if entries:
                self._add_up(reward, entries, keys[reward.base])
            else:
                self.run.update_task(reward.name, state="no image was sent for it")
        self.run.update(state="done", finished=now())
        tables.write_tables(self.run.path)
        return counts

    def _entries(self, base: str) -> list[dict[str, Any]]:
        folder = self.folder(base)
        if not (folder.path / LOG).is_file():
            return []
        found = {entry["id"]: entry for _, entry in log_entries(folder.path / LOG, folder.root)}
        return list(found.values())

    def _add_up(
        self, reward: Served, entries: Sequence[dict[str, Any]], key: Mapping[str, Any]
    ) -> None:
        own = rows_of(reward, [entry["row"] for entry in entries])
        samples = [_sample(entry) for entry in entries]
        rows = _frame(entries, own)
        folder = self.run.task(reward.name)
        folder.path.mkdir(parents=True, exist_ok=True)
        key = {**key, "version": reward.task.version}
        folder.finish_marks(key, rows)
        identity = self.run.manifest["identity"]
        data = self.run.manifest["tasks"][reward.name]["data"]
        try:
            # What was sent may be less than all prompts there are.
            task = replace(reward.task, census=None)
            job = Job(reward.name, task, samples, samples, None, nameless=True)
            with of_task(reward.name, "summarize"):
                result = summarize(job, rows, {**identity, "limit": None, "data": data, **key})
        except UserError as error:
            self.run.update_task(reward.name, state=f"marked, not added up: {error}")
            return
        store_result(folder, reward.task, result)
        unscored = sum(result.unscored.values())
        self.run.update_task(reward.name, state="done", n=result.n, unscored=unscored)


def _entry(waiting: Waiting, row: Mapping[str, Any]) -> dict[str, Any]:
    sample, picture = waiting.answer.sample, waiting.picture
    return {
        "id": sample.id,
        "group": sample.group,
        "stratum": sample.stratum,
        "prompt": sample.request.text,
        "target": json.loads(json.dumps(dict(sample.target), default=str)),
        "time": now(),
        **({"sent_as": picture.format, "sha256": picture.sha256} if picture else {}),
        "row": {name: _plain(value) for name, value in row.items()},
    }


def _plain(value: Any) -> Any:
    """As JSON; NumPy's numbers are numbers."""
    return value.tolist() if hasattr(value, "tolist") else value


def _sample(entry: Mapping[str, Any]) -> Sample:
    """What the summary needs of a sample."""
    request, target = Draw(entry["prompt"]), entry["target"]
    return Sample(entry["id"], request, target, entry["group"], entry["stratum"])


def _frame(entries: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    told = ("id", "group", "stratum", "sent_as", "time")
    frame = pd.DataFrame(
        [
            {
                "prompt": entry["prompt"],
                **row,
                **{name: entry.get(name) for name in told},
                "response": entry.get("sha256", "")[:16],
                "unscored": row.get("unscored") or None,
            }
            for entry, row in zip(entries, rows, strict=True)
        ]
    )
    return frame.astype({"unscored": object})
