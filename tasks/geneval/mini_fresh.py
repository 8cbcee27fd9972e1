"""The mini suite's GenEval prompts drawn with another seed."""

from pathlib import Path

from harmon_eval.tasks.geneval import prompts
from harmon_eval.tasks.geneval.mini import geneval_items

SEED = 44
PROMPTS_A_TAG = 20  # of geneval's hundred: all tasks together should take minutes


def make(folder: Path) -> None:
    (folder / "evaluation_metadata.jsonl").write_text(
        prompts.to_jsonl(geneval_items(SEED, PROMPTS_A_TAG))
    )
