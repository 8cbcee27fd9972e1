"""Answering in batches compared with one by one: same questions, same replies, in one run.

    python -m benchmarks.understanding --batch 8

There are two kinds of questions. In the first, each question has its own image, so a batch saves no
image encoding. The second are the questions of a benchmark (``--tasks``) in its own order, mostly
several per image; a batch encodes each image only once. Both ways run in turn. The times are
medians of processor time on one thread. The replies must be equal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from PIL import Image

from benchmarks import parsing, record
from harmon_eval import registry, suites
from harmon_eval.adapters._harmon_settings import Settings
from harmon_eval.adapters.harmon import open_model
from harmon_eval.core import Ask, Responder
from harmon_eval.running.jobs import RunSettings, prepare

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
QUESTIONS = (
    "is there a red circle in the picture?",
    "what color is the square?",
    "how many circles are there?",
    "what is shown in the picture?",
)


def a_picture_each(folder: Path, count: int, new_tokens: int) -> list[Ask]:
    asks = []
    for i in range(count):
        path = folder / f"{i}.png"
        Image.new("RGB", (64, 64), COLOURS[i % len(COLOURS)]).save(path)
        asks.append(Ask(QUESTIONS[i % len(QUESTIONS)], (path,), new_tokens))
    return asks


def of_task(name: str, count: int) -> list[Ask]:
    """The first questions of a task of the mini suite, as the harness asks them."""
    suite = suites.load("mini")
    samples = prepare(name, registry.task(name), suite, RunSettings()).samples
    return [sample.request for sample in samples if isinstance(sample.request, Ask)][:count]


def compared(model: Responder, asks: Sequence[Ask], batch: int, repeats: int) -> dict[str, float]:
    """Replies per second one by one and in batches, and their ratio."""

    def answer(size: int) -> tuple[float, list[object]]:
        start = time.process_time()
        replies: list[object] = []
        for i in range(0, len(asks), size):
            replies += model.ask(asks[i : i + size])
        return time.process_time() - start, replies

    answer(batch)
    singly, together = [], []
    for _ in range(repeats):
        (one, alone), (many, batched) = answer(1), answer(batch)
        assert alone == batched, "a reply depends on its batch"
        singly.append(one)
        together.append(many)
    rates = {
        "one by one": len(asks) / median(singly),
        "batched": len(asks) / median(together),
        "pictures": len({ask.images for ask in asks}),
    }
    return rates | {"ratio": rates["batched"] / rates["one by one"]}


def main() -> None:
    parser = parsing.Parser("understanding", __doc__)
    parser.add_argument("--model", type=parsing.model, default="harmon-mini")
    parser.add_argument("--batch", type=parsing.number, default=8, metavar="B")
    parser.add_argument("--questions", type=parsing.number, default=64, metavar="N")
    parser.add_argument("--new-tokens", type=parsing.number, default=16, metavar="T")
    parser.add_argument("--tasks", type=parsing.tasks, default="pope,gqa,mme", metavar="A,B")
    parser.add_argument("--repeats", type=parsing.number, default=3, metavar="N")
    parser.add_argument("--results", type=Path, default=record.RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = open_model(arguments.model, Settings(device="cpu"))
    measured = {}
    with TemporaryDirectory() as folder:
        own = a_picture_each(Path(folder), arguments.questions, arguments.new_tokens)
        kinds = {"a picture each": own}
        for task in arguments.tasks:
            kinds[task] = of_task(task, arguments.questions)
        for kind, asks in kinds.items():
            found = compared(model, asks, arguments.batch, arguments.repeats)
            measured[kind] = found
            print(
                f"{kind}: {len(asks)} questions about {found['pictures']} images, one by one "
                f"{found['one by one']:.1f}, batches of {arguments.batch} {found['batched']:.1f} "
                f"replies/s: ratio {found['ratio']:.2f}",
                flush=True,
            )
    ratios = {
        f"{kind}, batch {arguments.batch} to 1": found["ratio"] for kind, found in measured.items()
    }
    kept = {"settings": record.settings(arguments), "kinds": measured}
    record.write("understanding", ratios, kept, arguments.results)


if __name__ == "__main__":
    main()
