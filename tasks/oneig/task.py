"""OneIG-Bench: alignment, rendered text and diversity, in English and Chinese.

Paper: Chang et al. 2025, arXiv 2506.07977. Protocol: OneIG-Bench/OneIG-Benchmark @ 41b4983.
``oneig`` is the alignment part: a judge answers a graph of questions about each image, and a yes
counts only if the questions that it depends on were answered yes. ``oneig:text`` reads the image
and compares what stands there with what was wanted: mean edit distance (ED), the share of images
without an error (CR) and of words found (WAC) make one score, 1 - min(M, ED) (1 - CR) (1 - WAC) /
M, with M = 100 in English and 50 in Chinese. It is a product, so one good factor hides the rest.
``oneig:diversity`` is the mean distance of the four drawings of a prompt, 1 - cos of the vectors of
DINO. The original takes DreamSim, whose weights are in no registry, so the metric names its network
(``oneig_diversity_en[1-cos NETWORK]``) and does not compare with published diversity. Add ``+zh``
for Chinese. Style and reasoning are not here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from harmon_eval.core import About, Source, Task
from harmon_eval.settings import variant
from harmon_eval.tasks.oneig import alignment, diversity, mini, text
from harmon_eval.tasks.oneig.files import official

PARTS = {"alignment": alignment.task, "text": text.task, "diversity": diversity.task}
VERSIONS = {"alignment": "1", "text": "2", "diversity": "1"}
ABOUT = About(
    paper="arXiv 2506.07977",
    version="1",
    protocol="OneIG-Bench/OneIG-Benchmark @ 41b4983. Alignment: direct dependencies, mean over "
    "points, images, then prompts of all classes. Text: ED, CR and WAC over all images. Diversity: "
    "mean over the pairs of a prompt's images, then over prompts",
    differs="Images reach the judge as they are; the original cuts them from a grid and saves them "
    "as JPEG. A reply that is neither yes nor no leaves its image unscored with bounds; the "
    "original counts it as no. All-black images are left out as in the original, and counted as "
    "unscored. `text_accuracy` is ours. Diversity is 1 - cos of DINO's vectors, a stand-in: the "
    "original's DreamSim weights are not to be had from a registry, and the network is in the "
    "metric's name.",
    compares="Published alignment and text are Qwen2.5-VL-7B's (`--instrument judge=vlm:PATH`, "
    "`reader=vlm:PATH`). Published diversity is DreamSim's and does not compare.",
    licence="none stated in the repository: bring the files",
    size="English: 695 prompts of alignment (11,231 questions), 200 of text, 1,120 in all; "
    "Chinese: 895 (13,822), 200, 1,320. 4 images each",
    cost="alignment: 2,780 drawings, each asked all questions of its graph; text: 800 readings",
)


def open_task(argument: str = "") -> Task:
    """``oneig:PART+LANGUAGE``: alignment, text or diversity; en or zh."""
    chosen = variant(argument, part=tuple(PARTS), language=("en", "zh"))
    part, language = chosen["part"], chosen["language"]
    sources = {
        "official": official(language),
        "mini": Source(make=partial(mini.make, language=language), folder=f"oneig-{language}"),
    }
    return PARTS[part](language, replace(ABOUT, version=f"{VERSIONS[part]}, {part}"), sources)


TASK = open_task()
