"""Present a comparison to people (terminal, Markdown) and to CI (JUnit XML, JSON)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harmon_eval.comparing.changes import Changes
from harmon_eval.comparing.verdict import BETTER, NO_WORSE, UNJUDGED, WORSE, Comparison, Line
from harmon_eval.metrics.text import counted, interval, number, signed
from harmon_eval.store.redact import printable
from harmon_eval.store.tables import cell, code

HEAD = (
    "task",
    "metric",
    "baseline",
    "candidate",
    "difference",
    "interval",
    "p",
    "detectable",
    "verdict",
)
COLOURS = {WORSE: "red", BETTER: "green", NO_WORSE: "green"} | dict.fromkeys(UNJUDGED, "yellow")
USAGE = "error"  # the result of a comparison that could not be made
FOOTNOTE = (
    "* decides; interval: from the one-sided 95 % bound below to the one above, and p: of being "
    "worse; both corrected where more than one metric is tested"
)
PROOF_FOOTNOTE = (
    "* decides; interval: from the one-sided 95 % bound below to the one above; p: of a result "
    "this good if the true loss were the margin (without *: of any difference)"
)
NARROW = 100  # columns below which a table of nine columns cuts its figures
LONG = 40  # characters of a structure, such as detected boxes, that nobody reads in a terminal
STRUCTURES = ("{{", "[[", "{[", "[{")
SHOWN = 8  # metrics named in one line
TITLE = "candidate against baseline"
IMPOSSIBLE = "detectable –: no loss that is possible would be seen with so few samples"


def probability(p: float) -> str:
    return f"{p:.4f}" if p >= 1e-4 else "<0.0001"


def cells(line: Line) -> list[str]:
    """The line as text, in the order of HEAD."""
    found, shown = line.difference, ["–"] * 6
    if found:
        low, high = line.interval or (None, None)
        p = line.p if line.p_no_worse is None else line.p_no_worse
        shown = [
            number(found.baseline, found.candidate),
            number(found.candidate, found.baseline),
            signed(found.value, low, high),
            (interval(low, high, found.value) or "–") + " census" * found.census,
            f"{probability(p or 0.0)} ({found.test})",
            number(line.detectable),
        ]
    verdict = line.verdict + (": " + line.reason if line.reason else "")
    return [line.task, ("*" if line.decides else "") + line.metric, *shown, verdict + beyond(line)]


def beyond(line: Line) -> str:
    """The margin that a verdict is about."""
    if line.verdict == NO_WORSE:
        return f" (than {line.margin:g})"
    return f" by more than {line.margin:g}" if line.fails and line.margin else ""


def show(comparison: Comparison, most: int, console: Console, all_metrics: bool = False) -> None:
    """Print what decides, or everything, and at most ``most`` changed samples."""
    shown = [line for line in comparison.lines if line.decides or all_metrics]
    rows = [[*cells(line)[:-1], line.verdict + beyond(line)] for line in shown]
    styles = [COLOURS.get(line.verdict, "") for line in shown]
    if console.width < NARROW:
        console.print(TITLE)
        for row, style in zip(rows, styles, strict=True):
            for text in _below_each_other(row):
                console.print(printable(text), style=style, highlight=False)
    else:
        view = Table(title=TITLE, title_justify="left")
        for name in HEAD:
            view.add_column(name, overflow="fold")
        for row, style in zip(rows, styles, strict=True):
            view.add_row(*map(printable, row), style=style)
        console.print(view)
    reasons = [
        f"{line.task} {line.metric}: {line.verdict}: {line.reason}" for line in shown if line.reason
    ]
    rest = [line for line in comparison.lines if not (line.decides or all_metrics)]
    for text in (
        *reasons,
        *_in_short(rest),
        *comparison.notes,
        *_samples(comparison.changed, most),
    ):
        _line(printable(text), console)
    if any(line.interval and line.detectable is None for line in shown):
        _line(IMPOSSIBLE, console)
    note = PROOF_FOOTNOTE if comparison.proof else FOOTNOTE
    _line(escape(f"{comparison.result} ({note})"), console)


def _line(text: str, console: Console) -> None:
    """Broken between words on a terminal, one line in a pipe."""
    console.print(text, soft_wrap=not console.is_terminal, highlight=False)


def _in_short(details: Sequence[Line]) -> list[str]:
    """How many metrics are not shown, and which of them differ."""
    if not details:
        return []
    told = [f"not shown, as they do not decide: {counted(len(details), 'metric')} (--all-metrics)"]
    for verdict in (WORSE, BETTER):
        names = [f"{line.task} {line.metric}" for line in details if line.verdict == verdict]
        if names:
            more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
            told.append(f"  {verdict}: {', '.join(names[:SHOWN])}{more}")
    return told


def _below_each_other(row: Sequence[str]) -> list[str]:
    """A row for a terminal in which the table would cut its figures."""
    task, metric, baseline, candidate, difference, span, p, detectable, verdict = row
    lines = [f"{task} {metric}: {verdict}"]
    if baseline != "–" or candidate != "–":
        lines.append(f"  {baseline} -> {candidate}, {difference} {span}")
        lines.append(f"  p {p}, detectable {detectable}")
    return lines


def _samples(changed: Changes, most: int) -> list[str]:
    if not changed:
        return []
    lost = changed.lost
    lines = [
        f"{counted(len(changed), 'sample')} changed: {lost} lost, {len(changed) - lost} gained"
    ]
    left_out: set[str] = set()
    for change in changed[:most]:
        sign = "+" if change.gained else "-"
        lines.append(f"{sign} {change.task} {change.id}: {change.prompt}")
        for name in sorted((change.before.keys() | change.after.keys()) - {"response"}):
            before, after = str(change.before.get(name)), str(change.after.get(name))
            if max(len(before), len(after)) > LONG and before[:1] + after[:1] in STRUCTURES:
                left_out.add(name)
            else:
                lines.append(f"    {name}: {before} -> {after}")
        lines.append(f"    {change.before['response']}")
        lines.append(f"    {change.after['response']}")
    if left_out:
        lines.append(f"not shown, as they are long: {', '.join(sorted(left_out))} (--json FILE)")
    if len(changed) > most:
        lines.append(f"... and {len(changed) - most} more: --changed N, or --json for all")
    return lines


def markdown(comparison: Comparison, most: int, command: str) -> str:
    """Markdown for a GitHub Actions step summary or a comment. ``command``: what made it."""
    changed = comparison.changed
    lines = [f"### harmon_eval: {comparison.result}", "", _row(HEAD), "|" + "---|" * len(HEAD)]
    lines += [_row(cells(line)) for line in comparison.lines]
    lines += ["", *(f"- {cell(note)}" for note in comparison.notes)]
    if changed:
        lines += [
            "",
            f"{counted(len(changed), 'sample')} changed.",
            "",
            _row(("task", "sample", "prompt", "before", "after")),
            "|---|---|---|---|---|",
        ]
        lines += [
            _row((c.task, c.id, c.prompt, _brief(c.before), _brief(c.after)))
            for c in changed[:most]
        ]
    lines += ["", f"Made by {code(command)}."]
    return "\n".join(lines) + "\n"


def _brief(side: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in side.items())[:500]


def _row(values: Sequence[object]) -> str:
    return "| " + " | ".join(map(cell, values)) + " |"


def junit(comparison: Comparison, command: str) -> str:
    """One test case per metric, with the gate's three outcomes: one that decides and is worse is
    a failure, one that decides and cannot be judged is an error, all others passed. The verdict is
    the failure's or error's type. ``command``, which made it, is a property."""
    suite = _suite(command)
    counts = {"tests": len(comparison.lines), "failures": 0, "errors": 0}
    for line in comparison.lines:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(line.task), name=_xml(line.metric)
        )
        text = _xml(", ".join(f"{k}: {v}" for k, v in zip(HEAD, cells(line), strict=True)))
        if line.fails:
            counts["failures"] += 1
            ElementTree.SubElement(case, "failure", type=line.verdict, message=text)
        elif line.decides and line.verdict in UNJUDGED:
            counts["errors"] += 1
            ElementTree.SubElement(case, "error", type=line.verdict, message=text)
        else:
            ElementTree.SubElement(case, "system-out").text = text
    return _whole(suite, counts)


def junit_of_error(reason: str, command: str) -> str:
    """For a comparison that could not be made."""
    suite = _suite(command)
    case = ElementTree.SubElement(suite, "testcase", classname="harmon_eval", name="compare")
    ElementTree.SubElement(case, "error", type=USAGE, message=_xml(reason))
    return _whole(suite, {"tests": 1, "failures": 0, "errors": 1})


def _suite(command: str) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name="harmon_eval")
    properties = ElementTree.SubElement(suite, "properties")
    ElementTree.SubElement(properties, "property", name="command", value=_xml(command))
    return suite


def _whole(suite: ElementTree.Element, counts: dict[str, int]) -> str:
    suite.attrib.update({name: str(count) for name, count in counts.items()})
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Replace the characters that XML 1.0 does not allow."""
    return "".join(c if c.isprintable() else " " for c in text)


def as_json(comparison: Comparison, command: Mapping[str, Any]) -> dict[str, Any]:
    """``command``: the command line that made it, and all its options."""
    return {
        "command": dict(command),
        "result": comparison.result,
        "code": comparison.code,
        "metrics": [line.values for line in comparison.lines],
        "notes": list(comparison.notes),
        "changed": [vars(change) for change in comparison.changed],
    }


def json_of_error(reason: str, command: Mapping[str, Any]) -> dict[str, Any]:
    """For a comparison that could not be made."""
    lists: dict[str, Any] = {"metrics": [], "notes": [], "changed": []}
    return {"command": dict(command), "result": USAGE, "code": 2, "reason": reason, **lists}
