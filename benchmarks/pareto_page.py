"""The tables and the plot for docs/speed.md, from the results of ``benchmarks.pareto``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.paired import FID_MARGIN, FULL, GENEVAL_MARGIN, verdict
from harmon_eval.model.sampling import DrawSettings

Tables = Mapping[str, Sequence[Mapping[str, Any]]]


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| setting | speed | s per image | GenEval-mini | change | FID-mini "
        "| change | with these margins |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        geneval, fid = row["geneval_interval"], row["fid_interval"]
        lines.append(
            f"| {row['setting']} | {row['speed']:.2f}× | {row['seconds']:.3f} "
            f"| {row['geneval']:.3f} | {row['geneval_change']:+.3f} "
            f"[{geneval[0]:+.3f}, {geneval[1]:+.3f}] | {row['fid']:.2f} "
            f"| {row['fid_change']:+.2f} [{fid[0]:+.2f}, {fid[1]:+.2f}] | {verdict(row)} |"
        )
    return "\n".join(lines)


def page(model: str, own: DrawSettings, tables: Tables, fast: str) -> str:
    """The text for docs/speed.md: the tables of the stages, last stage first."""
    found = "No setting is shown to be no worse by both."
    if fast != FULL:
        found = f"The fastest setting that is shown to be no worse by both: **{fast}**."
    parts = [
        f"{model}; full is {own.iterations} iterations × {own.diffusion_steps} steps, CFG "
        f"{own.cfg_scale:g}. Margins: GenEval {GENEVAL_MARGIN:g}, FID {FID_MARGIN:.0%} of the full "
        f"one. {found}"
    ]
    for stage, table in reversed(list(tables.items())):
        counts = table[0]["drawings"]
        parts += [
            f"{stage.capitalize()}, {counts['geneval']} images of GenEval-mini and "
            f"{counts['mjhq']} of MJHQ-mini per setting:",
            markdown(table),
        ]
    return "\n\n".join(parts)


def plot(tables: Tables, path: Path) -> None:
    """Plot change against speed: dots for screened settings, with intervals and names for confirmed
    ones."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(13, 6), layout="constrained")
    looks = {"screened": "silver", "confirmed": "tab:blue"}
    margins = {"geneval": -GENEVAL_MARGIN, "fid": FID_MARGIN * tables["confirmed"][0]["full_fid"]}
    for axis, (metric, margin) in zip(axes, margins.items(), strict=True):
        for stage, colour in looks.items():
            rows = [row for row in tables[stage] if row["setting"] != FULL]
            speeds = [row["speed"] for row in rows]
            changes = [row[f"{metric}_change"] for row in rows]
            axis.plot(speeds, changes, "o", color=colour, markersize=4, label=stage)
        for row in tables["confirmed"][1:]:
            speed, (low, high) = row["speed"], row[f"{metric}_interval"]
            axis.vlines(speed, low, high, color=looks["confirmed"])
            axis.annotate(short(row["setting"]), (speed, high), fontsize=7, rotation=75)
        ends = (end for row in tables["confirmed"] for end in row[f"{metric}_interval"])
        far = 1.6 * max(abs(end) for end in (margin, *ends))
        axis.set_ylim(-far, far)
        axis.axhline(margin, color="tab:red", linestyle="--", linewidth=1, label="margin")
        axis.axhline(0, color="black", linewidth=0.5)
        axis.set_xlabel("speed, times that of the full setting")
    axes[0].set_ylabel("change of GenEval-mini (more is better)")
    axes[1].set_ylabel("change of FID-mini (less is better)")
    axes[0].legend(loc="lower left")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def short(setting: str) -> str:
    letters = {"iterations": "it.", " steps": "", "dpm-solver++": "dpm++", ",": ""}
    for word, few in letters.items():
        setting = setting.replace(word, few)
    return setting


def into_docs(text: str, path: Path, section: str = "pareto") -> None:
    """Replace the text between the two marks of a section in the document."""
    begin, end = f"<!-- {section} -->\n", f"<!-- /{section} -->"
    document = path.read_text()
    before, _, rest = document.partition(begin)
    path.write_text(f"{before}{begin}\n{text}\n\n{end}{rest.partition(end)[2]}")
