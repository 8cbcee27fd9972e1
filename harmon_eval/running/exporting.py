"""A run's images in the layout that their benchmark publishes, for its own scripts."""

from __future__ import annotations

from pathlib import Path

from harmon_eval import registry, suites
from harmon_eval.core import Answer, UserError
from harmon_eval.files.images import open_image, plain, read_picture
from harmon_eval.running.asking import stored_answers
from harmon_eval.running.jobs import Job, RunSettings, data_of_job, prepare
from harmon_eval.running.rounds import Rounds
from harmon_eval.store.durable import write_all
from harmon_eval.store.pngs import png
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.task_folder import check_sample_id

BATCH = 64  # images in memory at a time


def export(run: Path, name: str, to: Path, data: Path | None = None) -> int:
    """Write the images that the task ``name`` of a run has below ``to``; gives their number.

    All become PNG files, whatever the sources were. Raises UserError for a task without such a
    layout, for data that are not the run's, and for a folder that holds something already."""
    folder = RunFolder(run)
    if name not in folder.manifest["tasks"]:
        known = ", ".join(folder.manifest["tasks"])
        raise UserError(f"{run} has no task {name!r}: its tasks are {known}")
    task = registry.task(name)
    if task.published is None:
        raise UserError(
            f"{name} has no published layout to export to: what was answered lies in "
            f"{folder.task(name).path}"
        )
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"{to} is not an empty folder: choose another")
    answers = _answers(folder, _job(folder, name, data))
    places = list(task.published(answers).items())
    for start in range(0, len(places), BATCH):
        write_all({_place(to, p): _as_png(file) for p, file in places[start : start + BATCH]})
    return len(places)


def _job(run: RunFolder, name: str, data: Path | None) -> Job:
    manifest = run.manifest
    identity = manifest["identity"]
    suite = suites.load(identity["suite"], data or run.data_of(name))
    job = prepare(name, registry.task(name), suite, RunSettings(identity["seed"]))
    if data_of_job(job) != manifest["tasks"][name]["data"]:
        raise UserError(f"the data of {name} here are not those of the run: give theirs as --data")
    return job


def _answers(run: RunFolder, job: Job) -> list[Answer]:
    folder = run.task(job.name)
    rounds = Rounds(job.task, job.everything)
    stored, _ = stored_answers(folder, folder.recorded(), job.everything, rounds=rounds)
    found = (stored.answer(sample) for sample in job.everything if sample.id in stored)
    answers = [answer for answer in found if answer is not None]
    if not answers:
        raise UserError(f"{run.path} has no images of {job.name} yet")
    return answers


def _place(to: Path, place: str) -> Path:
    """A place below the folder. Raises UserError for one that data could lead elsewhere."""
    check_sample_id(place)
    return to / place


def _as_png(file: Path) -> bytes:
    image = open_image(file)
    if image.format == "PNG" and plain(image) and file.is_file():
        return file.read_bytes()
    return png(read_picture(file))
