"""MJHQ-30K FID: how far drawn images are from curated Midjourney images of the same prompts.

30,000 prompts in ten categories (Li et al. 2024, arXiv 2402.17245). One image a prompt; Fréchet
distance between the feature statistics of the drawn and of the reference images, lower is better.

Three protocols go by this name, and their numbers are not comparable, so the protocol and the
feature network are part of every metric's name, ``fid[playground,inception]``. This file's task
follows the dataset card (clean-fid's defaults); ``mjhq_gigagan256`` and ``mjhq_pytorch_fid`` are
the others. Draw once, then mark by another with ``--model folder:RUN/mjhq/images``.

A row holds the features of a drawn image and of its reference. So FID needs nothing but the rows,
compares equally many images whatever ``--limit`` says, and is pure. Beside the overall FID:

- ``fid[...]/CATEGORY``, or ``kid[...]/CATEGORY`` where a category is too small for FID. Small sets
  have a larger bias (it goes as 1/n): the mean of the ten is not the overall FID.
- ``kid[...]`` and ``kid_standard_error[...]``: unbiased at any n.
- ``fid_noise_floor[...]``: FID between two halves of the references: what two samples of n/2 images
  of one distribution show, about twice the bias at n. (Drawings share the prompts of the
  references, so a good model can come out below it.)
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from harmon_eval.core import (
    Answer,
    Draw,
    Instruments,
    Interval,
    Row,
    Sample,
    Suite,
    Summarize,
    Task,
    Unscorable,
    UserError,
)
from harmon_eval.scoring.fid_images import FeatureNet, feature_batches
from harmon_eval.scoring.frechet import (
    FrechetStatistics,
    TooFewSamples,
    frechet_distance,
    frechet_distances,
    without_each_group,
)
from harmon_eval.scoring.kid import kid, kid_replicates, squared_mmd
from harmon_eval.statistics import Replicates, jackknife_interval

OFFICIAL_CATEGORIES = 10
OFFICIAL_PER_CATEGORY = 3000
SUFFIXES = (".jpg", ".png", ".jpeg", ".webp")
JACKKNIFE_GROUPS = 20
MIN_KID = 4
CHUNK = 1024

logger = logging.getLogger(__name__)


# -- samples ---------------------------------------------------------------------------------


def samples(suite: Suite) -> Iterator[Sample]:
    """One drawing a prompt, in the order of ``meta_data.json``; ids are ``{category}/{key}``.

    Raises UserError where the file is broken or a reference image is missing."""
    folder = suite.data("mjhq")
    entries = load_prompts(folder / "meta_data.json")
    if suite.name == "official":
        _warn_unless_complete(entries)
    index = _index_in_prompt(entries)
    for key, (category, prompt) in entries.items():
        yield Sample(
            id=f"{category}/{key}",
            request=Draw(prompt, index=index[key]),
            target={"category": category, "reference": _reference(folder, category, key)},
            group=key,
            stratum=category,
        )


def load_prompts(path: Path) -> dict[str, tuple[str, str]]:
    """``meta_data.json`` as key -> (category, prompt). Raises UserError that names the flaw."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    entries = {}
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold one object: key -> category and prompt")
    for key, entry in content.items():
        try:
            category, prompt = entry["category"], entry["prompt"]
        except (KeyError, TypeError):
            raise UserError(f"{path}: entry {key!r} needs a category and a prompt") from None
        if not (isinstance(category, str) and isinstance(prompt, str)):
            raise UserError(f"{path}: category and prompt of {key!r} must be text")
        for name in (key, category):
            if not re.fullmatch(r"[\w-]+", name):
                raise UserError(f"{path}: {name!r} is no file name of letters, digits, - and _")
        entries[key] = category, prompt
    return entries


def _index_in_prompt(entries: Mapping[str, tuple[str, str]]) -> dict[str, int]:
    """Numbers the drawings of a repeated prompt in the order of their files."""
    seen: Counter[str] = Counter()
    index = {}
    for key, (_, prompt) in sorted(entries.items(), key=lambda item: (item[1][0], item[0])):
        index[key] = seen[prompt]
        seen[prompt] += 1
    return index


def _warn_unless_complete(entries: Mapping[str, tuple[str, str]]) -> None:
    counts = pd.Series([category for category, _ in entries.values()]).value_counts()
    if len(counts) != OFFICIAL_CATEGORIES or (counts != OFFICIAL_PER_CATEGORY).any():
        logger.warning(
            "this is not MJHQ-30K: %d prompts in %d categories instead of %d in %d",
            len(entries),
            len(counts),
            OFFICIAL_CATEGORIES * OFFICIAL_PER_CATEGORY,
            OFFICIAL_CATEGORIES,
        )


def _reference(folder: Path, category: str, key: str) -> Path:
    stem = folder / "mjhq30k_imgs" / category / key
    for suffix in SUFFIXES:
        if (path := stem.with_suffix(suffix)).is_file():
            return path
    raise UserError(
        f"reference image {stem}.jpg is missing: unpack mjhq30k_imgs.zip beside meta_data.json"
    )


# -- marks -----------------------------------------------------------------------------------


def mark(answers: Sequence[Answer], instruments: Instruments, protocol: str) -> list[Row]:
    """Features of each drawn image and of its reference, (d,) float32.

    Raises Unscorable for an unreadable drawing, UserError for an unreadable reference."""
    net: FeatureNet = instruments["features"]
    drawn = _features([answer.image for answer in answers], net, protocol)
    try:
        references = _features([a.sample.target["reference"] for a in answers], net, protocol)
    except Unscorable as error:
        raise UserError(f"a reference image is damaged: {error}; unpack it again") from error
    return [
        {"setting": f"{protocol},{net.name}", "features": own, "reference_features": reference}
        for own, reference in zip(drawn, references, strict=True)
    ]


def _features(images: Sequence[Path], net: FeatureNet, protocol: str) -> list[np.ndarray]:
    return [row for batch in feature_batches(images, net, protocol) for row in batch]


# -- metrics ---------------------------------------------------------------------------------


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """All metrics; see the head of this file. What too few images do not allow is left out.

    Raises UserError for rows of different protocols."""
    rows = _ordered(rows)
    setting = _setting(rows)
    drawn, reference = rows["features"], rows["reference_features"]
    metrics = {}
    try:
        metrics[f"fid[{setting}]"] = frechet_distance(_statistics(drawn), _statistics(reference))
    except TooFewSamples as error:
        logger.warning("no fid[%s]: %s", setting, error)
    if len(rows) >= MIN_KID:
        result = kid(_stack(drawn), _stack(reference))
        metrics[f"kid[{setting}]"] = result.mean
        metrics[f"kid_standard_error[{setting}]"] = result.standard_error
    try:
        halves = _statistics(reference[0::2]), _statistics(reference[1::2])
        metrics[f"fid_noise_floor[{setting}]"] = frechet_distance(*halves)
    except TooFewSamples:
        logger.debug("%d references are too few for a noise floor", len(rows))
    for category, part in rows.groupby("stratum"):
        metrics |= _category_metrics(part, f"[{setting}]/{category}")
    return metrics


def _category_metrics(rows: pd.DataFrame, name: str) -> dict[str, float]:
    drawn, reference = rows["features"], rows["reference_features"]
    try:
        return {f"fid{name}": frechet_distance(_statistics(drawn), _statistics(reference))}
    except TooFewSamples:
        if len(rows) < MIN_KID:
            return {}
        return {f"kid{name}": squared_mmd(_stack(drawn), _stack(reference))}


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    # Halves, subsets and jackknife groups go by position: one order, whatever the rows came in.
    return rows.sort_values("id", ignore_index=True)


def _setting(rows: pd.DataFrame) -> str:
    settings = sorted(rows["setting"].unique())
    if len(settings) != 1:
        raise UserError(f"rows of different protocols cannot be added up: {', '.join(settings)}")
    return settings[0]


def _stack(vectors: pd.Series) -> np.ndarray:
    return np.stack(vectors.to_list()).astype(np.float32, copy=False)


def _statistics(vectors: pd.Series) -> FrechetStatistics:
    statistics = FrechetStatistics()
    for start in range(0, len(vectors), CHUNK):
        statistics.update(_stack(vectors[start : start + CHUNK]))
    return statistics


def intervals(rows: pd.DataFrame, summarize: Summarize) -> dict[str, Interval]:
    """95 % intervals of FID (delete-a-group jackknife over the drawn images) and of KID.

    20 groups, the references fixed: how much FID would vary with another set of drawings. The
    bootstrap would not do, since repeated images lower the rank of the covariance and raise FID.
    The interval is about the FID of this n and does not remove its bias, which goes as 1/n.
    KID: normal, from its standard error."""
    rows = _ordered(rows)
    setting = _setting(rows)
    found = {}
    parts = {"": rows} | {f"/{name}": part for name, part in rows.groupby("stratum")}
    for name, part in parts.items():
        try:
            value, *leave_out = _with_and_without_groups(part)
        except TooFewSamples:
            continue
        low, high = jackknife_interval(value, leave_out)
        found[f"fid[{setting}]{name}"] = max(0.0, low), high
    if len(rows) >= MIN_KID:
        result = kid(_stack(rows["features"]), _stack(rows["reference_features"]))
        reach = 1.96 * result.standard_error
        found[f"kid[{setting}]"] = result.mean - reach, result.mean + reach
    return found


def replicates(rows: pd.DataFrame) -> dict[str, Replicates]:
    """FID without each of 20 groups of drawings, overall and by category, and KID of subsets.

    Groups and subsets go by position in the order of ids, so those of two runs are the same."""
    rows = _ordered(rows)
    setting = _setting(rows)
    found = {}
    parts = {"": rows} | {f"/{name}": part for name, part in rows.groupby("stratum")}
    for name, part in parts.items():
        try:
            _, *leave_out = _with_and_without_groups(part)
        except TooFewSamples:
            continue
        found[f"fid[{setting}]{name}"] = Replicates.without_groups(leave_out)
    if len(rows) >= MIN_KID:
        pair = _stack(rows["features"]), _stack(rows["reference_features"])
        found[f"kid[{setting}]"] = kid_replicates(*pair)
    return found


def _with_and_without_groups(rows: pd.DataFrame) -> list[float]:
    """FID of all drawings, then with each group of them left out."""
    groups = np.arange(len(rows)) % JACKKNIFE_GROUPS
    sets = without_each_group(_stack(rows["features"]), groups)
    return frechet_distances(
        _statistics(rows["reference_features"]), [_statistics(rows["features"]), *sets]
    )


def exports(drawn: Sequence[Sample], rows: pd.DataFrame | None) -> dict[str, str]:
    """``meta_data.json`` of what was drawn beside the images: a folder that FID tools can read."""
    if rows is not None:
        return {}
    entries = {
        s.group: {"category": s.stratum, "prompt": s.request.prompt}
        for s in drawn
        if isinstance(s.request, Draw)
    }
    return {"images/meta_data.json": json.dumps(entries, indent=1, ensure_ascii=False)}


# -- the task --------------------------------------------------------------------------------


def task(protocol: str) -> Task:
    """MJHQ-30K by ``protocol``: a name in ``harmon_eval.scoring.fid_images.PROTOCOLS``."""
    return Task(
        samples=samples,
        mark=partial(mark, protocol=protocol),
        summarize=summarize,
        intervals=intervals,
        replicates=replicates,
        exports=exports,
        headline="fid",
        higher_is_better=False,
        paper="arXiv 2402.17245",
        version="1",
        instruments=("features",),
        licence="not stated by the dataset card; do not redistribute the images",
        size="30,000 prompts in 10 categories",
        protocol=f"Playground v2.5's FID on MJHQ-30K, pictures prepared as {protocol}",
        differs="Symmetric eigenvalues in float64 instead of a matrix square root; the metric's "
        "name says resizing, network and number of pictures.",
        compares="Neither lmms-eval nor VLMEvalKit has it. FIDs of different preparations differ "
        "by more than models do: compare equal names only.",
        cost="30,000 drawings",
    )


TASK = task("playground")
