"""Progress bars with rate and remaining time; plain lines where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as RichProgress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def printable(text: object) -> str:
    """Text from prompts, models or files without control characters or markup."""
    plain = "".join(c if c.isprintable() else " " for c in str(text))
    return escape(plain)


class Progress:
    """What the runner says while it works: to standard error, so that output can be piped."""

    def __init__(self, prefix: str = "", console: Console | None = None) -> None:
        self.prefix = prefix
        self.console = console or Console(stderr=True)

    def say(self, text: str) -> None:
        self.console.print(f"{printable(self.prefix)}: {printable(text)}", highlight=False)

    @contextmanager
    def bar(self, verb: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar over ``total`` samples; yields the function that moves it forward."""
        if total == 0:
            yield lambda count: None
            return
        if not self.console.is_terminal:
            self.say(f"{verb} {total}")
            yield lambda count: None
            return
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TaskProgressColumn(show_speed=True), TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with RichProgress(*columns, console=self.console, transient=True) as bars:
            task = bars.add_task(f"{printable(self.prefix)} {verb}", total=total, rate="")

            def advance(count: int) -> None:
                bars.advance(task, count)
                speed = bars.tasks[0].finished_speed or bars.tasks[0].speed
                bars.update(task, rate=f"{speed:.1f}/s" if speed else "")

            yield advance
