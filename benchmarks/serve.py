"""What serving costs beside marking alone, and whether anything is lost or mixed up under load.

    python -m benchmarks.serve [--images 400] [--clients 200]

Two instruments: the mini suite's detector, rules that take 2 ms for a picture of 64 x 64, so that
what HTTP costs shows (GenEval's own detector takes a hundred times as long), and rapidocr, a real
network that runs here (``ocr``). Costs are processor seconds of
the server against those of a process that marks the same files by itself; images a second are wall
time of a machine that others, and the clients, use too. Then 200 clients ask at once, a quarter of
them is killed midway, at last the server; each answer is compared with the mark made alone, and
every answered mark is looked for in the store.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks import parsing, record
from benchmarks.serve_client import Client
from harmon_eval.store.log import log_entries
from harmon_eval.suites.mini.scenes import COLORS, SHAPES, Item, Scene, render
from harmon_eval.tasks.geneval import prompts

PROCESSES = 4  # of clients
BATCH = 8  # images a request, as UniRL sends them
ALONE = """
import json, sys, time
from pathlib import Path
from harmon_eval import registry, suites
from harmon_eval.core import Answer, Draw, Sample
from harmon_eval.running.marking import mark_batch
folder, name = Path(sys.argv[1]), sys.argv[2]
task, suite = registry.task(name), suites.load("mini", None, json.loads(sys.argv[3]))
instruments = {role: suite.instrument(role, task) for role in task.instruments}
items = json.loads((folder / "items.json").read_text())
answers = [Answer(Sample(str(n), Draw(item["prompt"]), item, "g"), folder / f"{n}.png")
           for n, item in enumerate(items)]
mark_batch(task, instruments, answers[:1])
begun, cpu = time.monotonic(), time.process_time()
rows = [row for i in range(0, len(answers), 32)
        for row in mark_batch(task, instruments, answers[i:i + 32])]
numbers = [task.reward.scores(row)[sys.argv[4]] for row in rows]
wall, cpu = time.monotonic() - begun, time.process_time() - cpu
print(json.dumps({"wall": wall, "cpu": cpu, "numbers": numbers}))
"""


def pictures(folder: Path, count: int, side: int) -> None:
    """Images that no two are alike, and what each is asked for, which some show and some do not."""
    rng = np.random.default_rng(side)
    shapes, items = list(SHAPES), []
    for number in range(count):
        places = rng.uniform(14, 50, 2)
        drawn = [
            Item(str(rng.choice(shapes)), str(rng.choice(list(COLORS))), float(x), 32.0, 8.0)
            for x in (min(places) - 6, max(places) + 6)
        ]
        Image.fromarray(render(Scene(tuple(drawn)), side)).save(folder / f"{number}.png")
        wanted = [str(s) for s in rng.choice(shapes, 2, replace=False)]
        items.append(prompts.position(wanted[0], "left of", wanted[1]))
    (folder / "items.json").write_text(json.dumps(items))


def pages(folder: Path, count: int, side: int) -> None:
    """Images with a word each, and prompts that ask for it."""
    rng = np.random.default_rng(side)
    letters = list("ABCDEFGHKLMNPRSTUVWXY")
    items = []
    for number in range(count):
        word = "".join(rng.choice(letters, 6))
        page = Image.new("RGB", (side, side), "white")
        font = ImageFont.load_default(side // 10)
        ImageDraw.Draw(page).text((side // 8, side // 3), word, "black", font)
        page.save(folder / f"{number}.png")
        items.append({"prompt": f'a sign that says "{word}"', "text": word})
    (folder / "items.json").write_text(json.dumps(items))


@dataclass(frozen=True)
class Case:
    """A reward with its instruments, its headline, and what makes its images."""

    reward: str
    headline: str
    make: Callable[[Path, int, int], None]
    instruments: Mapping[str, str] = field(default_factory=dict)

    @property
    def options(self) -> list[str]:
        chosen = (f"--instrument={role}={name}" for role, name in self.instruments.items())
        return [self.reward, *chosen]


GENEVAL = Case("geneval:share", "share", pictures)
OCR = Case("ocr", "ocr_reward", pages, {"reader": "rapidocr"})


@dataclass
class Server:
    process: subprocess.Popen[str]
    port: int

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(case: Case, *options: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "harmon_eval", "serve", *case.options, "--port", "0"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        while line and not line.startswith("serving "):
            line = process.stderr.readline()
        yield Server(process, int(line.rsplit(":", 1)[1]))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def client(served: Server, folder: Path, case: Case = GENEVAL) -> Client:
    return Client(served.port, folder, case.reward, case.headline)


def alone(folder: Path, case: Case) -> dict[str, Any]:
    words = [str(folder), case.reward, json.dumps(dict(case.instruments)), case.headline]
    command = [sys.executable, "-c", ALONE, *words]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))
    return found


def cost(case: Case, count: int, side: int, times: int) -> dict[str, Any]:
    """What marking ``count`` images takes alone and served: the middle one of so many ``times``."""
    every = sorted((once(case, count, side) for _ in range(times)), key=lambda one: one["overhead"])
    return {**every[times // 2], "overheads": [one["overhead"] for one in every]}


def once(case: Case, count: int, side: int, connections: int = 8) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, server(case, "--timeout", "600") as served:
        folder = Path(name)
        case.make(folder, count, side)
        by_itself = alone(folder, case)
        clients = [client(served, folder, case) for _ in range(connections)]
        clients[0].ask([0])  # the first image opens what is opened once
        parts = [range(i, min(i + BATCH, count)) for i in range(1, count, BATCH)]
        begun, before = time.monotonic(), served.cpu()
        with ThreadPoolExecutor(connections) as pool:
            every = pool.map(
                lambda k: [clients[k].ask(part) for part in parts[k::connections]],
                range(connections),
            )
            answers: list[list[float]] = [[] for _ in parts]
            for k, own in enumerate(every):
                answers[k::connections] = own
        wall, cpu = time.monotonic() - begun, served.cpu() - before
    numbers = [number for own in answers for number in own]
    wrong = sum(a != b for a, b in zip(numbers, by_itself["numbers"][1:], strict=True))
    overhead = cpu / (count - 1) / (by_itself["cpu"] / count) - 1
    return {
        "reward": " ".join(case.options),
        "side": side,
        "images": count,
        "alone: ms of a processor an image": round(1000 * by_itself["cpu"] / count, 2),
        "served: ms of a processor an image": round(1000 * cpu / (count - 1), 2),
        "overhead": round(overhead, 3),
        "alone: images a second": round(count / by_itself["wall"], 1),
        "served: images a second": round((count - 1) / wall, 1),
        "answers unlike the mark made alone": wrong,
    }


@dataclass
class Clients:
    """A process of clients, and the file of what they were answered."""

    process: subprocess.Popen[bytes]
    said: Path

    def answers(self) -> dict[int, float]:
        lines = (line for line in self.said.read_text().splitlines() if line.endswith("]"))
        return {int(number): value for number, value in map(json.loads, lines)}


def crowd(served: Server, folder: Path, clients: int, first: int, count: int) -> list[Clients]:
    """``PROCESSES`` processes that share the clients and the images."""
    each, images = clients // PROCESSES, count // PROCESSES
    program = Path(__file__).with_name("serve_client.py")
    made = []
    for k in range(PROCESSES):
        place = [str(served.port), str(folder), str(each), str(first + k * images), str(images)]
        said = folder / f"said-{first}-{k}"
        with said.open("wb") as file:
            command = [sys.executable, str(program), *place]
            made.append(
                Clients(subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL), said)
            )
    return made


def wait_for(clients: Sequence[Clients], answers: int) -> None:
    """Until each process of clients has so many answers, or has ended."""
    while any(len(c.answers()) < answers and c.process.poll() is None for c in clients):
        time.sleep(0.02)


def stored(store: Path) -> list[tuple[str, float]]:
    """(prompt and image, share) of every stored mark."""
    from harmon_eval import registry

    reward = registry.task("geneval:share").reward
    assert reward is not None
    entries = (entry for _, entry in log_entries(store / "geneval" / "served.jsonl"))
    return [(e["sha256"], reward.scores(e["row"])["share"]) for e in entries]


def load(clients: int, count: int) -> dict[str, Any]:
    """Many clients at once, some of them killed, then the server, which is started again."""
    from harmon_eval.store.digests import sha256_of

    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name) / "images", Path(name) / "store"
        folder.mkdir()
        half = count // 2
        pictures(folder, count, 64)
        right = alone(folder, GENEVAL)["numbers"]
        digests = [sha256_of(folder / f"{n}.png") for n in range(count)]
        with server(GENEVAL, "--store", str(store)) as served:
            every = crowd(served, folder, clients, 0, half)
            wait_for(every, half // PROCESSES // 4)
            every[0].process.kill()
            for one in every:
                one.process.wait()
            begun = time.monotonic()
            number = client(served, folder).ask([0])
            still = time.monotonic() - begun
            others = crowd(served, folder, clients, half, half)
            wait_for(others, half // PROCESSES // 4)
            served.process.kill()
            for one in others:
                one.process.wait()
        kept = dict(stored(store))
        with server(GENEVAL, "--store", str(store)) as served:
            again = client(served, folder).ask([0])
        first, second = ([one.answers() for one in own] for own in (every, others))
        answers = [pair for own in (*first, *second) for pair in own.items()]
        return {
            "clients at once": clients,
            "images": count,
            "clients killed midway": clients // PROCESSES,
            "answers that they had": len(first[0]),
            "answers of the clients that stayed": sum(map(len, first[1:])),
            "of": half - half // PROCESSES,
            "answers when the server was killed": sum(map(len, second)),
            "answers in all": len(answers),
            "answers unlike the mark made alone": sum(right[n] != v for n, v in answers),
            "answered marks that the store lacks": sum(digests[n] not in kept for n, _ in answers),
            "stored marks unlike the mark made alone": sum(
                right[digests.index(digest)] != value for digest, value in kept.items()
            ),
            "seconds for one image after the kills": round(still, 3),
            "a server started again gives the same number": again == number,
        }


def main() -> None:
    parser = parsing.Parser("serve", __doc__)
    parser.add_argument("--images", type=parsing.number, default=400)
    parser.add_argument("--clients", type=parsing.number, default=200)
    arguments = parser.parse_args()
    costs, ratios = [], {}
    n = arguments.images
    for case, count, side, times in (
        (GENEVAL, n, 64, 3),
        (GENEVAL, n // 4, 256, 3),
        (OCR, n // 20, 256, 1),
    ):
        measured = cost(case, count, side, times)
        print(json.dumps(measured, indent=1))
        costs.append(measured)
        ratios[f"alone / served, {case.reward}, {side} px"] = 1 / (1 + measured["overhead"])
    crowded = load(arguments.clients, 4 * arguments.images)
    print(json.dumps(crowded, indent=1))
    record.write("serve", ratios, {"cost": costs, "load": crowded})


if __name__ == "__main__":
    main()
