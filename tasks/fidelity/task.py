"""How far a folder of images is from another one: FID, KID, precision, recall and more.

``--tasks fidelity:REFS --model folder:DRAWN`` compares all pictures below two folders, whatever
their names, sizes and number. ``REFS`` may be a file of statistics instead: ``.npz`` of clean-fid,
pytorch-fid or ADM, or ``.pt`` of torch-fidelity's cache. If REFS has a list ``prompts.csv`` (file,
prompt), any model can draw from its prompts instead.

``fidelity:REFS?mode=MODE`` says how pictures are resized, by clean-fid's names: ``clean`` (the
default), ``legacy_pytorch``, ``legacy_tensorflow``; or ``gigagan256``. Numbers of different modes
do not compare, so the mode stands in the metric's name, with the network. Another network is
another metric: ``--instrument features=dinov2`` gives FD-DINOv2, ``features=cmmd`` CMMD. All
numbers come from one pass over the images:

- ``fid`` (for DINOv2: FD-DINOv2), ``fid_infinity`` (extrapolated to infinitely many drawn images),
  ``kid`` (over all pairs, so without random subsets).
- ``precision``, ``recall``, ``density``, ``coverage`` with 5 neighbours. They depend on the number
  of images, so both sides have equally many; ``compared`` says how many.
- ``vendi``: how many different images the drawn ones are worth; ``vendi_reference`` of REFS.

A file of statistics has no single features, so there are only ``fid``, ``fid_infinity`` and
``vendi`` then. ``statistics.npz`` in the run's folder has those of the drawn images, and
``python -m harmon_eval convert fidelity FOLDER FILE.npz`` writes a folder's. A drawn picture that
cannot be read is unscored, with its name; a damaged reference is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Draw,
    Instruments,
    Row,
    Sample,
    Source,
    Task,
    UserError,
)
from harmon_eval.files.drawn import read_drawn
from harmon_eval.metrics.fid_images import FeatureNet, feature_batches
from harmon_eval.tasks.fidelity import files, mini, references
from harmon_eval.tasks.fidelity.convert import convert
from harmon_eval.tasks.fidelity.summary import (
    METRICS,
    files_after,
    intervals,
    replicates,
    summarize,
)

__all__ = ["TASK", "convert", "open_task"]


@dataclass(frozen=True)
class Place:
    """Where the references lie. That is no part of what is asked: their content is."""

    path: Path

    def __repr__(self) -> str:
        return "references"


def samples(data: Data, place: Path | None, mode: files.Mode | None) -> Iterator[Sample]:
    """One for each finished image of the model, or for each prompt of the references.

    Raises UserError where there are neither, and for references that cannot be compared with."""
    place = place or data.folder
    files.check(place, mode)
    target = {"references": files.digest(place), "place": Place(place)}
    if held := data.held():
        for number, name in enumerate(held):
            yield Sample(files.numbered(number), Draw(name), target, files.numbered(number))
        return
    prompts = [drawn for drawn in read_drawn(place) if drawn.prompt] if place.is_dir() else []
    if not prompts:
        raise UserError(
            f"{place} has no prompts to draw from: give --model folder:IMAGES to compare finished "
            "images with it, or add prompts.csv with the columns file,prompt"
        )
    for number, drawn in enumerate(prompts):
        yield Sample(files.numbered(number), Draw(drawn.prompt), target, files.numbered(number))


def mark(answers: Sequence[Answer], instruments: Instruments, mode: str | None) -> list[Row]:
    """Features (d,) float32 of each image, and the key of its reference.

    Raises Unscorable for an image that cannot be read, UserError for a damaged reference."""
    net: FeatureNet = instruments["features"]
    target = answers[0].sample.target
    place = target["place"].path
    protocol = references.protocol_of(place, mode, net)
    key = references.prepared(place, target["references"], protocol, net)
    own = np.concatenate(list(feature_batches([a.image for a in answers], net, protocol)))
    references.check_width(key, place, own.shape[1], net.name)
    shared = {"setting": f"{protocol},{net.name}", "reference": key}
    return [
        {"name": answer.sample.request.text, **shared, "features": features}
        for answer, features in zip(answers, own, strict=True)
    ]


ABOUT = About(
    paper="arXiv 2104.11222",
    version="1",
    protocol="clean-fid 0.1.35 (finding, decoding, resizing and FID), dgm-eval @ 74c79f7 (FID∞, "
    "precision, recall, density, coverage, Vendi), cmmd-pytorch @ f7673a9",
    differs="Symmetric eigenvalues in float64 instead of a matrix square root. There is no FID of "
    "fewer images than features. KID is the mean over all pairs instead of random subsets. "
    "legacy_pytorch uses clean-fid's network with the resizing and scaling of pytorch-fid. Values "
    "of 16 bit keep their upper eight, where clean-fid clips them. `.npy` images and archives are "
    "not read, and that is said.",
    compares="Compare numbers of one mode, network, reference and number of images only. "
    "pytorch-fid's own numbers are `legacy_pytorch`, ADM's and torch-fidelity's "
    "`legacy_tensorflow`; MJHQ-30K's are the task `mjhq`.",
    licence="that of your images; the network is NVIDIA's conversion of the published one",
    size="as many images as the folders hold; mini: 80",
    cost="one pass of the network over both folders, that over the references once",
)


def open_task(argument: str = "") -> Task:
    """``fidelity:PLACE`` or ``fidelity:PLACE?mode=MODE``. Raises UserError."""
    place, chosen = files.parse(argument) if argument else (None, files.Settings())
    return Task(
        samples=partial(samples, place=place, mode=chosen.mode),
        mark=partial(mark, mode=chosen.mode),
        summarize=summarize,
        metrics=METRICS,
        about=ABOUT,
        sources={} if argument else {"mini": Source(make=mini.make)},
        instruments={"features": "inception"},
        files_after=files_after,
        layout=files.read_images,
        any_images=True,
        intervals=intervals,
        replicates=replicates,
        columns=("id", "setting", "reference", "features"),
    )


TASK = open_task()
