"""Images that something else drew or edited, in a benchmark's published layout or with a list."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

from PIL import Image

from harmon_eval.adapters._edited import Edited
from harmon_eval.core import (
    Draw,
    Drawn,
    Edit,
    Request,
    Responder,
    Sample,
    Task,
    Unscorable,
    UserError,
)
from harmon_eval.files.drawn import folded, inside, read_drawn
from harmon_eval.files.found import check_one, in_order, pictures, say_others
from harmon_eval.files.grids import SIDE, are_grids, cell
from harmon_eval.files.images import open_image, read_picture
from harmon_eval.metrics.text import counted
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.task_folder import LOG

logger = logging.getLogger(__name__)
Key = tuple[str, int]  # a prompt and the number of a drawing of it: unique within a task


@dataclass(frozen=True)
class Settings:
    """``grid``: drawings in a row of each picture; 1 takes each picture as one drawing, and by
    default only those that a layout puts into grids of 2 x 2 are cut."""

    REFUSES: ClassVar[str] = "the images are drawn already"

    grid: int | None = None

    def __post_init__(self) -> None:
        if self.grid is not None and not 1 <= self.grid <= 8:
            raise ValueError(f"grid={self.grid}: give the drawings in a row, 1 to 8")


@dataclass(frozen=True)
class Picture:
    """The drawing of a file, or one of several in it."""

    file: Path
    cell: int = 0
    side: int = 1

    def open(self) -> Image.Image:
        """Raises Unscorable."""
        if self.side == 1:
            return open_image(self.file)
        return cell(read_picture(self.file), self.cell, self.side)


class FolderResponder(Responder):
    """Answers a drawing request with the stored image of the same sample, or prompt and index.

    Understood: ``prompts.csv``, ``.json`` or ``.jsonl`` with the fields ``file`` and ``prompt``;
    ``00000000.jpg`` beside ``00000000.json`` as Harmon writes them; the published layout of the
    task that asks (``Task.layout``); and the images of a run of this project. Several files of one
    prompt are its drawings 0, 1, ... in sorted order. Results of edits are matched by sample or by
    source and instruction (``_edited``). How they were drawn is not known and the
    provenance says so. The fingerprint is of prompts, file names and bytes.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        """Raises UserError for a folder without images, or with a list that cannot be read."""
        if not folder.is_dir():
            raise UserError(f"no folder {str(folder)!r}: give folder:PATH with a folder of images")
        self.folder, self.chosen = folder, settings or Settings()
        self.name = f"folder:{folder.resolve().name}"
        given = {} if self.chosen.grid is None else {"grid": self.chosen.grid}
        self.settings = {"recipe": "unknown", **given}
        self.drawn = read_drawn(folder)
        self.asked: dict[Key, Picture | str] = {}
        files = {drawn.file for drawn in self.drawn} if self.drawn else set(pictures(folder))
        if not any(file.is_file() and _is_inside(folder, file) for file in files):
            raise UserError(_none_found(folder))
        digest = hashlib.sha256()
        prompts = {drawn.file: drawn.prompt for drawn in self.drawn}
        for file in sorted(files):
            readable = file.is_file() and _is_inside(folder, file)
            content = sha256_of(file) if readable else "missing"
            line = f"{prompts.get(file, '')}\0{file.relative_to(folder)}\0{content}\0"
            digest.update(line.encode("utf-8", "surrogateescape"))
        self.fingerprint = digest.hexdigest()
        self._by_prompt = _by_prompt(self.drawn, 1)
        self._edited = Edited(self.drawn)

    def holds(self, task: Task) -> Sequence[str]:
        if not task.any_images:
            return ()
        say_others(self.folder)
        return [drawn.file.relative_to(self.folder).as_posix() for drawn in self._any(task)]

    def _any(self, task: Task) -> list[Drawn]:
        """All pictures, as a task that marks ``any_images`` numbers them."""
        found = (task.layout(self.folder) if task.layout else None) or ()
        return [replace(drawn, file=inside(self.folder, drawn.file)) for drawn in found]

    def expect(self, name: str, task: Task, samples: Sequence[Sample]) -> None:
        """Find the picture of each sample. Raises UserError where the folder has none of them."""
        if edits := [sample for sample in samples if sample.request.verb == Edit.verb]:
            self._edited = Edited(self._found(name, task))
            if not self._edited.match(edits):
                raise UserError(
                    f"{self.folder} has none of the {len(edits)} results that {name} asks for: its "
                    "names, or its sources and instructions, are those of something else"
                )
        asked = ((s, s.request) for s in samples if s.request.verb == Draw.verb and not s.after)
        drawings = [(sample, cast(Draw, request)) for sample, request in asked]
        self._by_prompt, self.asked = _by_prompt(self.drawn, 1), {}
        if not drawings:
            return
        one_each = all(request.index == 0 for _, request in drawings)
        found, side = self._with_grids(self._found(name, task), one_each)
        self._by_prompt = _by_prompt([drawn for drawn in found if drawn.prompt], side)
        ids: dict[str, Drawn] = {}
        for drawn in found:
            check_one(
                [ids.setdefault(drawn.sample, drawn).file, drawn.file] if drawn.sample else []
            )
        other: list[str] = []
        rewritten: dict[str, str] = {}
        for sample, request in drawings:
            if sample.id not in ids:
                continue
            drawn = ids[sample.id]
            prompt = folded(request.prompt)
            if drawn.prompt and folded(drawn.prompt) != prompt:
                told = f"the picture of its number was drawn from another prompt: {drawn.prompt!r}"
                self.asked.setdefault((prompt, request.index), told)
                other.append(drawn.prompt)
                continue
            _check_target(drawn, sample)
            if drawn.rewritten and folded(drawn.rewritten) != prompt:
                rewritten[sample.group] = drawn.rewritten
            for number, picture in enumerate(_cut(drawn, side)):
                self.asked[prompt, request.index + number] = picture
        if not any(isinstance(self._known(request), Picture) for _, request in drawings):
            raise UserError(self._nothing(name, task, len(drawings), other))
        groups = len({sample.group for sample, _ in drawings})
        self._say(rewritten, groups, sum(drawn.grid for drawn in found), side)

    def _found(self, name: str, task: Task) -> list[Drawn]:
        """What the folder holds for this task. Raises UserError where that is nothing."""
        if task.any_images:
            return self._any(task)
        folder, of_task = _images_of_run(self.folder, name)
        listed = self.drawn if folder == self.folder else read_drawn(folder)
        if of_task is not None and not listed:
            if name.partition(":")[0] != of_task:
                raise UserError(f"{folder} holds the drawings of {of_task}, not those of {name}")
            ids = ((file, file.relative_to(folder).with_suffix("")) for file in pictures(folder))
            return [Drawn(inside(folder, file), sample=str(name)) for file, name in ids]
        published = list((task.layout(folder) if task.layout else None) or ())
        published = [replace(drawn, file=inside(folder, drawn.file)) for drawn in published]
        if not listed and not published:
            raise UserError(_none_found(self.folder, name, task))
        if task.images_only or not listed:
            return published
        if {drawn.file for drawn in published if drawn.prompt} == {drawn.file for drawn in listed}:
            return published  # the same pictures with their numbers
        grids = {drawn.file for drawn in published if drawn.grid}
        return [replace(drawn, grid=drawn.grid or drawn.file in grids) for drawn in listed]

    def _with_grids(self, found: list[Drawn], one_each: bool) -> tuple[list[Drawn], int]:
        """The same with those marked that are grids, and how many drawings are in a row of them.

        Raises UserError where that is open."""
        if (given := self.chosen.grid) is not None:
            return [replace(drawn, grid=given > 1) for drawn in found], given
        files = [drawn.file for drawn in found if drawn.grid and drawn.file.is_file()]
        if not files or are_grids(files):
            return found, SIDE
        if one_each:
            return [replace(drawn, grid=False) for drawn in found], 1
        raise UserError(
            f"{self.folder}: its layout puts four drawings into a picture, but {files[0].name} and "
            f"others do not look so: give folder:{self.folder}?grid=2 for grids of 2 x 2, or "
            "?grid=1 where each picture is one drawing"
        )

    def _known(self, request: Draw) -> Picture | str:
        """The picture that answers a request, or why there is none."""
        prompt = folded(request.prompt)
        own = self.asked.get((prompt, request.index), "")
        if isinstance(own, Picture):
            return own
        listed = self._by_prompt.get(prompt, [])
        if request.index < len(listed):
            return listed[request.index]
        return own or f"the folder has {counted(len(listed), 'image')} of this prompt"

    def _nothing(self, name: str, task: Task, number: int, other: Sequence[str]) -> str:
        text = f"{self.folder} has none of the {number} images that {name} asks for"
        if not other:
            return f"{text}: its prompts or names are those of something else"
        text += f": they were drawn from other prompts, such as {other[0][:80]!r}"
        if task.rewritten:
            variant = f"{name.partition(':')[0]}:{task.rewritten}"
            text += f"; --tasks {variant} marks rewritten prompts by number"
        return f"{text}; or give --data with the file of these prompts"

    def _say(self, rewritten: Mapping[str, str], groups: int, grids: int, side: int) -> None:
        """What was done with the pictures, aloud and for the provenance."""
        said = {}
        if rewritten:
            said["prompts"] = f"{len(rewritten):,} of {groups:,} prompts are rewritten ones"
            texts = "\0".join(f"{group}\0{text}" for group, text in sorted(rewritten.items()))
            said["prompts_sha256"] = sha256_of(texts)
            said["first_prompt"] = rewritten[min(rewritten)]
        if grids and side > 1:
            said["grid"] = f"{grids} pictures are grids of {side} x {side} and are cut"
        for name in ("prompts", "grid"):
            if name in said and self.about.get(name) != said[name]:
                logger.warning("%s: %s", self.folder, said[name])
        self.about = {**self.about, **said}

    def reads(self, request: Request) -> Sequence[Path]:
        if isinstance(request, Edit):
            file = self._edited.file_of(request)
            return (file,) if isinstance(file, Path) else ()
        found = self._known(cast(Draw, request))
        return (found.file,) if isinstance(found, Picture) else ()

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        return [self._stored(request) for request in requests]

    def edit(self, requests: Sequence[Edit]) -> Sequence[Image.Image | Exception]:
        return [self._edited.open(request) for request in requests]

    def _stored(self, request: Draw) -> Image.Image | Exception:
        found = self._known(request)
        if isinstance(found, str):
            return Unscorable(found)
        try:
            return found.open()
        except Unscorable as error:
            return error


def _by_prompt(drawn: Iterable[Drawn], side: int) -> dict[str, list[Picture]]:
    """The drawings of each prompt, in the order of their files."""
    found: dict[str, dict[Path, Drawn]] = defaultdict(dict)
    for one in drawn:
        found[folded(one.prompt)][one.file] = one
    return {
        prompt: [picture for file in in_order(own) for picture in _cut(own[file], side)]
        for prompt, own in found.items()
    }


def _cut(drawn: Drawn, side: int) -> list[Picture]:
    """The drawings in a picture; by one in a row, it is the one."""
    if not drawn.grid or side == 1:
        return [Picture(drawn.file)]
    return [Picture(drawn.file, number, side) for number in range(side**2)]


def _check_target(drawn: Drawn, sample: Sample) -> None:
    """Raises UserError for a picture that is of another sample than its number says."""
    for key, value in drawn.target.items():
        own = sample.target.get(key, type(value)())
        if own != value:
            raise UserError(
                f"{drawn.file}: its {key} is not that of sample {sample.id}: these are images of "
                "another list of prompts; give --data with that list"
            )


def _images_of_run(folder: Path, name: str) -> tuple[Path, str | None]:
    """Where the images lie, and of which task of a run they are; None: they are of no run.

    ``folder`` is a run, a task's folder in it, or the images in that."""
    if (folder / "manifest.json").is_file():
        for own in (name, name.partition(":")[0]):
            images = RunFolder(folder).task(own).path / "images"
            if images.is_dir():
                return images, name.partition(":")[0]
        raise UserError(f"{folder} is a run without drawings of {name}")
    if (folder / LOG).is_file() and (folder / "images").is_dir():
        folder = folder / "images"
    if folder.name == "images" and (folder.parent / LOG).is_file():
        own = RunFolder(folder.parent.parent).task(name).path.name
        return folder, name.partition(":")[0] if own == folder.parent.name else folder.parent.name
    return folder, None


def _is_inside(folder: Path, file: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _none_found(folder: Path, name: str = "", task: Task | None = None) -> str:
    """Why a folder holds nothing of any task, or of the task ``name``, and what would."""
    if not pictures(folder):
        return f"{folder} holds no pictures: give the folder that they are in"
    if task is None:
        layout = "use the layout that the benchmark publishes (docs/adapters.md), "
    elif task.layout_shown:
        layout = f"use the layout that {name} publishes ({task.layout_shown}), "
    else:
        layout = "use "
    return (
        f"{folder} holds no images with prompts: {layout}the images folder of a run, or add "
        "prompts.csv with the columns file,prompt (for edits prompts.jsonl with file, instruction "
        "and source)"
    )


def open_model(argument: str, settings: Settings) -> FolderResponder:
    """``folder:PATH``. Raises UserError."""
    if not argument:
        raise UserError("folder: needs a path, such as --model folder:IMAGES")
    return FolderResponder(Path(argument), settings)
