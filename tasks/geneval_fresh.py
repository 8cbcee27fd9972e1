"""GenEval with fresh prompts: the same grammar and distribution, sampled with a different seed.

Paper: Ghosh et al. 2023, arXiv 2310.11513; the prompts come from the paper's own procedure. A model
that scores much better on ``geneval`` than here was trained on the published prompts. The single
objects are the same 80 classes by construction; in the other tags, few prompts coincide. Choose
other thresholds as for ``geneval``: ``geneval_fresh:threshold=0.4``.
"""

from dataclasses import replace

from harmon_eval.core import Source, Task
from harmon_eval.tasks.geneval import mini, prompts, thresholds
from harmon_eval.tasks.geneval import task as geneval


def open_task(argument: str = "") -> Task:
    """``threshold=SCORE``, ``counting=SCORE``, or both joined with a plus."""
    return thresholds.variant(TASK, argument)


TASK = replace(
    geneval.TASK,
    contrast="geneval",
    about=replace(
        geneval.TASK.about,
        licence="prompts made here",
        size="about 550 prompts x 4 images",
        differs="The prompts have the same grammar but a different seed; the rules are those of "
        "`geneval`. The single objects are the published ones, because there are no others.",
        compares="Compare with `geneval` of the same model. Nobody else publishes numbers on these "
        "prompts.",
    ),
    sources={
        "official": Source(
            files=(prompts.FILE,),
            text="a file of prompts in GenEval's format",
            make=prompts.write_fresh,
        ),
        "mini": Source(make=mini.make_fresh),
    },
)
