"""What the commands of the command line do, in terms of the harness."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harmon_eval import registry
from harmon_eval.core import Draw, Responder, Suite, Task, UserError
from harmon_eval.progress import Progress, printable
from harmon_eval.provenance import environment, now
from harmon_eval.runner import RunSettings, prepare, run_task, select, stored_answers
from harmon_eval.store import RunFolder
from harmon_eval.tables import show as show_table
from harmon_eval.tables import write_tables


def chosen_tasks(text: str) -> dict[str, Task]:
    names = registry.task_names() if text == "all" else [n.strip() for n in text.split(",")]
    if not any(names):
        raise UserError("--tasks is empty: give names separated by commas, or leave it out for all")
    return {name: registry.task(name) for name in dict.fromkeys(filter(None, names))}


def default_output(responder: Responder, suite: str, identity: dict[str, Any]) -> Path:
    """A folder for these settings: the same call finds it again, other settings get another."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in responder.name)
    return Path("runs") / f"{plain[-40:].strip('-.')}-{suite}-{digest}"


def run(arguments: Namespace) -> int:
    from harmon_eval import adapters, suites

    console = Console()
    settings = RunSettings(arguments.seed, arguments.limit, arguments.batch_size)
    tasks = chosen_tasks(arguments.tasks)
    suite = suites.load(arguments.suite, arguments.data)
    responder = adapters.load(arguments.model, arguments)
    identity = {
        "model": {
            "name": responder.name,
            "fingerprint": responder.fingerprint,
            "settings": dict(responder.settings),
        },
        "suite": suite.name,
        "seed": settings.seed,
    }
    folder = RunFolder(arguments.output or default_output(responder, suite.name, identity))
    if arguments.dry_run:
        return _dry_run(console, folder, tasks, suite, settings)
    with folder.locked():
        folder.start(identity, arguments.fresh)
        folder.update(
            state="running",
            started=now(),
            environment=environment(),
            data=str(arguments.data) if arguments.data else None,
            batch_size=settings.batch_size,
        )
        return _run_tasks(console, folder, tasks, responder, suite, settings)


def _run_tasks(
    console: Console,
    folder: RunFolder,
    tasks: dict[str, Task],
    responder: Responder | None,
    suite: Suite,
    settings: RunSettings,
) -> int:
    limits = {**folder.manifest.get("limits", {}), **dict.fromkeys(tasks, settings.limit)}
    folder.update(limits=limits)
    unscored = missing = 0
    for name, task in tasks.items():
        task_folder = folder.task(name)
        result = run_task(name, task, responder, suite, task_folder, settings, Progress(name))
        if result is None:
            missing += 1
        else:
            unscored += sum(result.unscored.values())
    folder.update(state="finished" if not missing else "unmarked", finished=now())
    write_tables(folder.path)
    show_table(folder.path, console)
    console.print(f"run folder: {printable(folder.path)}", soft_wrap=True)
    for name in tasks:
        if (folder.path / name / "images").exists():
            console.print(f"images: {printable(folder.path / name / 'images')}", soft_wrap=True)
    if missing:
        console.print(f"not marked yet: `python -m harmon_eval mark {printable(folder.path)}`")
    if unscored:
        console.print(f"{unscored} samples are unscored: see `unscored` in each rows.parquet")
    return 1 if unscored or missing else 0


def _dry_run(
    console: Console,
    folder: RunFolder,
    tasks: dict[str, Task],
    suite: Suite,
    settings: RunSettings,
) -> int:
    table = Table(title=f"would run into {printable(folder.path)}", title_justify="left")
    for column in ("task", "samples", "images to draw", "questions to ask", "stored"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for name, task in tasks.items():
        samples = select(prepare(name, task, suite, settings.seed), settings.limit)
        stored, _ = stored_answers(folder.task(name), samples)
        missing = [sample for sample in samples if sample.id not in stored]
        drawings = sum(isinstance(sample.request, Draw) for sample in missing)
        counts = (len(samples), drawings, len(missing) - drawings, len(stored))
        table.add_row(name, *map(str, counts))
    console.print(table)
    return 0


def mark(arguments: Namespace) -> int:
    from harmon_eval import suites

    folder = RunFolder(arguments.run)
    manifest = folder.manifest
    identity, limits = manifest["identity"], manifest.get("limits", {})
    data = arguments.data or (Path(manifest["data"]) if manifest.get("data") else None)
    suite = suites.load(identity["suite"], data)
    tasks = chosen_tasks(arguments.tasks or ",".join(limits) or "all")
    code = 0
    with folder.locked():
        for name, task in tasks.items():
            settings = RunSettings(identity["seed"], limits.get(name))
            found = _run_tasks(Console(), folder, {name: task}, None, suite, settings)
            code = max(code, found)
    return code


def show(arguments: Namespace) -> int:
    RunFolder(arguments.run).manifest  # says so when it is no run folder
    show_table(arguments.run, Console())
    return 0


def leaderboard(arguments: Namespace) -> int:
    from harmon_eval.leaderboard import leaderboard_markdown
    from harmon_eval.store import write_whole

    text = leaderboard_markdown([RunFolder(path) for path in arguments.runs])
    if arguments.output:
        write_whole(arguments.output, text)
    else:
        print(text, end="")
    return 0


def list(arguments: Namespace) -> int:
    console = Console()
    table = Table(title="tasks", title_justify="left")
    for column in ("name", "headline", "size", "paper", "needs"):
        table.add_column(column)
    for name in registry.task_names():
        task = registry.task(name)
        better = "higher" if task.higher_is_better else "lower"
        table.add_row(name, f"{task.headline} ({better} is better)", task.size, task.paper,
                      ", ".join(task.instruments))  # fmt: skip
    console.print(table)
    console.print("models: harmon-mini (bundled), FOLDER, FILE.pth, hub ids such as "
                  "wusize/Harmon-1_5B, folder:IMAGES, scripted"
                  + "".join(f", {name}" for name in registry.model_factories()))  # fmt: skip
    console.print("suites: mini (bundled, no network), official (--data DIR)")
    return 0
