"""MJHQ-30K FID: how far drawn images are from curated Midjourney images of the same prompts.

30,000 prompts in ten categories (Li et al. 2024, arXiv 2402.17245). One image is drawn for each
prompt. The score is the Fréchet distance between the feature statistics of the drawn images and of
the reference images; lower is better.

Three protocols go by this name, and their numbers are not comparable, so the protocol and the
feature network are part of every metric's name: ``fid[playground,inception]``. This task follows
the dataset card (clean-fid's defaults); ``mjhq_gigagan256`` and ``mjhq_pytorch_fid`` are the
others. Draw once, then mark by another protocol with ``--model folder:RUN/mjhq/images``.

A row holds the features of a drawn image and of its reference. So FID needs nothing but the rows
and compares equally many images whatever ``--limit`` says. Beside the overall FID there are:

- ``fid[...]/CATEGORY``, or ``kid[...]/CATEGORY`` where a category is too small for FID. Small sets
  have a larger bias (it goes as 1/n): the mean of the ten is not the overall FID.
- ``kid[...]`` and ``kid_standard_error[...]``: unbiased at any n.
- ``fid_noise_floor[...]``: FID between two halves of the references. It shows what two samples of
  n/2 images of one distribution give, about twice the bias at n. (Drawings share the prompts of the
  references, so a good model can come out below it.)
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from harmon_eval.core import About, Data, Draw, Sample, Source, Task
from harmon_eval.metrics.fid_task import METRICS, intervals, mark, replicates, summarize
from harmon_eval.tasks.mjhq import mini
from harmon_eval.tasks.mjhq.files import METADATA, OFFICIAL, load_prompts, read_images, reference

OFFICIAL_CATEGORIES = 10
OFFICIAL_PER_CATEGORY = 3000

logger = logging.getLogger(__name__)


def samples(data: Data) -> Iterator[Sample]:
    """One drawing a prompt, in the order of ``meta_data.json``; ids are ``{category}/{key}``.

    Raises UserError where the file is broken or a reference image is missing."""
    folder = data.folder
    entries = load_prompts(folder / METADATA)
    if data.suite == "official":
        _warn_unless_complete(entries)
    index = _index_in_prompt(entries)
    for key, (category, prompt) in entries.items():
        yield Sample(
            id=f"{category}/{key}",
            request=Draw(prompt, index=index[key]),
            target={"category": category, "reference": reference(folder, category, key)},
            group=key,
            stratum=category,
        )


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


def files_before(drawn: Sequence[Sample]) -> dict[str, str]:
    """``meta_data.json`` of what was drawn beside the images: a folder that FID tools can read."""
    entries = {s.group: {"category": s.stratum, "prompt": s.request.text} for s in drawn}
    return {"images/meta_data.json": json.dumps(entries, indent=1, ensure_ascii=False)}


def task(protocol: str, make: Callable[[Path], None]) -> Task:
    """MJHQ-30K by ``protocol``: a name in ``harmon_eval.metrics.fid_images.PROTOCOLS``.

    ``make`` writes the mini suite's files, which has fewer images for the further protocols."""
    return Task(
        samples=samples,
        mark=partial(mark, protocol=protocol),
        summarize=summarize,
        metrics=METRICS,
        about=About(
            paper="arXiv 2402.17245",
            version="1",
            protocol=f"Playground v2.5's FID on MJHQ-30K, images prepared as {protocol}",
            differs="Symmetric eigenvalues in float64 instead of a matrix square root. The "
            "metric's name says how images are resized and which network is used.",
            compares="Neither lmms-eval nor VLMEvalKit has it. FIDs of different preparations "
            "differ by more than models do: compare equal names only.",
            licence="not stated by the dataset card; do not redistribute the images",
            size="30,000 prompts in 10 categories",
            cost="30,000 drawings",
        ),
        sources={"official": OFFICIAL, "mini": Source(make=make)},
        instruments={"features": "inception"},
        files_before=files_before,
        layout=read_images,
        intervals=intervals,
        replicates=replicates,
    )


TASK = task("playground", mini.make)
