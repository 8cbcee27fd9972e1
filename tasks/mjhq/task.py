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

import pandas as pd

from harmon_eval.core import Draw, Sample, Suite, Task, UserError
from harmon_eval.metrics.fid_task import intervals, mark, replicates, summarize

OFFICIAL_CATEGORIES = 10
OFFICIAL_PER_CATEGORY = 3000
SUFFIXES = (".jpg", ".png", ".jpeg", ".webp")

logger = logging.getLogger(__name__)


# -- samples ---------------------------------------------------------------------------------


def samples(suite: Suite, data: str = "mjhq") -> Iterator[Sample]:
    """One drawing a prompt, in the order of ``meta_data.json``; ids are ``{category}/{key}``.

    Raises UserError where the file is broken or a reference image is missing."""
    folder = suite.data(data)
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


def task(protocol: str, data: str = "mjhq") -> Task:
    """MJHQ-30K by ``protocol``: a name in ``harmon_eval.metrics.fid_images.PROTOCOLS``.

    ``data`` names the suite's files: the mini suite has fewer for the further protocols."""
    return Task(
        samples=partial(samples, data=data),
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
