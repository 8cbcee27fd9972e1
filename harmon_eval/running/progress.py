"""Progress bars with rate and remaining time; plain lines where nobody watches."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from harmon_eval.store.redact import printable

Advance = Callable[[int], None]
LINE_EVERY = 10.0  # seconds


class LastingConsole(Console):
    """A console whose reader may leave, as ``| head`` does: what follows goes nowhere.

    The command goes on, and its exit code says what it found: a closed pipe is no verdict."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if self.stderr else sys.stdout).fileno())
        os.close(nowhere)


def open_console(stderr: bool = False) -> Console:
    """A console; where its output is piped, wide enough for a table. In a notebook it writes plain
    lines, as a pipe does."""
    made = LastingConsole(stderr=stderr, force_jupyter=False)
    if made.is_terminal:
        return made
    return LastingConsole(stderr=stderr, width=120, force_jupyter=False)


class Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


class Progress:
    """What the runner says while it works: to standard error, so that output can be piped."""

    def __init__(self, prefix: str = "", console: Console | None = None) -> None:
        self.prefix = prefix
        self.console = console or open_console(stderr=True)

    def say(self, text: str) -> None:
        self.console.print(
            f"{printable(self.prefix)}: {printable(text)}", highlight=False, soft_wrap=True
        )

    @contextmanager
    def bar(self, verb: str, total: int) -> Iterator[Advance]:
        """A bar over ``total`` samples; yields the function that moves it forward."""
        if total == 0:
            yield lambda count: None
        elif self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                Rate(),
                TimeRemainingColumn(),
            )
            with Bars(*columns, console=self.console) as bars:
                task = bars.add_task(f"{printable(self.prefix)} {verb}", total=total)
                yield lambda count: bars.advance(task, count)
        else:
            yield self._lines(verb, total)

    def _lines(self, verb: str, total: int) -> Advance:
        begun = said = time.monotonic()
        done = 0

        def advance(count: int) -> None:
            nonlocal done, said
            done += count
            now = time.monotonic()
            if done < total and now - said < LINE_EVERY:
                return
            said = now
            rate = done / max(now - begun, 1e-9)
            left = f", {(total - done) / rate:.0f} s left" if done < total else ""
            self.say(f"{verb} {done}/{total}, {rate:.1f}/s{left}")

        self.say(f"{verb} {total}")
        return advance
