"""Present a comparison to people (terminal, Markdown) and to CI (JUnit XML, JSON)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harmon_eval.comparing.changes import Change
from harmon_eval.comparing.verdict import (
    BETTER,
    NOT_COMPARABLE,
    UNDERPOWERED,
    WORSE,
    Comparison,
    Line,
)
from harmon_eval.metrics.text import interval, number
from harmon_eval.store.redact import printable
from harmon_eval.store.tables import cell

HEAD = (
    "task",
    "metric",
    "baseline",
    "candidate",
    "difference",
    "95 % interval",
    "p",
    "detectable",
    "verdict",
)
COLOURS = {WORSE: "red", BETTER: "green", NOT_COMPARABLE: "yellow", UNDERPOWERED: "yellow"}
ENDS = {0: "passed", 1: "worse than the baseline", 2: "cannot decide"}


def signed(value: float) -> str:
    return f"{value:+.4f}"


def probability(p: float) -> str:
    return f"{p:.4f}" if p >= 1e-4 else "<0.0001"


def cells(line: Line) -> list[str]:
    """The line as text, in the order of HEAD."""
    found, shown = line.difference, ["–"] * 6
    if found:
        low, high = found.interval or (None, None)
        shown = [
            number(found.baseline),
            number(found.candidate),
            signed(found.value),
            interval(low, high) or "–",
            f"{probability(line.p or 0.0)} ({found.test})",
            number(line.detectable),
        ]
    verdict = line.verdict + (": " + line.reason if line.reason else "")
    beyond = " beyond the tolerance" if line.fails else ""
    return [line.task, ("*" if line.decides else "") + line.metric, *shown, verdict + beyond]


def show(comparison: Comparison, most: int, console: Console) -> None:
    """Print everything, but at most ``most`` changed samples and how many more there are."""
    view = Table(title="candidate against baseline", title_justify="left")
    for name in HEAD:
        view.add_column(name, overflow="fold")
    for line in comparison.lines:
        shown = [*cells(line)[:-1], line.verdict + (" beyond tolerance" if line.fails else "")]
        view.add_row(*map(printable, shown), style=COLOURS.get(line.verdict, ""))
    console.print(view)
    reasons = [
        f"{line.task} {line.metric}: {line.verdict}: {line.reason}"
        for line in comparison.lines
        if line.reason
    ]
    for text in (*reasons, *comparison.notes, *_samples(comparison.changed, most)):
        console.print(printable(text), soft_wrap=True, highlight=False)
    console.print(escape(f"{ENDS[comparison.code]} (* decides; p is corrected over metrics)"))


def _samples(changed: Sequence[Change], most: int) -> list[str]:
    if not changed:
        return []
    gained = sum(change.gained for change in changed)
    lines = [f"{len(changed)} samples changed: {len(changed) - gained} lost, {gained} gained"]
    for change in changed[:most]:
        sign = "+" if change.gained else "-"
        lines.append(f"{sign} {change.task} {change.id}: {change.prompt}")
        for name in sorted((change.before.keys() | change.after.keys()) - {"response"}):
            lines.append(f"    {name}: {change.before.get(name)} -> {change.after.get(name)}")
        lines.append(f"    {change.before['response']}")
        lines.append(f"    {change.after['response']}")
    if len(changed) > most:
        lines.append(f"... and {len(changed) - most} more: --changed N, or --json for all")
    return lines


def markdown(comparison: Comparison, most: int) -> str:
    """Markdown for a GitHub Actions step summary or a comment."""
    changed = comparison.changed
    lines = [f"### harmon_eval: {ENDS[comparison.code]}", "", _row(HEAD), "|" + "---|" * len(HEAD)]
    lines += [_row(cells(line)) for line in comparison.lines]
    lines += ["", *(f"- {cell(note)}" for note in comparison.notes)]
    if changed:
        lines += [
            "",
            f"{len(changed)} samples changed.",
            "",
            _row(("task", "sample", "prompt", "before", "after")),
            "|---|---|---|---|---|",
        ]
        lines += [
            _row((c.task, c.id, c.prompt, _brief(c.before), _brief(c.after)))
            for c in changed[:most]
        ]
    return "\n".join(lines) + "\n"


def _brief(side: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in side.items())[:500]


def _row(values: Sequence[object]) -> str:
    return "| " + " | ".join(map(cell, values)) + " |"


def junit(comparison: Comparison) -> str:
    """One test case per metric. A loss beyond the tolerance is a failure; a metric that decides
    but cannot be judged is an error."""
    suite = ElementTree.Element("testsuite", name="harmon_eval")
    counts = {"tests": len(comparison.lines), "failures": 0, "errors": 0}
    for line in comparison.lines:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(line.task), name=_xml(line.metric)
        )
        text = _xml(", ".join(f"{k}: {v}" for k, v in zip(HEAD, cells(line), strict=True)))
        if line.fails:
            counts["failures"] += 1
            ElementTree.SubElement(case, "failure", message=text)
        elif line.decides and line.verdict in (NOT_COMPARABLE, UNDERPOWERED):
            counts["errors"] += 1
            ElementTree.SubElement(case, "error", message=text)
        else:
            ElementTree.SubElement(case, "system-out").text = text
    suite.attrib.update({name: str(count) for name, count in counts.items()})
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Replace the characters that XML 1.0 does not allow."""
    return "".join(c if c.isprintable() else " " for c in text)


def as_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "result": ENDS[comparison.code],
        "code": comparison.code,
        "metrics": [line.values for line in comparison.lines],
        "notes": list(comparison.notes),
        "changed": [vars(change) for change in comparison.changed],
    }
