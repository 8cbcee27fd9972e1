"""What a run folder may decide, which anybody may have made: nothing that opens a connection, loads
weights or runs a program.

The instruments of a run are taken up again by ``mark``. One that sends a key and pictures to an
address, or that opens weights or a program, is used only where the user names it himself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harmon_eval import registry, settings
from harmon_eval.core import UserError
from harmon_eval.instruments.judging import Judge
from harmon_eval.running.asking import stored_answers
from harmon_eval.running.collecting import marked
from harmon_eval.running.jobs import Job
from harmon_eval.running.marking import load_instruments, mark_key
from harmon_eval.running.rounds import Rounds
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites import Suite

SERVED = "openai"
PROGRAM = "sha256"  # the setting that lets a program of one's own be opened


def danger(role: str, spec: str) -> str:
    """What using this instrument would do that only the user may ask for; empty if nothing."""
    place, given = settings.split(spec)
    if PROGRAM in given:
        return "which opens a program of its own"
    if registry.instrument_module(role, spec) is not None:
        return ""
    name, _, argument = place.partition(":")
    if "://" in place or name == SERVED:
        return "which sends your key and the run's pictures there"
    if name in registry.instrument_names(role):
        return ""  # a plug-in that the user installed
    if place == registry.BUNDLED_MODEL:
        return ""
    return "which would be loaded" if Path(argument or name).exists() else "which would be fetched"


def check_instruments(
    jobs: Sequence[Job], suite: Suite, folder: RunFolder, unnamed: Mapping[str, str]
) -> None:
    """Raises UserError where marking would need an instrument that only the manifest names
    (``unnamed``) and that does more than reading files.

    A served judge whose replies are all here is not asked, so its marks can be made again."""
    for job in jobs:
        for role in job.task.instruments:
            spec = unnamed.get(role)
            if spec is None or not (what := danger(role, spec)):
                continue
            reason = (
                f"{folder.path} names the {role} {spec.partition('?')[0]}, {what}: if that is what "
                f"you want, {_way(role, spec)}"
            )
            served = role == "judge" and settings.split(spec)[0].partition(":")[0] == SERVED
            judge = suite.instrument(role, job.task) if served else None
            if not isinstance(judge, Judge):
                raise UserError(reason)
            judge.silent = reason
            if _would_ask(job, suite, folder):
                raise UserError(reason)


def _way(role: str, spec: str) -> str:
    """How the user names it."""
    place = settings.split(spec)[0]
    url = place.partition("@http")
    say = f"name it yourself with --instrument {role}={place}"
    return f"{say} (or --judge-url http{url[2]})" if role == "judge" and url[1] else say


def _would_ask(job: Job, suite: Suite, folder: RunFolder) -> bool:
    """Whether a sample that is to be marked has no reply of the judge yet."""
    if job.task.judged is None:
        return True
    place = folder.task(job.name)
    instruments = load_instruments(job.task, suite, place)
    judge = instruments["judge"]
    rounds = Rounds(job.task, job.samples)
    answers, _ = stored_answers(place, place.recorded(), job.samples, rounds=rounds)
    done = marked(place, mark_key(job.task, instruments), answers.sound)
    for sample in job.samples:
        if sample.id in done or (answer := answers.answer(sample)) is None:
            continue
        if judge.unanswered(list(job.task.judged(sample, answer.image))):
            return True
    return False
