"""The instrument of ``linear_probe``: probes that learn from a run's own training vectors.

Vectors lie mapped in the run folder (``harmon_eval.store.vectors``). What the probes say of each
test image is computed once, when the first is marked, and kept until all are.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.instruments.probing import lars as probe_lars
from harmon_eval.instruments.probing import lbfgs as probe_lbfgs
from harmon_eval.instruments.probing.knn import knn_ranks
from harmon_eval.instruments.probing.labelled import Labelled
from harmon_eval.instruments.probing.shares import FACT, RANK
from harmon_eval.instruments.probing.table import Table, head_ranks, stacked, standardised
from harmon_eval.store.digests import checksum
from harmon_eval.store.durable import read_json
from harmon_eval.store.run_folder import MANIFEST
from harmon_eval.store.task_folder import TaskFolder

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

Parts = Mapping[str, tuple[int, int]]


class Probes:
    """Ranks of the right class for each test image, and facts about the fits.

    ``parts`` of a vector (name -> first and last place), which the model's settings may name, are
    features of their own; the first, or the whole vector, is what the run is about."""

    identity = "probes-1"
    at_writer = True  # where the vectors lie

    def __init__(self, folder: Path | None = None) -> None:
        self.store = None if folder is None else TaskFolder(folder)
        self.each: Callable[[Callable[[Piece], Fitted], Iterable[Piece]], Iterable[Fitted]] = map

    def bound_to(self, folder: Path) -> Probes:
        return Probes(folder)

    @cached_property
    def parts(self) -> Parts:
        """Of the run's manifest; empty where it names none."""
        assert self.store is not None
        file = self.store.root / MANIFEST
        identity = read_json(file)["identity"] if file.exists() else {}
        named: dict[str, Any] = identity.get("model", {}).get("settings", {}).get("parts", {})
        return {str(name): (int(start), int(stop)) for name, (start, stop) in named.items()}

    @cached_property
    def learned_from(self) -> str:
        """Hash of all that was answered: a vector more, and every verdict may be another."""
        assert self.store is not None
        entries = self.store.recorded()
        known = sorted((name, entry.get("vector")) for name, entry in entries.items())
        return checksum([known, list(self.parts.items())])

    def verdict(self, sample_id: str) -> dict[str, float]:
        """``rank[PROBE]`` (0: the right class stands first) and ``fact NAME`` of a test image;
        empty where its set is too small for a probe. Raises UserError for vectors of unlike
        lengths."""
        return self._verdicts.get(sample_id, {})

    @cached_property
    def _verdicts(self) -> dict[str, dict[str, float]]:
        import pandas as pd

        assert self.store is not None
        key = {"verdicts": self.learned_from, "identity": self.identity}
        with (self.store.path / ".probe.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes one computes
            frame = self.store.marks(key)
            if frame is None:
                found = [pd.DataFrame({"id": []}), *self._judged()]
                frame = pd.concat(found, ignore_index=True)
                self.store.add_marks(key, "verdicts", frame)
        columns = [str(name) for name in frame if name != "id"]
        return {
            str(name): {c: float(v) for c, v in zip(columns, row, strict=True) if not np.isnan(v)}
            for name, row in zip(frame["id"], frame[columns].to_numpy(np.float64), strict=True)
        }

    def _judged(self) -> Iterator[pd.DataFrame]:
        """A frame for each set of images."""
        import pandas as pd

        columns: dict[str, dict[str, Any]] = {}
        for source, places, part, found in self.each(fitted, self._pieces()):
            own = columns.setdefault(source, {"id": places})
            end = f"@{part}" if part else ""
            own |= {f"{RANK}[{name}]{end}": ranks for name, ranks in found.ranks.items()}
            own |= {FACT + name: value for name, value in found.facts.items()}
        yield from map(pd.DataFrame, columns.values())

    def _pieces(self) -> Iterator[Piece]:
        """A piece for each part of the features of each set."""
        assert self.store is not None
        sets: dict[str, dict[Labelled, np.ndarray]] = {}
        for name, entry in self.store.recorded().items():
            vector = self.store.vectors.read(entry)
            if vector is not None and np.isfinite(vector).all():
                image = Labelled.of(name)
                sets.setdefault(image.source, {})[image] = vector
        for source in sorted(sets):
            material = arranged(sets[source], self.store.path)
            if material is None:
                logger.warning("images of %r are too few for a probe", source)
                continue
            whole = {"": (0, material.features.shape[1])}
            for number, (part, (start, stop)) in enumerate((self.parts or whole).items()):
                own = replace(material, features=material.features[:, start:stop])
                yield Piece(source, part if number else "", own)


@dataclass(frozen=True)
class Material:
    """Features (N, D) of one set with labels (N,), and which rows are training images as they are
    (``plain``), each of their random crops (``views``), and test images (``shown``)."""

    features: np.ndarray
    labels: np.ndarray
    plain: np.ndarray
    views: Sequence[np.ndarray]
    shown: np.ndarray
    test: Sequence[Labelled]
    classes: int


def arranged(vectors: Mapping[Labelled, np.ndarray], folder: Path | None = None) -> Material | None:
    """The set in a fixed order, as the hold-out goes by position; None where there is nothing to
    learn or to test. Labels of classes that train does not have are -1."""
    images = sorted(vectors, key=lambda image: image.place)
    crops = [image for image in images if image.view]
    numbers = sorted({image.view for image in crops})
    base = [image for image in images if image.split == "train" and not image.view]
    by_view = {(i.label, i.name, i.view): i for i in crops}
    # An image that lacks a crop would shift the others.
    base = [i for i in base if all((i.label, i.name, number) in by_view for number in numbers)]
    test = [image for image in images if image.split == "val"]
    classes = sorted({image.label for image in base})
    if len(classes) < 2 or not test:
        return None
    views = [[by_view[i.label, i.name, number] for i in base] for number in numbers]
    order = [*base, *(image for view in views for image in view), *test]
    number = {label: place for place, label in enumerate(classes)}
    count, end = len(base), len(order) - len(test)
    return Material(
        stacked([vectors[image] for image in order], folder),
        np.array([number.get(image.label, -1) for image in order]),
        np.arange(count),
        [np.arange(start, start + count) for start in range(count, end, count)],
        np.arange(end, len(order)),
        test,
        len(classes),
    )


@dataclass(frozen=True)
class Outcome:
    """For each probe how many classes stand before the right one, (M,) in the order of the test
    images; and what the fits say of themselves."""

    ranks: Mapping[str, np.ndarray]
    facts: Mapping[str, float]


@dataclass(frozen=True)
class Piece:
    """One part of a set's features; the first has no name here."""

    source: str
    part: str
    material: Material


Fitted = tuple[str, list[str], str, Outcome]


def fitted(piece: Piece) -> Fitted:
    """The set, the places of its test images, the part, and what came of it. LARS only for the
    first part."""
    places = [image.place for image in piece.material.test]
    return piece.source, places, piece.part, outcome(piece.material, whole=not piece.part)


def outcome(material: Material, whole: bool = True) -> Outcome:
    """Fit on train, judge on test. LARS only where ``whole``."""
    features, classes = material.features, material.classes
    table = standardised(features, material.labels, material.plain)
    shown = table.of(material.shown)
    fit = probe_lbfgs.probe(table, classes)
    ranks = {"lbfgs": head_ranks(fit.head, shown), "knn20": knn_ranks(table, shown, classes)}
    if not whole:
        return Outcome(ranks, {})
    lars_name, lars, test = _lars(material, table)
    frequent = np.bincount(material.labels[material.plain]).argmax()
    facts = {
        "dimension": table.width,
        "classes": classes,
        "majority": 100 * float((material.labels[material.shown] == frequent).mean()),
        "lambda[lbfgs]": fit.strength,
        "loss[lbfgs]": fit.loss,
        "gradient[lbfgs]": fit.gradient,
        "iterations[lbfgs]": fit.iterations,
        "converged[lbfgs]": float(fit.converged),
        f"base_lr[{lars_name}]": lars.base_lr,
    }
    return Outcome({**ranks, lars_name: head_ranks(lars.head, test)}, facts)


def _lars(material: Material, table: Table) -> tuple[str, probe_lars.LarsFit, Table]:
    """Its name, the fit, and the test images as it sees them: by the crops' mean and scale."""
    features = table.features
    if not material.views:
        fit = probe_lars.probe(table, [table], material.classes)
        return "lars-cached", fit, table.of(material.shown)
    crops = standardised(features, material.labels, np.concatenate(material.views))
    views = [crops.of(rows) for rows in material.views]
    fit = probe_lars.probe(crops.of(material.plain), views, material.classes)
    return f"lars-cached,{len(views)}views", fit, crops.of(material.shown)


def open_instrument() -> Probes:
    return Probes()
