"""Write a board as Markdown, LaTeX (booktabs) or HTML, or on the terminal. All text is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table as View

from harmon_eval.ranking.tables import Board, Cell, Table
from harmon_eval.store.redact import printable
from harmon_eval.store.tables import cell as escaped
from harmon_eval.store.tables import code

LEGEND = (
    "Measured numbers have a 95 % interval; an incomplete run has no value, only n of N. "
    "Quoted numbers are in italics, with their sources in brackets; a range means that sources "
    "disagree. Bold are the best measured value of a column and all that it does not beat (the "
    "interval of the difference, corrected over the column); a rank is the interval that this "
    "leaves. Quoted numbers come without intervals, so none of them is marked. Intervals are for "
    "prompts like these. ‡ means trained on prompts that follow the benchmark's pattern."
)
RUN_HEAD = ("model", "run", "settings", "weights", "seed")
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "‡": r"$\ddagger$",
}


def _cited(cell: Cell) -> str:
    return f" [{', '.join(map(str, cell.sources))}]" if cell.sources else ""


def markdown(board: Board, command: str) -> str:
    """``command``, here and below: the command line that made it."""
    lines = ["# Leaderboard", "", LEGEND, "", f"Made by {code(command)}."]
    for table in board.tables:
        lines += ["", f"## {escaped(table.title)}", "", *_pipes(table.head, table.rows)]
    if board.sources:
        lines += ["", "## Sources", ""]
        lines += [f"{n}. {escaped(text)}" for n, text in enumerate(board.sources, start=1)]
    if board.runs:
        rows = [tuple(map(Cell, run)) for run in board.runs]
        lines += ["", "## Runs", "", *_pipes(RUN_HEAD, rows)]
    return "\n".join(lines) + "\n"


def _pipes(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    lines = ["| " + " | ".join(map(escaped, head)) + " |", "|" + "---|" * len(head)]
    for row in rows:
        lines.append("| " + " | ".join(map(_markdown_cell, row)) + " |")
    return lines


def _markdown_cell(cell: Cell) -> str:
    text = escaped(cell.text).replace("*", "\\*").replace("_", "\\_")
    text = f"*{text}*" if cell.quoted and text else text
    mark = "**" * cell.best
    return f"{mark}{text}{mark}{_cited(cell)}"


def latex(board: Board, command: str) -> str:
    """LaTeX that needs only the package booktabs."""
    parts = []
    for table in board.tables:
        lines = [
            r"\begin{table}",
            rf"\caption{{{_latex(table.title)}}}",
            r"\begin{tabular}{l" + "r" * (len(table.head) - 1) + "}",
            r"\toprule",
            " & ".join(map(_latex, table.head)) + r" \\",
            r"\midrule",
        ]
        lines += [" & ".join(map(_latex_cell, row)) + r" \\" for row in table.rows]
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]))
    told = [f"[{n}] {text}" for n, text in enumerate(board.sources, start=1)]
    notes = ["% " + " ".join(text.split()) for text in (*told, f"Made by {command}")]
    return "\n\n".join(parts) + "\n" + "".join(f"{note}\n" for note in notes)


def _latex(text: str) -> str:
    return "".join(LATEX.get(c, c if c.isprintable() else " ") for c in text)


def _latex_cell(cell: Cell) -> str:
    text = _latex(cell.text)
    text = rf"\textit{{{text}}}" if cell.quoted and text else text
    return (rf"\textbf{{{text}}}" if cell.best else text) + _latex(_cited(cell))


def page(board: Board, command: str) -> str:
    """One self-contained HTML file."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Leaderboard</title>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        "<style>:root{color-scheme:light dark}body{font:15px system-ui;margin:2rem}"
        "table{border-collapse:collapse;display:block;overflow-x:auto}"
        "th,td{padding:.3rem .6rem;border-bottom:1px solid #8886;text-align:left}</style>",
        f"<h1>Leaderboard</h1><p>{html.escape(LEGEND)}</p>",
    ]
    for table in board.tables:
        parts += [f"<h2>{_html(table.title)}</h2>", _html_table(table.head, table.rows)]
    sources = "".join(f"<li>{_html(text)}</li>" for text in board.sources)
    runs = [tuple(map(Cell, run)) for run in board.runs]
    parts += [f"<h2>Sources</h2><ol>{sources}</ol>"] if sources else []
    parts += ["<h2>Runs</h2>", _html_table(RUN_HEAD, runs)] if runs else []
    parts.append(f"<p>Made by <code>{_html(command)}</code>.</p>")
    return "\n".join(parts) + "\n"


def _html(text: str) -> str:
    return html.escape("".join(c if c.isprintable() else " " for c in text))


def _html_table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    def shown(cell: Cell) -> str:
        text = f"<i>{_html(cell.text)}</i>" if cell.quoted else _html(cell.text)
        return (f"<b>{text}</b>" if cell.best else text) + _html(_cited(cell))

    lines = ["<table><tr>" + "".join(f"<th>{_html(name)}</th>" for name in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{shown(c)}</td>" for c in row) + "</tr>" for row in rows]
    return "\n".join(lines) + "</table>"


def show(board: Board, console: Console, all_metrics: bool = False) -> None:
    """On the terminal: the headlines; with ``all_metrics`` also the tables of details."""
    for table in board.tables:
        if all_metrics or not table.details:
            _show(table, console)
    if not all_metrics and any(table.details for table in board.tables):
        console.print("headlines only: --all-metrics shows the rest, --output writes all")
    for n, text in enumerate(board.sources, start=1):
        console.print(f"\\[{n}] {printable(text)}", soft_wrap=True, highlight=False)
    for line in apart(board.runs):
        console.print(printable(line), soft_wrap=True, highlight=False)
    console.print(LEGEND, soft_wrap=True, highlight=False)


def apart(runs: Sequence[Sequence[str]]) -> list[str]:
    """Of runs of one model, which are told apart by their folders: the settings that not all of
    them have, a run a line. ``runs``: as in ``Board``."""
    lines = []
    for name in dict.fromkeys(_called(run) for run in runs):
        own = [
            (run[0], re.split(r", (?=[a-z]\w* )", run[2])) for run in runs if _called(run) == name
        ]
        shared = set.intersection(*(set(settings) for _, settings in own))
        for label, settings in own if len(own) > 1 else ():
            if found := [setting for setting in settings if setting not in shared]:
                lines.append(f"{label}: {', '.join(found)}")
    return lines


def _called(run: Sequence[str]) -> str:
    return run[0].removesuffix(f" ({run[1]})")


def _show(table: Table, console: Console) -> None:
    view = View(title=printable(table.title), title_justify="left")
    head, rows = table.head, table.rows
    if len(head) > len(rows) + 1:  # more columns than models: a row a metric is easier to read
        turned = list(zip(*rows, strict=True))
        head = ("metric", *(cell.text for cell in turned[0]))
        rows = tuple(
            (Cell(name), *cells) for name, cells in zip(table.head[1:], turned[1:], strict=True)
        )
    for name in head:
        view.add_column(printable(name), overflow="fold")
    for row in rows:
        cells = []
        for cell in row:
            style = " ".join(filter(None, ("bold" * cell.best, "italic" * cell.quoted)))
            text = printable(cell.text)
            text = f"[{style}]{text}[/{style}]" if style and text else text
            cells.append(text + printable(_cited(cell)))
        view.add_row(*cells)
    console.print(view)


TEXTS: dict[str, Callable[[Board, str], str]] = {"md": markdown, "tex": latex, "html": page}
