"""What speed costs: GenEval, FID and time for a grid of settings, paired with the full setting.

    python -m benchmarks.pareto --model harmon-mini --output runs/pareto

There are two stages. The first screens all settings on a part of GenEval-mini and MJHQ-mini. The
second takes those that lose no more than the margins and confirms them, fastest first, on all
prompts with new seeds, until one setting is shown to be no worse by both metrics. This is the
cheapest setting that is no worse. The second stage generates new
images, so its result is not biased by the selection in the first stage.

Differences to the full setting come from ``compare``, paired sample by sample. Seconds per image
are processor time on one thread; all settings run in turn, and medians are used. If the command is
killed, run it again to resume: runs are normal runs of the harness, and timings are kept. Writes
the tables and the plot in docs/speed.md; ``--section savings`` with ``--only`` writes those of a
few settings into the section on savings of papers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

from benchmarks import pareto_page, parsing, record
from benchmarks.paired import FULL, by_speed, candidates, compared, verdict
from harmon_eval.adapters._harmon_settings import Settings, draw_settings
from harmon_eval.comparing.verdict import NO_WORSE
from harmon_eval.model.checkpoint import load
from harmon_eval.model.sampling import Cheaper, DrawSettings
from harmon_eval.running.evaluate import Request, run
from harmon_eval.running.jobs import RunSettings
from harmon_eval.store.task_folder import ROWS
from harmon_eval.tasks.geneval import mini

FEWEST_GENEVAL = 12
FEWEST_FID = 80  # more than the mini suite's 64 features, even with one group left out
BFLOAT16 = "bfloat16"  # for the weights and all arithmetic; not part of a preset
Given = dict[str, Any]  # settings of harmon, by name
BATCH = 16  # images per batch when seconds are measured
DOCS = Path(__file__).parents[1] / "docs"


@dataclass(frozen=True)
class Stage:
    """How much is generated: seeds for GenEval and for MJHQ, and how many of their prompts."""

    name: str
    seeds: Mapping[str, Sequence[int]]
    prompts: Mapping[str, int | None]


def stages(arguments: argparse.Namespace) -> tuple[Stage, Stage]:
    """The stages for screening and confirming. They share no seed."""
    few = {"geneval": arguments.screen, "mjhq": arguments.screen_fid}
    most = {"geneval": arguments.limit, "mjhq": arguments.fid_limit}
    # FID's margin is narrower relative to its noise, so FID gets four seeds at least.
    first = arguments.first_seed
    seeds = {
        "geneval": range(first, first + arguments.seeds),
        "mjhq": range(first, first + max(4, arguments.seeds)),
    }
    screen = Stage("screen", {"geneval": [0], "mjhq": [0]}, few)
    return screen, Stage("confirm", seeds, most)


def grid(own: DrawSettings) -> dict[str, Cheaper]:
    """Settings by name, as shares of the model's own. The names show the resulting numbers."""
    half: tuple[float, float] = (0.0, 0.5)
    dpm, ddim = "dpm-solver++", "ddim"
    settings = [
        Cheaper(),
        *(Cheaper(iterations=share) for share in (0.75, 0.5, 0.375, 0.25)),
        *(Cheaper(diffusion_steps=share) for share in (0.5, 0.25, 0.125)),
        *(
            Cheaper(diffusion_steps=share, solver=solver)
            for solver in (ddim, dpm)
            for share in (0.5, 0.25, 0.15, 0.1)
        ),
        Cheaper(guidance=half),
        *(Cheaper(share, 0.25) for share in (0.5, 0.375, 0.25)),
        Cheaper(0.5, 0.125),
        *(
            Cheaper(share, steps, solver=dpm)
            for share in (0.5, 0.375, 0.25)
            for steps in (0.25, 0.15)
        ),
        *(
            Cheaper(share, steps, solver=ddim)
            for share in (0.75, 0.5, 0.375)
            for steps in (0.25, 0.15, 0.1)
        ),
        *(Cheaper(share, 0.25, guidance=half) for share in (0.5, 0.375)),
        Cheaper(0.5, 0.125, guidance=half),
        *(Cheaper(share, 0.15, solver=dpm, guidance=half) for share in (0.5, 0.375)),
        Cheaper(0.5, 0.15, solver=ddim, guidance=half),
        *(Cheaper(adaptive_guidance=cosine) for cosine in (0.999, 0.995, 0.98)),
        *(
            Cheaper(share, 0.125, solver=ddim, spacing="trailing", adaptive_guidance=cosine)
            for share in (1, 0.75, 0.5)
            for cosine in (None, 0.995, 0.98)
        ),
        *(
            Cheaper(share, steps, solver=solver, adaptive_guidance=0.995)
            for solver in (None, ddim)
            for share in (1, 0.75, 0.625, 0.5)
            for steps in (0.5, 0.25)
        ),
    ]
    return {described(cheaper, own): cheaper for cheaper in settings}


def papers(own: DrawSettings) -> dict[str, Given]:
    """Savings of papers by name, beside the model's own settings; the second is the preset."""
    few = min(5, own.diffusion_steps)
    disa: Given = {"annealing": "linear", "final_steps": few, "last_step": 950}
    name, fewer = f"DiSA, {own.diffusion_steps} to {few} steps", own.iterations * 3 // 4
    return {
        name: disa,
        f"{fewer} iterations, {name}": {**disa, "steps": fewer},
        f"{fewer} iterations, {name}, adaptive 0.995": {
            **disa,
            "steps": fewer,
            "adaptive_guidance": 0.995,
        },
        f"950 start, {own.diffusion_steps // 4} steps": {
            "diffusion_steps": own.diffusion_steps // 4,
            "last_step": 950,
        },
        "cache 3": {"cache": 3},
        "order gtr": {"order": "gtr"},
        "order gtr, half of the iterations": {"order": "gtr", "steps": own.iterations // 2},
    }


def of_students(folders: Iterable[str]) -> dict[str, Given]:
    """Models that were taught to draw faster, with their own settings and with fewer iterations."""
    found: dict[str, Given] = {}
    for folder in folders:
        name, own = Path(folder).name, load(folder).draw_settings
        found[name] = {"model": folder}
        fewer = own.iterations * 3 // 4
        found[f"{name}, {fewer} iterations"] = {"model": folder, "steps": fewer}
    return found


def described(cheaper: Cheaper, own: DrawSettings) -> str:
    how, parts = cheaper.than(own), []
    if cheaper.iterations != 1:
        parts.append(f"{how.iterations} iterations")
    if cheaper.solver:
        parts.append(cheaper.solver)
    if cheaper.diffusion_steps != 1:
        parts.append(f"{how.diffusion_steps} steps")
    if cheaper.guidance:
        parts.append("guidance {:g}:{:g}".format(*cheaper.guidance))
    if cheaper.spacing:
        parts.append(cheaper.spacing)
    if cheaper.adaptive_guidance is not None:
        parts.append(f"adaptive {cheaper.adaptive_guidance:g}")
    return ", ".join(parts) or FULL


def given_settings(cheaper: Cheaper, own: DrawSettings) -> Given:
    how = cheaper.than(own)
    return {
        "steps": how.iterations,
        "diffusion_steps": how.diffusion_steps,
        "solver": how.solver,
        "guidance": how.guidance,
        "spacing": how.spacing,
        "adaptive_guidance": how.adaptive_guidance,
    }


# -- generation and timing -------------------------------------------------------------------


def seconds_a_picture(
    model: str, settings: Mapping[str, Given], repeats: int, path: Path
) -> dict[str, float]:
    """Seconds per image for every setting, measured in turn.

    Settings in the file are not measured again. New ones are timed together with the full setting
    and scaled to its stored seconds."""
    known: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    if not (missing := settings.keys() - known.keys()):
        return known
    loaded = {
        (of.get("model", model), of.get("dtype")): load(
            of.get("model", model), dtype=torch.bfloat16 if of.get("dtype") else torch.float32
        )
        for of in settings.values()
    }
    prompts = ["a photo of a red circle"] * BATCH
    spent: dict[str, list[float]] = {name: [] for name in settings if name in {FULL, *missing}}
    for _ in range(repeats):
        for name in spent:
            own = dict(settings[name])
            opened = loaded[own.pop("model", model), own.get("dtype")]
            how = draw_settings(opened.draw_settings, Settings(**own))
            start = time.process_time()
            opened.pipeline.draw(prompts, range(BATCH), how)
            spent[name].append((time.process_time() - start) / BATCH)
    found = {name: median(values) for name, values in spent.items()}
    scale = known.get(FULL, found[FULL]) / found[FULL]
    seconds = known | {name: value * scale for name, value in found.items() if name not in known}
    path.write_text(json.dumps(seconds, indent=1))
    return seconds


Job = tuple[str, str, int]  # setting, task, seed


def folder_of(output: Path, stage: Stage, name: str, task: str, seed: int) -> Path:
    plain = name.replace(", ", "-").replace(" ", "-").replace(":", "-")
    return output / stage.name / plain / f"{task}-{seed}"


def draw_and_mark(
    model: str, output: Path, stage: Stage, settings: Mapping[str, Given], job: Job
) -> None:
    """One run of the harness; its output goes into a file."""
    torch.set_num_threads(1)
    name, task, seed = job
    folder = folder_of(output, stage, *job)
    folder.mkdir(parents=True, exist_ok=True)
    how, own = RunSettings(seed, stage.prompts[task]), dict(settings[name])
    model = own.pop("model", model)
    with (folder / "said.txt").open("a") as said, redirect_stdout(said), redirect_stderr(said):
        code = run(Request(model, own, task, "mini", how, output=folder / "run")).code
    if code:
        raise RuntimeError(f"{name}: {task} is incomplete, see {folder / 'said.txt'}")


def all_rows(output: Path, stage: Stage, name: str) -> dict[str, pd.DataFrame]:
    """Rows of each task for all its seeds. Ids include the seed, but a prompt stays one group."""
    found = {}
    for task, seeds in stage.seeds.items():
        folders = {seed: folder_of(output, stage, name, task, seed) for seed in seeds}
        rows = [
            pd.read_parquet(folder / "run" / task / ROWS).assign(
                id=lambda r, s=s: f"{s}/" + r["id"]
            )
            for s, folder in folders.items()
        ]
        found[task] = pd.concat(rows, ignore_index=True)
    return found


def measured(
    draw: Any, stage: Stage, output: Path, names: Iterable[str], seconds: Mapping[str, float]
) -> list[dict[str, Any]]:
    """The table's rows for these settings. ``draw`` generates what is missing."""
    names = list(names)
    jobs = [
        (name, task, seed)
        for name in names
        for task, seeds in stage.seeds.items()
        for seed in seeds
    ]
    for number, (name, task, seed) in enumerate(draw(stage, jobs), 1):
        print(f"{stage.name} {number}/{len(jobs)}: {name}, {task}, seed {seed}", flush=True)
    full = all_rows(output, stage, FULL)
    census = mini.CENSUS if stage.prompts["geneval"] is None else ()
    return [compared(name, full, all_rows(output, stage, name), seconds, census) for name in names]


def until_one_passes(table: Any, stage: Stage, names: Iterable[str]) -> list[dict[str, Any]]:
    """The table's rows for the full setting and for these, up to the first one that is no worse."""
    rows = table(stage, names=[FULL])
    for name in names:
        rows += table(stage, names=[name])
        if verdict(rows[-1]) == NO_WORSE:
            break
    return rows


def cheapest(rows: Sequence[Mapping[str, Any]]) -> str:
    """The fastest setting that is shown to be no worse."""
    passed = (row for row in rows if verdict(row) == NO_WORSE)
    return str(max(passed, key=lambda row: row["speed"], default={"setting": FULL})["setting"])


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = parsing.Parser("pareto", __doc__)
    parser.add_argument("--model", type=parsing.model, default="harmon-mini")
    parser.add_argument("--output", type=Path, default=Path("runs/pareto"))
    parser.add_argument(
        "--screen", type=parsing.number, default=50, metavar="N", help="prompts of GenEval"
    )
    parser.add_argument(
        "--screen-fid", type=parsing.number, default=200, metavar="N", help="same, of MJHQ"
    )
    parser.add_argument(
        "--limit", type=parsing.number, metavar="N", help="prompts of GenEval to confirm with"
    )
    parser.add_argument("--fid-limit", type=parsing.number, metavar="N", help="prompts of MJHQ")
    parser.add_argument(
        "--seeds",
        type=parsing.number,
        default=2,
        metavar="N",
        help="of GenEval and MJHQ (4 or more)",
    )
    parser.add_argument(
        "--first-seed",
        type=parsing.count,
        default=1,
        metavar="N",
        help="to confirm with drawings that were never looked at",
    )
    parser.add_argument(
        "--confirm", type=parsing.number, default=30, metavar="N", help="how many, at most"
    )
    parser.add_argument("--repeats", type=parsing.number, default=3, metavar="N")
    parser.add_argument("--processes", type=parsing.number, default=2, metavar="N")
    parser.add_argument("--only", metavar="A;B", help="confirm these, whatever screening says")
    parser.add_argument(
        "--student",
        action="append",
        type=parsing.model,
        default=[],
        metavar="FOLDER",
        help="a faster model to confirm",
    )
    parser.add_argument(
        "--section", choices=("pareto", "savings"), default="pareto", help="of docs/speed.md"
    )
    parser.add_argument("--results", type=Path, default=record.RESULTS, help="folder for the JSON")
    arguments = parser.parse_args(argv)
    if min(arguments.screen_fid, arguments.fid_limit or FEWEST_FID) < FEWEST_FID:
        parser.error(f"FID and its interval need at least {FEWEST_FID} prompts of MJHQ")
    if min(arguments.screen, arguments.limit or FEWEST_GENEVAL) < FEWEST_GENEVAL:
        parser.error(f"an interval needs two prompts of each tag: at least {FEWEST_GENEVAL}")
    return arguments


def main(argv: Sequence[str] | None = None, docs: Path = DOCS) -> None:
    arguments = parsed(argv)
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    own = load(arguments.model).draw_settings
    settings = grid(own)
    given = {name: given_settings(cheaper, own) for name, cheaper in settings.items()}
    given |= papers(own) | {BFLOAT16: {"dtype": BFLOAT16}}
    if arguments.only:
        wanted = (FULL, *arguments.only.split(";"))
        if unknown := {*wanted} - given.keys():
            raise SystemExit(
                f"--only: no setting {'; '.join(unknown)}; there are {'; '.join(given)}"
            )
        given = {name: given[name] for name in wanted}
    students = of_students(arguments.student)
    given |= students
    path = arguments.output / "seconds.json"
    seconds = seconds_a_picture(arguments.model, given, arguments.repeats, path)
    screen, confirm = stages(arguments)
    with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:

        def draw(stage: Stage, jobs: Sequence[Job]) -> Iterable[Job]:
            work = partial(draw_and_mark, arguments.model, arguments.output, stage, given)
            return (job for job, _ in zip(jobs, pool.map(work, jobs), strict=True))

        table = partial(measured, draw, output=arguments.output, seconds=seconds)
        screened = table(screen, names=given)
        if arguments.only:  # chosen before: screening sorts nothing out, and all are confirmed
            names = [name for name in by_speed(screened) if name not in students]
            confirmed = table(confirm, names=[FULL, *names])
        else:
            names = [name for name in candidates(screened) if name in settings]
            confirmed = until_one_passes(table, confirm, names[: arguments.confirm])
        fast = cheapest(confirmed)
        confirmed += table(confirm, names=students) if students else []
    tables = {"screened": screened, "confirmed": confirmed}
    text = pareto_page.page(arguments.model, own, tables, fast)
    pareto_page.into_docs(text, docs / "speed.md", arguments.section)
    if arguments.section == "pareto":
        pareto_page.plot(tables, docs / "pictures" / "pareto.png")
    print(f"{text}\n\nharmon_eval/model/sampling.py: FAST = {settings.get(fast, fast)}")
    ratios = {row["setting"]: row["speed"] for row in screened} | {
        "--fast": seconds[FULL] / seconds[fast]
    }
    found = {**tables, "fast": fast, "own": asdict(own)}
    record.write(arguments.section, ratios, found, arguments.results)


if __name__ == "__main__":
    main()
