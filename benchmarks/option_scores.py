"""Scoring the options of a question together compared with one call an option, in one run.

    python -m benchmarks.option_scores --options 4

Both ways score the same questions of SEED-Bench's mini twin with the bundled model, in turn. Times
are medians of processor time on one thread. The log-probabilities must agree.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from PIL import Image

from benchmarks import parsing, record
from harmon_eval import registry
from harmon_eval.core import Data, Score
from harmon_eval.model.checkpoint import load

WORDS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
TOLERANCE = 1e-3  # natural log-probabilities, float32


def main() -> None:
    parser = parsing.Parser("option_scores", __doc__)
    parser.add_argument("--questions", type=parsing.number, default=16)
    parser.add_argument("--options", type=parsing.number, default=4)
    parser.add_argument("--batch", type=parsing.number, default=16, help="questions a call")
    parser.add_argument("--repeats", type=parsing.number, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = load("harmon-mini").pipeline
    with TemporaryDirectory() as place:
        task = registry.task("seed:likelihood")
        made = task.sources["mini"].make
        assert made is not None
        made(Path(place))
        samples = list(task.samples(Data.at(Path(place), "mini")))[: arguments.questions]
        requests = [s.request for s in samples if isinstance(s.request, Score)]
        images = [Image.open(r.images[0]).convert("RGB") for r in requests]
    options = [
        [o[0] for o in r.options][: arguments.options]
        + [f"the {word} one" for word in WORDS][: max(0, arguments.options - len(r.options))]
        for r in requests
    ]
    questions = [r.question for r in requests]

    def together() -> tuple[float, list[list[list[float]]]]:
        start, found = time.process_time(), []
        for i in range(0, len(questions), arguments.batch):
            part = slice(i, i + arguments.batch)
            found += pipeline.logprobs(images[part], questions[part], options[part])[1]
        return time.process_time() - start, found

    def one_by_one() -> tuple[float, list[list[list[float]]]]:
        start = time.process_time()
        found = [
            [pipeline.logprobs([image], [question], [[text]])[1][0][0] for text in own]
            for image, question, own in zip(images, questions, options, strict=True)
        ]
        return time.process_time() - start, found

    times: dict[str, list[float]] = {"together": [], "one call an option": []}
    for _ in range(arguments.repeats):
        fast, a = together()
        slow, b = one_by_one()
        times["together"].append(fast)
        times["one call an option"].append(slow)
    pairs = zip(a, b, strict=True)
    flat = [
        (x, y)
        for own, other in pairs
        for u, v in zip(own, other, strict=True)
        for x, y in zip(u, v, strict=True)
    ]
    apart = max(abs(x - y) for x, y in flat)
    if apart > TOLERANCE:
        raise SystemExit(f"the two ways differ by {apart:g}")
    medians = {name: median(own) for name, own in times.items()}
    ratio = medians["one call an option"] / medians["together"]
    print(f"{len(questions)} questions x {arguments.options} options: {medians}, ratio {ratio:.2f}")
    measured = {"seconds": medians, "largest difference": apart, **vars(arguments)}
    record.write("option_scores", {"together against one call an option": ratio}, measured)


if __name__ == "__main__":
    main()
