"""Training data for probes: feature vectors with labels, read in chunks so that ImageNet fits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harmon_eval.core import UserError

CHUNK = 4096
IN_MEMORY = 2**30  # bytes of features; larger tables are memory-mapped
EPS = 1e-6
HELD_OUT = 10
SEED = 0


def stacked(vectors: Sequence[np.ndarray], folder: Path | None = None) -> np.ndarray:
    """Stack vectors to (N, D) float32. Above ``IN_MEMORY`` bytes, map a file below ``folder``.

    Raises UserError if the vectors have different lengths."""
    widths = {len(vector) for vector in vectors}
    if len(widths) != 1:
        raise UserError(f"feature vectors have different lengths {sorted(widths)}: fix the model")
    shape = len(vectors), widths.pop()
    if 4 * shape[0] * shape[1] <= IN_MEMORY:
        return np.stack(list(vectors)).astype(np.float32, copy=False)
    # Not in the system's temporary folder, which may be in memory. The file disappears with its
    # last mapping.
    with tempfile.TemporaryFile(dir=folder) as file:
        table = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
    for start in range(0, len(vectors), CHUNK):
        table[start : start + CHUNK] = np.stack(list(vectors[start : start + CHUNK]))
    return table


@dataclass(frozen=True)
class Table:
    """The ``rows`` of features (N, D) with labels (N,), read as (x - mean) / scale, both (D,).

    Labels count from 0; -1 marks a class that is not in the training split."""

    features: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        return int(self.features.shape[1])

    def take(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standardised features (n, D) float64 and labels (n,) of some rows of this table."""
        rows = self.rows[places]
        return (self.features[rows] - self.mean) / self.scale, self.labels[rows]

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(self), CHUNK):
            yield self.take(np.arange(start, min(start + CHUNK, len(self))))

    def part(self, places: np.ndarray) -> Table:
        return replace(self, rows=self.rows[places])

    def of(self, rows: np.ndarray) -> Table:
        """Other rows of the same features, read with this table's mean and scale."""
        return replace(self, rows=rows)


def standardised(features: np.ndarray, labels: np.ndarray, rows: np.ndarray | None = None) -> Table:
    """These rows (default: all), standardised as (x - mean) / sqrt(variance + 1e-6).

    Mean and (biased) variance are those of the rows themselves. BatchNorm without affine parameters
    converges to this. Takes two passes in float64."""
    rows = np.arange(len(features)) if rows is None else rows
    raw = Table(features, labels, rows, np.zeros(1), np.ones(1))
    mean = sum((x.sum(axis=0) for x, _ in raw.chunks()), np.zeros(raw.width)) / len(raw)
    squares = (np.square(x - mean).sum(axis=0) for x, _ in raw.chunks())
    variance = sum(squares, np.zeros(raw.width)) / len(raw)
    return replace(raw, mean=mean, scale=np.sqrt(variance + EPS))


def hold_out(table: Table, classes: int) -> tuple[Table, Table]:
    """Split the table: first the rest, then a hold-out of ten rows of each class.

    A small class gives a fifth of its rows, a class with a single row gives none. The split depends
    only on the order of rows."""
    rng = np.random.default_rng(SEED)
    labels = table.labels[table.rows]
    held = np.zeros(len(table), bool)
    for label in range(classes):
        places = rng.permutation(np.flatnonzero(labels == label))
        count = min(HELD_OUT, max(1, len(places) // 5)) if len(places) > 1 else 0
        held[places[:count]] = True
    return table.part(np.flatnonzero(~held)), table.part(np.flatnonzero(held))


@dataclass(frozen=True)
class Head:
    """A linear classifier of standardised features: weight (D, K) and bias (K,), float64."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x @ self.weight + self.bias)


def ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many of the K classes rank before the right one, (n,): 0 is right, below 5 is top-5.

    Ties go to the smaller class number. Labels of -1 rank last."""
    own = np.take_along_axis(logits, np.maximum(labels, 0)[:, None], axis=1)
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    before = (logits > own) | ((logits == own) & earlier)
    return np.where(labels < 0, logits.shape[1], before.sum(axis=1))


def head_ranks(head: Head, table: Table) -> np.ndarray:
    """``ranks`` of all rows of the table by a linear classifier."""
    return np.concatenate([ranks(head.logits(x), labels) for x, labels in table.chunks()])


def top1(head: Head, table: Table) -> float:
    return float((head_ranks(head, table) == 0).mean())
