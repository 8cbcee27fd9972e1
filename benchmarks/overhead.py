"""What the harness itself costs, compared with two other harnesses on the same trivial task.

    python -m benchmarks.overhead [--peers PYTHON] [--largest 100000]

The task has N questions "question i", a model that answers immediately, and a mark that says
whether the answer equals the question. Each tool runs as its users would start it, in its own
process with one thread. The table gives processor seconds (user and system) and peak memory. The
cost per sample is the slope between two sizes, so that the fixed start does not count. ``--peers``
is the Python of an environment with the other tools::

    python3 -m venv PEERS && PEERS/bin/pip install inspect_ai lm_eval torch transformers
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import parsing, record

IMAGES = """
import io, sys, time
from pathlib import Path
from harmon_eval.adapters.scripted import ScriptedResponder
from harmon_eval.core import Draw
from harmon_eval.store.task_folder import TaskFolder
model = ScriptedResponder()
for side in (64, 512):
    drawn = model.draw([Draw(f"picture {i}", i) for i in range(32)])
    pictures = {f"{i:04d}": image.resize((side, side)) for i, image in enumerate(drawn)}
    folder = TaskFolder(Path(sys.argv[1]) / f"images{side}")
    encode = store = wall = 0.0
    for _ in range(6):
        start = time.process_time()
        for image in pictures.values():
            image.save(io.BytesIO(), "PNG")
        encode += time.process_time() - start
        start, begun = time.process_time(), time.monotonic()
        folder.record(pictures, 0.1)
        store += time.process_time() - start
        wall += time.monotonic() - begun
    a_picture = 1000 / (6 * len(pictures))
    print(f"| {side} x {side} | {encode * a_picture:.2f} ms | {store * a_picture:.2f} ms | "
          f"{(store - encode) * a_picture:.2f} ms | {wall * a_picture:.1f} ms |")
"""
TASK = """
import os, time
from harmon_eval.adapters.scripted import ScriptedResponder
from harmon_eval.core import About, Ask, Draw, Metric, Sample, Task
class Large(ScriptedResponder):
    # As a model on a GPU: it takes seconds a batch, and no time of the processor.
    name, fingerprint = "large", "1"
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds
        (self.picture,) = super().draw([Draw("a picture", 1)])
        self.picture = self.picture.resize((512, 512))
    def draw(self, requests):
        time.sleep(self.seconds)
        return [self.picture] * len(requests)
    def ask(self, requests):
        time.sleep(self.seconds)
        return super().ask(requests)
def open_large(argument):
    return Large(float(argument))
class Erring(ScriptedResponder):
    # Wrong at every so many-th question, so that two runs differ.
    name = fingerprint = "erring"
    def __init__(self, each):
        super().__init__()
        self.each, self.fingerprint = each, f"erring-{each}"
    def ask(self, requests):
        return [q if int(q.split()[1]) % self.each else "no idea" for q in super().ask(requests)]
def open_erring(argument):
    return Erring(int(argument))
N, DRAW = int(os.environ["OVERHEAD_N"]), bool(os.environ.get("OVERHEAD_DRAW"))
def samples(suite):
    for i in range(N):
        question = f"question {i}"
        request = Draw(question) if DRAW else Ask(question)
        yield Sample(f"{i // 1000:03d}/{i:06d}", request, {"reply": question}, f"{i:06d}")
TASK = Task(
    samples=samples,
    mark=lambda answers, instruments: [
        {"correct": DRAW or a.reply == a.sample.target["reply"]} for a in answers
    ],
    summarize=lambda rows: {"accuracy": float(rows["correct"].mean())},
    metrics=(Metric("accuracy", headline=True),),
    columns=("correct",),
    columns_once=(),
    about=About(paper="none", version="1"),
)
"""
POINTS = """[harmon_eval.tasks]
overhead = overhead_task:TASK
[harmon_eval.models]
large = overhead_task:open_large
erring = overhead_task:open_erring
"""
INSPECT = """
import os
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import match
@task
def overhead():
    n = int(os.environ["OVERHEAD_N"])
    rows = [Sample(input=f"question {i}", target="Default output") for i in range(n)]
    return Task(dataset=MemoryDataset(rows), scorer=match())
"""
LM_EVAL = """
task: overhead
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "lol"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 8}}
metric_list: [{{metric: exact_match}}]
"""


@dataclass(frozen=True)
class Cost:
    """Processor and wall seconds, and peak memory in MB, of one process with its children."""

    cpu: float
    wall: float
    memory: float


def cost(
    command: list[str], folder: Path, expected: Sequence[int] = (0,), /, **environment: str
) -> Cost:
    """Run a command and measure it. Raises SystemExit with its output where its exit code is none
    of the ``expected``."""
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    began = time.monotonic()
    output = folder / "output.txt"
    with output.open("w") as file:
        process = os.posix_spawnp(
            command[0],
            command,
            {**os.environ, **one, **environment},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, file.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, file.fileno(), 2),
            ],
        )
        _, status, used = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status) not in expected:
        sys.exit(f"{' '.join(command)} failed:\n{output.read_text()[-3000:]}")
    return Cost(used.ru_utime + used.ru_stime, time.monotonic() - began, used.ru_maxrss / 1024)


def ours(folder: Path) -> dict[str, str]:
    """Write a plug-in package with the task; returns the environment variables to find it."""
    site = folder / "site"
    info = site / "overhead-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "overhead_task.py").write_text(TASK)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: overhead\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    root = str(Path(__file__).resolve().parents[1])
    return {"PYTHONPATH": os.pathsep.join([str(site), root])}


def row(
    name: str, small: tuple[int, Cost], large: tuple[int, Cost], middle: str = ""
) -> dict[str, float]:
    """Print a line of the table. Gives its fixed start (s) and each further sample (ms)."""
    slope = (large[1].cpu - small[1].cpu) / (large[0] - small[0]) * 1000
    start = small[1].cpu - slope * small[0] / 1000
    print(
        f"| {name} | {start:.1f} s | {slope:.3f} ms | {small[1].memory:.0f} MB at {small[0]:,}, "
        f"{middle}{large[1].memory:.0f} MB at {large[0]:,} |",
        flush=True,
    )
    return {"start": start, "sample": slope, "memory": large[1].memory}


def measure_ours(folder: Path, largest: int) -> dict[str, float]:
    """Gives what replies cost."""
    python, environment = sys.executable, ours(folder)
    run = [python, "-m", "harmon_eval", "--model", "scripted", "--tasks", "overhead", "--output"]
    sizes = (1000, largest)
    between = cost([*run, str(folder / "between")], folder, OVERHEAD_N="10000", **environment)
    middle = f"{between.memory:.0f} MB at 10,000, "
    costs = [
        cost([*run, str(folder / f"t{n}")], folder, OVERHEAD_N=str(n), **environment) for n in sizes
    ]
    replies = row("harmon_eval, replies", (sizes[0], costs[0]), (sizes[1], costs[1]), middle)
    again = [
        cost([*run, str(folder / f"t{n}")], folder, OVERHEAD_N=str(n), **environment) for n in sizes
    ]
    row("harmon_eval, all stored already", (sizes[0], again[0]), (sizes[1], again[1]))
    few = (200, 2200)
    drawn = [
        cost(
            [*run, str(folder / f"d{n}")],
            folder,
            OVERHEAD_N=str(n),
            OVERHEAD_DRAW="1",
            **environment,
        )
        for n in few
    ]
    row("harmon_eval, 64 x 64 images", (few[0], drawn[0]), (few[1], drawn[1]))
    return replies


def measure_opening(folder: Path, largest: int) -> None:
    """Measure reading and checking all stored replies, as happens before the first question."""
    code = (
        "import sys, time\nfrom pathlib import Path\nimport overhead_task\n"
        "from harmon_eval.running.asking import stored_answers\n"
        "from harmon_eval.running.jobs import RunSettings, prepare\n"
        "from harmon_eval.store.run_folder import RunFolder\n"
        "from harmon_eval.suites import load\n"
        "job = prepare('overhead', overhead_task.TASK, load('mini'), RunSettings())\n"
        "start = time.process_time()\nfolder = RunFolder(Path(sys.argv[1])).task('overhead')\n"
        "found, damaged = stored_answers(folder, folder.recorded(), job.samples)\n"
        "print(len(found), damaged, time.process_time() - start)"
    )
    site = {
        "PYTHONPATH": os.pathsep.join(
            [str(folder / "site"), str(Path(__file__).resolve().parents[1])]
        )
    }
    command = [sys.executable, "-c", code, str(folder / f"t{largest}")]
    cost(command, folder, OVERHEAD_N=str(largest), **site)
    found, damaged, seconds = (folder / "output.txt").read_text().split()
    print(f"\nopening a run of {int(found):,} replies ({damaged} damaged): {float(seconds):.1f} s")


def measure_images(folder: Path) -> None:
    """Measure storing images durably and only encoding the same images, in turn."""
    root = str(Path(__file__).resolve().parents[1])
    cost([sys.executable, "-c", IMAGES, str(folder)], folder, PYTHONPATH=root)
    print(
        "\n| images | PNG encoding alone | stored | beyond encoding | stored, wall clock |\n"
        "|---|---|---|---|---|\n" + (folder / "output.txt").read_text(),
        end="",
    )


def measure_peers(folder: Path, peers: str, largest: int) -> dict[str, dict[str, float]]:
    (folder / "overhead_inspect.py").write_text(INSPECT)
    few, many = 1000, min(largest, 11_000)
    program = Path(peers).parent
    base = [
        str(program / "inspect"),
        "eval",
        "overhead_inspect.py",
        "--model",
        "mockllm/model",
        "--display",
        "none",
        "--log-dir",
        str(folder / "logs"),
    ]
    cost(base, folder, OVERHEAD_N="1")  # compiles modules that were never imported before
    costs = [cost(base, folder, OVERHEAD_N=str(n)) for n in (few, many)]
    found = {"inspect_ai": row("inspect_ai, replies", (few, costs[0]), (many, costs[1]))}
    costs = []
    for n in (few, many):
        own = folder / f"lm{n}"
        own.mkdir()
        data = own / "data.json"
        data.write_text("".join(json.dumps({"question": f"question {i}"}) + "\n" for i in range(n)))
        (own / "overhead.yaml").write_text(LM_EVAL.format(data=data))
        command = [
            str(program / "lm_eval"),
            "--model",
            "dummy",
            "--tasks",
            "overhead",
            "--include_path",
            str(own),
            "--output_path",
            str(own / "out"),
            "--log_samples",
        ]
        costs.append(cost(command, folder, HF_HUB_OFFLINE="1", HF_HOME=str(folder / "hf")))
    name = "lm-evaluation-harness"
    found[name] = row(f"{name}, replies", (few, costs[0]), (many, costs[1]))
    return found


def measure_starts(folder: Path, peers: str | None) -> None:
    starts = {
        "harmon_eval --help": [sys.executable, "-m", "harmon_eval", "--help"],
        "harmon_eval list": [sys.executable, "-m", "harmon_eval", "list"],
    }
    if peers:
        program = Path(peers).parent
        starts["inspect --help"] = [str(program / "inspect"), "--help"]
        starts["lm_eval --help"] = [str(program / "lm_eval"), "--help"]
    root = str(Path(__file__).resolve().parents[1])
    print("\n| start | processor time, best of 3 |\n|---|---|")
    for name, command in starts.items():
        best = min(cost(command, folder, PYTHONPATH=root).cpu for _ in range(3))
        print(f"| {name} | {best:.2f} s |", flush=True)


def main() -> None:
    parser = parsing.Parser("overhead", __doc__)
    parser.add_argument("--peers", metavar="PYTHON", help="Python of an environment with the peers")
    parser.add_argument("--largest", type=parsing.number, default=100_000, metavar="N")
    parser.add_argument("--results", type=Path, default=record.RESULTS)
    arguments = parser.parse_args()
    results, peers = arguments.results.resolve(), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)  # inspect looks for its tasks here
        print("| tool | fixed start | per sample | peak memory |\n|---|---|---|---|")
        ours = measure_ours(folder, arguments.largest)
        if arguments.peers:
            peers = measure_peers(folder, arguments.peers, arguments.largest)
        measure_opening(folder, arguments.largest)
        measure_images(folder)
        measure_starts(folder, arguments.peers)
        os.chdir(results.parent)
    ratios = {"0.18 ms, the goal": 0.18 / ours["sample"]}
    for peer, cost_of in peers.items():
        ratios |= {f"{peer}, {what}": cost_of[what] / ours[what] for what in ours}
    kept = {"load average": os.getloadavg(), "largest": arguments.largest}
    record.write("overhead", ratios, {**kept, "tools": {"harmon_eval": ours, **peers}}, results)


if __name__ == "__main__":
    main()
