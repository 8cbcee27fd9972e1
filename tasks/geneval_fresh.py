"""GenEval with fresh prompts: the same grammar and distribution, drawn with another seed.

Paper: Ghosh et al. 2023, arXiv 2310.11513; its own procedure of making prompts. A model that scores
much better on ``geneval`` than here has been trained on the published prompts. The single objects
are the same 80 classes by construction; in the other tags few prompts coincide.
"""

from dataclasses import replace
from functools import partial

from harmon_eval.tasks.geneval import task as geneval

TASK = replace(
    geneval.TASK,
    samples=partial(geneval.samples, data="geneval_fresh"),
    licence="prompts made here",
    size="about 550 prompts x 4 images",
    differs="Other prompts of the same grammar, drawn with another seed; the rules are those of "
    "`geneval`. Its single objects are the published ones, as there are no others.",
    compares="With `geneval` of the same model: nobody else publishes numbers on these prompts.",
)
