"""Linear probe: how well do a model's frozen features tell classes apart?

Folders in ImageNet's layout, ``train/CLASS/*`` and ``val/CLASS/*``; several such folders side by
side are several sets. Each image is embedded once; features stand in the rows, and three probes
learn from them. Their numbers are not comparable, so each metric names its probe:

- ``top1[lbfgs]``: logistic regression as a convex problem; the penalty is chosen in the training
  part. The same for every machine up to rounding.
- ``top1[lars-cached]``: MAE's recipe (arXiv 2111.06377) without its random crops.
- ``top1[knn20]``: the vote of the 20 nearest training images; nothing is learned.

``top1[...]`` is the mean over the sets, ``top1[...]/SET`` one of them; ``majority`` is what the
most frequent class alone would get. Width and pooling decide much: report ``dimension``, too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd

from harmon_eval.core import (
    Answer,
    Embed,
    Instruments,
    Interval,
    Row,
    Sample,
    Suite,
    Summarize,
    Task,
)
from harmon_eval.scoring import probe
from harmon_eval.scoring.probe_folder import labelled_images
from harmon_eval.statistics import scaled_intervals

logger = logging.getLogger(__name__)


def samples(suite: Suite) -> Iterator[Sample]:
    """One image a sample; ids are ``SET/SPLIT/CLASS/FILE``. ``--limit`` takes classes in turn."""
    for image in labelled_images(suite.data("linear_probe")):
        place = "/".join(filter(None, (image.source, image.split, image.label, image.file.name)))
        yield Sample(
            id=place,
            request=Embed(image.file),
            target={"source": image.source, "split": image.split, "label": image.label},
            group=place,
            stratum="/".join(filter(None, (image.source, image.label, image.split))),
        )


def mark(answers: Sequence[Answer], instruments: Instruments) -> list[Row]:
    """The feature vector (D,) float32 with set, split and label."""
    rows: list[Row] = []
    for answer in answers:
        vector = np.asarray(answer.response, dtype=np.float32)
        if np.isfinite(vector).all():
            rows.append({**answer.sample.target, "features": vector})
        else:
            rows.append({"unscored": "features that are not finite"})
    return rows


def probed(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, float]]:
    """Test images with each probe's rank of the right class, and facts about the fits.

    A set with fewer than two classes to learn, or without test images, is left out."""
    rows = rows.sort_values("id", ignore_index=True)  # the hold-out goes by position
    shown = []
    facts: dict[str, float] = {}
    sources = list(rows.groupby("source"))
    for source, part in sources:
        train, test = (part[part["split"] == name] for name in ("train", "val"))
        classes = sorted(train["label"].unique())
        if len(classes) < 2 or test.empty:
            logger.warning("%d images of %r are too few for a probe", len(part), source)
            continue
        ready = [
            probe.split(p["features"].to_list(), p["label"].to_list(), classes)
            for p in (train, test)
        ]
        found = probe.outcome(*ready, len(classes))
        frame = pd.DataFrame({**found.ranks, "group": test["group"].to_numpy()})
        shown.append(frame.assign(stratum=source, classes=len(classes)))
        end = f"/{source}" if len(sources) > 1 else ""
        facts |= {name + end: float(value) for name, value in found.facts.items()}
    return pd.concat(shown) if shown else pd.DataFrame(), facts


def shares(frame: pd.DataFrame) -> dict[str, float]:
    """Percent of test images whose class stands first, or among the first five of more classes."""
    metrics: dict[str, float] = {}
    if frame.empty:
        return metrics
    ranks = {name: frame[name].to_numpy() for name in (*probe.PROTOCOLS, "classes")}
    codes, sources = pd.factorize(frame["stratum"].to_numpy(), sort=True)
    places = {source: codes == code for code, source in enumerate(sources)}
    for first in (1, 5):
        wide = {source: own for source, own in places.items() if ranks["classes"][own][0] > first}
        for name in probe.PROTOCOLS if wide else ():
            key = f"top{first}[{name}]"
            every = {
                source: 100 * np.mean(ranks[name][own] < first) for source, own in wide.items()
            }
            metrics[key] = float(np.mean(list(every.values())))
            if len(sources) > 1:
                metrics |= {f"{key}/{source}": float(share) for source, share in every.items()}
    return metrics


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    frame, facts = probed(rows)
    return shares(frame) | facts


def intervals(
    rows: pd.DataFrame, summarize: Summarize, resamples: int = 1000
) -> dict[str, Interval]:
    """Bootstrap over the test images of each set; the probes, once fitted, stay as they are."""
    frame, _ = probed(rows)
    columns = (*probe.PROTOCOLS, "classes")
    percent = partial(scaled_intervals, maximum=lambda name: 100.0, columns=columns)
    return percent(frame, shares, resamples=resamples) if len(frame) else {}


TASK = Task(
    samples=samples,
    mark=mark,
    summarize=summarize,
    intervals=intervals,
    headline="top1",
    higher_is_better=True,
    paper="arXiv 2111.06377",
    version="1",
    licence="ImageNet: for non-commercial research by its terms of access; digits: CC BY 4.0 (UCI)",
    size="ImageNet-1k: 1,281,167 training and 50,000 validation images in 1,000 classes",
    protocol="Logistic regression in the way of CLIP's probe; MAE's LARS (facebookresearch/mae @ "
    "efb2a80); DINO's k-NN with 20 neighbours",
    differs="Features are computed once, so MAE's recipe goes without random crops and flips, with "
    "exact standardisation for BatchNorm; outside of ImageNet's size its base learning rate is "
    "chosen on a hold-out of train. The convex probe standardises features, CLIP's does not.",
    compares="Neither lmms-eval nor VLMEvalKit has it. MAE's published numbers use about 90 random "
    "views an image; a MAR encoder has seen ImageNet's labels in its training. Harmon published "
    "no code of its probe, so its figures are no target.",
    cost="1,331,167 embeddings; a step of the convex fit at 768 dimensions is about 4 TFLOP",
)
