"""Answering in batches against one by one: same questions, same replies, in one run.

    python -m benchmarks.understanding --batch 8

The process's own time on one thread, both in turn, medians. Replies are asserted equal.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
from PIL import Image

from benchmarks import record
from harmon_eval.model.pipeline import HarmonPipeline

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
QUESTIONS = (
    "is there a red circle in the picture?",
    "what color is the square?",
    "how many circles are there?",
    "what is shown in the picture?",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="harmon-mini")
    parser.add_argument("--batch", type=int, default=8, metavar="B")
    parser.add_argument("--questions", type=int, default=64, metavar="N")
    parser.add_argument("--new-tokens", type=int, default=16, metavar="T")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = HarmonPipeline.from_pretrained(arguments.model)
    count = arguments.questions
    # Every question has a picture object of its own, so that no picture is spared.
    images = [Image.new("RGB", (64, 64), COLOURS[i % len(COLOURS)]) for i in range(count)]
    questions = [QUESTIONS[i % len(QUESTIONS)] for i in range(count)]

    def answer(size: int) -> tuple[float, list[str]]:
        start, replies = time.process_time(), []
        for i in range(0, count, size):
            part = slice(i, i + size)
            replies += pipeline.answer(images[part], questions[part], arguments.new_tokens)
        return time.process_time() - start, replies

    answer(arguments.batch)
    singly, together = [], []
    for _ in range(arguments.repeats):
        (one, alone), (many, batched) = answer(1), answer(arguments.batch)
        assert alone == batched, "a reply depends on its batch"
        singly.append(one)
        together.append(many)
    rates = {"one by one": count / median(singly), "batched": count / median(together)}
    ratio = rates["batched"] / rates["one by one"]
    print(f"one by one {rates['one by one']:.1f}, batches of {arguments.batch} "
          f"{rates['batched']:.1f} replies/s: ratio {ratio:.2f}")  # fmt: skip
    measured = {"settings": vars(arguments), "replies a second": rates}
    record.write("understanding", {f"batch {arguments.batch} to 1": ratio}, measured)


if __name__ == "__main__":
    main()
