"""Frozen features of two splits to the outcomes of every probe, once for equal features."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from harmon_eval.scoring import probe_lars, probe_lbfgs
from harmon_eval.scoring.probe_knn import knn_ranks
from harmon_eval.scoring.probe_table import Table, head_ranks, stacked, standardised

PROTOCOLS = ("lbfgs", "lars-cached", "knn20")


@dataclass(frozen=True)
class Split:
    """Features (N, D) float32 and labels (N,); equal where the digest is."""

    features: np.ndarray = field(compare=False)
    labels: np.ndarray = field(compare=False)
    digest: str


@dataclass(frozen=True)
class Outcome:
    """For each protocol how many classes stand before the right one, (M,) in the order of the test
    images; and what the fits say of themselves."""

    ranks: Mapping[str, np.ndarray]
    facts: Mapping[str, float]


def split(vectors: Sequence[np.ndarray], labels: Sequence[str], classes: Sequence[str]) -> Split:
    """Names of classes become their places in ``classes``, unknown ones -1. Raises UserError."""
    number = {name: place for place, name in enumerate(classes)}
    features = stacked(vectors)
    codes = np.array([number.get(name, -1) for name in labels])
    digest = hashlib.sha256(np.ascontiguousarray(features).data)
    digest.update(codes.astype("<i8").tobytes() + repr(features.shape).encode())
    return Split(features, codes, digest.hexdigest())


# The score and its interval need the same fits, which may take hours.
@lru_cache(maxsize=4)
def outcome(train: Split, test: Split, classes: int) -> Outcome:
    """Fit on train, judge on test. Both in a fixed order: the hold-out goes by position."""
    table = standardised(train.features, train.labels)
    shown = Table(test.features, test.labels, np.arange(len(test.labels)), table.mean, table.scale)
    fit = probe_lbfgs.probe(table, classes)
    lars = probe_lars.probe(table, classes)
    ranks = {
        "lbfgs": head_ranks(fit.head, shown),
        "lars-cached": head_ranks(lars.head, shown),
        "knn20": knn_ranks(train.features, train.labels, test.features, test.labels),
    }
    frequent = np.bincount(train.labels).argmax()
    facts = {
        "dimension": table.width,
        "classes": classes,
        "majority": 100 * float((test.labels == frequent).mean()),
        "lambda[lbfgs]": fit.strength,
        "loss[lbfgs]": fit.loss,
        "gradient[lbfgs]": fit.gradient,
        "iterations[lbfgs]": fit.iterations,
        "converged[lbfgs]": float(fit.converged),
        "base_lr[lars-cached]": lars.base_lr,
    }
    return Outcome(ranks, facts)
