"""Set up a page for raters: the samples, the scale, the log, and the lock of the run folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.metrics.text import counted
from harmon_eval.people import questions
from harmon_eval.people.marks import PAIR, RIGHT_OR_WRONG, HumanMarks, scale
from harmon_eval.people.server import PageServer, Session
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.run_folder import RunFolder


@dataclass(frozen=True)
class Settings:
    """Options of the command ``label``."""

    task: str | None = None
    against: Path | None = None
    samples: int = 60
    seed: int = 0
    scale: str = ""
    data: Path | None = None
    port: int = 0


@contextmanager
def open_page(path: Path, settings: Settings) -> Iterator[PageServer]:
    """A page that is ready to serve. It holds the run's lock: one process writes.

    Raises UserError for a task, scale, choice or port that cannot be used."""
    run = RunFolder(path)
    task = task_of(run, settings.task)
    other = RunFolder(settings.against) if settings.against else None
    if other and settings.scale:
        raise UserError("--scale is for single responses: of two runs, say which is better")
    asked = PAIR if other else scale(settings.scale)
    found = questions.read(run, task, other, settings.data)
    against = identity_of(other) if other else ""
    marks = HumanMarks(run.task(task), asked.name, against)
    chosen = questions.choose(list(found.hashes), settings.samples, settings.seed)
    with run.locked():
        marks.note_choice(chosen, settings.seed)
        shown = [questions.shown(found, sample, settings.seed) for sample in chosen]
        session = Session(
            shown, asked, marks, f"{task}: {counted(len(shown), 'sample')} of {path.name}"
        )
        try:
            server = PageServer(session, settings.port, task)
        except (OSError, OverflowError) as error:
            raise UserError(f"port {settings.port} cannot be used ({error}): give none") from None
        with server:
            yield server


def task_of(run: RunFolder, name: str | None) -> str:
    """Raises UserError if it is not told which of several tasks is meant."""
    known = list(run.manifest["tasks"])
    if name is None and len(known) == 1:
        return str(known[0])
    if name not in known:
        said = f"has no task {name!r}" if name else "has several tasks: choose one with --task"
        raise UserError(f"{run.path} {said} ({', '.join(known)})")
    return str(name)


def label_command(
    run: Path, task: str, against: Path | None, scale: str = "", command: str = "label"
) -> str:
    """The command that asks for marks of this kind, or that reads them."""
    words = [command, str(run), "--task", task]
    words += ["--against", str(against)] if against else []
    words += ["--scale", scale] if scale not in ("", RIGHT_OR_WRONG.name, PAIR.name) else []
    return shlex.join(words)


def identity_of(run: RunFolder) -> str:
    """What marks of a comparison call the other run: its model, settings and seed."""
    manifest = run.manifest["identity"]
    model = run.model
    told = f"{model['fingerprint']}, {model['settings']}, {manifest.get('seed')}"
    return f"{model['name']} {sha256_of(told)[:8]}"
