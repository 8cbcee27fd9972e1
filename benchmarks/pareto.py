"""What speed costs: GenEval, FID and time for a grid of settings, paired with the full ones.

    python -m benchmarks.pareto --model harmon-mini --output runs/pareto

The same command goes on where it was killed: runs are the harness's own and resume, and timings
are kept. Differences to the full setting are paired, sample by sample: GenEval by the bootstrap
over prompts, FID by the jackknife over folds of prompts. Seconds a picture are the process's own on
one thread, all settings in turn, medians. Writes the table and the plot of docs/speed.md, and names
the cheapest setting whose intervals stay within the margins: no evidence of loss.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import record
from harmon_eval.adapters.harmon import DTYPES, draw_settings
from harmon_eval.core import Interval, ModelOptions
from harmon_eval.evaluate import Request, RunSettings, run
from harmon_eval.model.checkpoint import load
from harmon_eval.scoring.frechet import FrechetStatistics, frechet_distances, without_each_group
from harmon_eval.statistics import bootstrap_intervals, jackknife_interval
from harmon_eval.store import ROWS

TASKS = ("geneval", "mjhq")
FOLDS = 20
GENEVAL_MARGIN = 0.02  # points of the overall score
FID_MARGIN = 0.1  # share of the full setting's FID
DOCS = Path(__file__).parents[1] / "docs"


def grid(iterations: int, steps: int) -> dict[str, ModelOptions]:
    """Settings by name, cheaper ones in fractions of the model's own iterations and steps."""
    half, quarter = max(1, iterations // 2), max(1, iterations // 4)
    dpm = ModelOptions(solver="dpm-solver++", diffusion_steps=10)
    return {
        "full": ModelOptions(),
        f"{half} iterations": ModelOptions(steps=half),
        f"{quarter} iterations": ModelOptions(steps=quarter),
        f"{steps // 2} steps": ModelOptions(diffusion_steps=steps // 2),
        f"{steps // 4} steps": ModelOptions(diffusion_steps=steps // 4),
        "ddim, 20 steps": ModelOptions(solver="ddim", diffusion_steps=20),
        "dpm-solver++, 20 steps": replace(dpm, diffusion_steps=20),
        "dpm-solver++, 10 steps": dpm,
        "dpm-solver++, 5 steps": replace(dpm, diffusion_steps=5),
        "guidance 0:0.5": ModelOptions(guidance=(0.0, 0.5)),
        "bfloat16": ModelOptions(dtype="bfloat16"),
        f"{half} iterations, dpm-solver++, 10 steps": replace(dpm, steps=half),
        f"{quarter} iterations, dpm-solver++, 10 steps": replace(dpm, steps=quarter),
        f"{half} iterations, dpm-solver++, 10 steps, guidance 0:0.5": replace(
            dpm, steps=half, guidance=(0.0, 0.5)
        ),
    }


def seconds_a_picture(
    model: str, settings: dict[str, ModelOptions], batch: int, repeats: int
) -> dict[str, float]:
    """Of every setting, all of them in turn."""
    loaded = {dtype: load(model, dtype=DTYPES[dtype]) for dtype in ("float32", "bfloat16")}
    prompts = ["a photo of a red circle"] * batch
    spent: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(repeats):
        for name, options in settings.items():
            used = loaded[options.dtype or "float32"]
            how = draw_settings(used.draw_settings, options)
            start = time.process_time()
            used.pipeline.draw(prompts, range(batch), how)
            spent[name].append((time.process_time() - start) / batch)
    return {name: median(values) for name, values in spent.items()}


def overall(rows: pd.DataFrame, column: str) -> float:
    """GenEval's overall score, the mean of the tags' means, of a column of verdicts."""
    return float(rows.groupby("tag")[column].mean().mean())


def geneval_difference(full: pd.DataFrame, other: pd.DataFrame) -> tuple[float, Interval]:
    """Other less full, with the paired interval over prompts."""
    rows = full.assign(full=full["correct"].astype(float))
    rows = rows.merge(
        pd.DataFrame({"id": other["id"], "other": other["correct"].astype(float)}), on="id"
    )

    def difference(rows: pd.DataFrame) -> dict[str, float]:
        # Off by 2, since the bootstrap takes a constant 0 or 1 for a proportion.
        return {"difference": 2 + overall(rows, "other") - overall(rows, "full")}

    value = difference(rows)["difference"] - 2
    low, high = bootstrap_intervals(rows, difference)["difference"]
    return value, (low - 2, high - 2)


def fid_difference(full: pd.DataFrame, other: pd.DataFrame) -> tuple[float, float, Interval]:
    """FID of the other, and other less full with the paired interval over folds of prompts."""
    other = other.set_index("id").loc[full["id"]]
    folds = np.arange(len(full)) % FOLDS
    columns = (full["reference_features"], full["features"], other["features"])
    arrays = [np.stack(list(column)) for column in columns]
    reference, *drawn = (FrechetStatistics.of(array) for array in arrays)
    before, after = frechet_distances(reference, drawn)
    left = []
    for out_reference, *out in zip(*(without_each_group(a, folds) for a in arrays), strict=True):
        one, two = frechet_distances(out_reference, out)
        left.append(two - one)
    return after, after - before, jackknife_interval(after - before, left)


def measure(arguments: argparse.Namespace, settings: dict[str, ModelOptions]) -> list[dict]:
    rows: dict[str, dict[str, pd.DataFrame]] = {}
    for name, options in settings.items():
        folder = arguments.output / name.replace(", ", "-").replace(" ", "-").replace(":", "-")
        for task in TASKS:
            limit = arguments.limit if task == "geneval" else arguments.fid_limit
            how = RunSettings(limit=limit)
            run(Request(arguments.model, options, task, "mini", how, output=folder))
        rows[name] = {task: pd.read_parquet(folder / task / ROWS) for task in TASKS}
    times = arguments.output / "seconds.json"
    if not times.exists():
        measured = seconds_a_picture(arguments.model, settings, 16, arguments.repeats)
        times.write_text(json.dumps(measured))
    seconds = json.loads(times.read_text())
    full, table = rows["full"], []
    for name in settings:
        change, interval = geneval_difference(full["geneval"], rows[name]["geneval"])
        fid, fid_change, fid_interval = fid_difference(full["mjhq"], rows[name]["mjhq"])
        table.append(
            {
                "setting": name,
                "seconds": seconds[name],
                "speed": seconds["full"] / seconds[name],
                "geneval": overall(rows[name]["geneval"], "correct"),
                "geneval_change": change,
                "geneval_interval": interval,
                "fid": fid,
                "fid_change": fid_change,
                "fid_interval": fid_interval,
            }
        )
    return table


def no_evidence_of_loss(row: dict[str, Any], full_fid: float) -> bool:
    """Both intervals stay within the margins: enough samples, and no loss beyond them."""
    return bool(
        row["geneval_interval"][0] >= -GENEVAL_MARGIN
        and row["fid_interval"][1] <= FID_MARGIN * full_fid
    )


def markdown(table: list[dict[str, Any]]) -> str:
    lines = [
        "| setting | speed | s a picture | GenEval-mini | change (95 %) | FID-mini "
        "| change (95 %) | no evidence of loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        geneval, fid = row["geneval_interval"], row["fid_interval"]
        verdict = "yes" if no_evidence_of_loss(row, table[0]["fid"]) else "no"
        lines.append(
            f"| {row['setting']} | {row['speed']:.2f}× | {row['seconds']:.3f} "
            f"| {row['geneval']:.3f} | {row['geneval_change']:+.3f} "
            f"[{geneval[0]:+.3f}, {geneval[1]:+.3f}] | {row['fid']:.2f} "
            f"| {row['fid_change']:+.2f} [{fid[0]:+.2f}, {fid[1]:+.2f}] | {verdict} |"
        )
    return "\n".join(lines)


def plot(table: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for axis, metric, name in zip(
        axes, ("geneval", "fid"), ("GenEval-mini", "FID-mini"), strict=True
    ):
        for row in table:
            low, high = row[f"{metric}_interval"]
            value, change = row[metric], row[f"{metric}_change"]
            reach = [[max(0.0, change - low)], [max(0.0, high - change)]]
            axis.errorbar(row["seconds"], value, yerr=reach, fmt="o", capsize=2)
            axis.annotate(row["setting"], (row["seconds"], value), fontsize=6)
        axis.set(xscale="log", xlabel="seconds a picture (one CPU thread)", ylabel=name)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def into_docs(text: str, path: Path) -> None:
    """Replace what stands between the two marks of the document."""
    begin, end = "<!-- pareto -->\n", "<!-- /pareto -->"
    document = path.read_text()
    before, _, rest = document.partition(begin)
    path.write_text(f"{before}{begin}\n{text}\n\n{end}{rest.partition(end)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="harmon-mini")
    parser.add_argument("--output", type=Path, default=Path("runs/pareto"))
    parser.add_argument("--limit", type=int, metavar="N", help="prompts of GenEval")
    parser.add_argument("--fid-limit", type=int, metavar="N", help="prompts of MJHQ")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    parser.add_argument("--only", metavar="A;B", help="full and these settings only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    own = load(arguments.model).draw_settings
    settings = grid(own.iterations, own.diffusion_steps)
    if arguments.only:
        settings = {name: settings[name] for name in ("full", *arguments.only.split(";"))}
    table = measure(arguments, settings)
    fitting = [row for row in table if no_evidence_of_loss(row, table[0]["fid"])]
    cheapest = max(fitting, key=lambda row: row["speed"])
    counts = {task: len(pd.read_parquet(arguments.output / "full" / task / ROWS)) for task in TASKS}
    text = (
        f"{arguments.model}, {counts['geneval']} drawings of GenEval-mini and {counts['mjhq']} of "
        f"MJHQ-mini a setting; full is {own.iterations} iterations × {own.diffusion_steps} steps, "
        f"CFG {own.cfg_scale:g}. Margins: GenEval {GENEVAL_MARGIN:g}, FID {FID_MARGIN:.0%} of the "
        f"full one. Cheapest with no evidence of loss: **{cheapest['setting']}**.\n\n"
        f"{markdown(table)}\n\n![Quality against time](pictures/pareto.png)"
    )
    into_docs(text, DOCS / "speed.md")
    plot(table, DOCS / "pictures" / "pareto.png")
    print(text)
    ratios = {row["setting"]: row["speed"] for row in table}
    record.write("pareto", ratios, {"table": table, "own": asdict(own), "samples": counts})


if __name__ == "__main__":
    main()
