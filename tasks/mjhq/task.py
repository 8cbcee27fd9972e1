"""MJHQ-30K FID: how far generated images are from curated Midjourney images of the same prompts.

There are 30,000 prompts in ten categories (Li et al. 2024, arXiv 2402.17245). The model generates
one image for each prompt. The score is the Fréchet distance between the feature statistics of the
generated images and of the reference images; lower is better.

Three protocols share this name, but their scores are not comparable. So the protocol and the
feature network are part of every metric's name, as in ``fid[playground,inception]``. This task
follows the dataset card (clean-fid's defaults); the others are ``mjhq_gigagan256`` and
``mjhq_pytorch_fid``. Generate once, then mark by another protocol with
``--model folder:RUN/mjhq/images``.

A row holds the features of one generated image and of its reference. So FID needs only the rows,
and always compares equally many images, whatever ``--limit`` is. The names do not say how many: n
stands beside every number. Compare FIDs of equal n only. Besides the overall FID there are:

- ``fid[...]/CATEGORY``. Small sets have a larger bias (about proportional to 1/n), so the mean of
  the ten is not the overall FID. If a category is too small for FID but has 50 images or more, it
  has ``kid[...]/CATEGORY`` instead.
- ``fid_infinity[...]``: FID extrapolated to infinitely many images, from subsets of prompts. The
  bias depends on the model, so at a few hundred images FID can rank two models the wrong way round.
  ``fid_infinity_spread[...]`` is the standard deviation of its ten repeats. It can be below 0.
- ``fid_matched[...]``: how much farther the generated images are from the references of other
  prompts than references are from each other, at n/2 images. 0 means that they could be references.
  ``fid_matched_spread[...]`` is the standard deviation over its three random splits.
- ``kid[...]`` and ``kid_standard_error[...]``: unbiased at any n. An image and the reference of its
  own prompt are not independent, so such pairs are left out.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from harmon_eval.core import About, Answer, Data, Draw, Instruments, Row, Sample, Source, Task
from harmon_eval.metrics.fid_task import METRICS, intervals, mark, replicates, summarize
from harmon_eval.tasks.mjhq import mini
from harmon_eval.tasks.mjhq.files import METADATA, OFFICIAL, load_prompts, read_images, reference

OFFICIAL_CATEGORIES = 10
OFFICIAL_PER_CATEGORY = 3000

logger = logging.getLogger(__name__)


def samples(data: Data) -> Iterator[Sample]:
    """One image per prompt, in the order of ``meta_data.json``; ids are ``{category}/{key}``.

    Raises UserError if the file is broken or a reference image is missing."""
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
    """Number the images of a repeated prompt in the order of their files."""
    seen: Counter[str] = Counter()
    index = {}
    for key, (_, prompt) in sorted(entries.items(), key=lambda item: (item[1][0], item[0])):
        index[key] = seen[prompt]
        seen[prompt] += 1
    return index


def _warn_unless_complete(entries: Mapping[str, tuple[str, str]]) -> None:
    import pandas as pd

    counts = pd.Series([category for category, _ in entries.values()]).value_counts()
    if len(counts) != OFFICIAL_CATEGORIES or (counts != OFFICIAL_PER_CATEGORY).any():
        logger.warning(
            "this is not MJHQ-30K: %d prompts in %d categories instead of %d in %d",
            len(entries),
            len(counts),
            OFFICIAL_CATEGORIES * OFFICIAL_PER_CATEGORY,
            OFFICIAL_CATEGORIES,
        )


def marked(answers: Sequence[Answer], instruments: Instruments, protocol: str) -> list[Row]:
    """The rows of all FID tasks, with the prompt: MJHQ-30K has some of them under several keys."""
    rows = mark(answers, instruments, protocol)
    texts = [" ".join(answer.sample.request.text.split()) for answer in answers]
    return [{**row, "prompt": text} for row, text in zip(rows, texts, strict=True)]


def files_before(drawn: Sequence[Sample]) -> dict[str, str]:
    """``meta_data.json`` beside the generated images, so that FID tools can read the folder."""
    entries = {s.group: {"category": s.stratum, "prompt": s.request.text} for s in drawn}
    return {"images/meta_data.json": json.dumps(entries, indent=1, ensure_ascii=False)}


def task(protocol: str, make: Callable[[Path], None]) -> Task:
    """MJHQ-30K with ``protocol``, a name in ``harmon_eval.metrics.fid_images.PROTOCOLS``.

    ``make`` writes the mini suite's files. The mini suite has fewer images for the protocols other
    than ``playground``."""
    return Task(
        samples=samples,
        mark=partial(marked, protocol=protocol),
        summarize=summarize,
        metrics=METRICS,
        about=About(
            paper="arXiv 2402.17245",
            version="3",
            protocol=f"Playground v2.5's FID on MJHQ-30K, images prepared as {protocol}",
            differs="FID uses symmetric eigenvalues in float64 instead of a matrix square root. "
            "The metric's name says how images are resized and which network is used, not how many "
            "images there are. KID leaves out pairs with the same prompt, also under other keys. "
            "FID∞ takes subsets of prompts with both images.",
            compares="Neither lmms-eval nor VLMEvalKit has it. FIDs with different preparations "
            "differ more than models do, so compare only metrics with the same name.",
            licence="not stated on the dataset card; do not redistribute the images",
            size="30,000 prompts in 10 categories",
            cost="30,000 generated images",
        ),
        sources={"official": OFFICIAL, "mini": Source(make=make)},
        instruments={"features": "inception"},
        files_before=files_before,
        layout=read_images,
        layout_shown="CATEGORY/KEY.png",
        columns=("id", "*"),
        intervals=intervals,
        replicates=replicates,
    )


TASK = task("playground", mini.make)
