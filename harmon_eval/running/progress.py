"""What a command says while it works: bars on a terminal, plain lines where nobody watches."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, RenderableType
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

from harmon_eval.running.overall import Overall
from harmon_eval.store.redact import plain, printable

Advance = Callable[[int], None]
LINE_EVERY = 10.0  # seconds
WIDTH = 120  # of a table where there is no terminal and COLUMNS says nothing
QUIET, NORMAL, VERBOSE = logging.WARNING, logging.INFO, logging.DEBUG
# What is said here, printed by this module; and warnings of all other modules.
LOG, OTHERS = logging.getLogger("harmon_eval.said"), logging.getLogger("harmon_eval")
LOG.addHandler(logging.NullHandler())
LOG.propagate = False


@dataclass
class _Voice:
    """A process speaks to one terminal, so there is one."""

    level: int = NORMAL


_voice = _Voice()


@contextmanager
def speaking(level: int = NORMAL, log: Path | None = None) -> Iterator[None]:
    """Within it, what is below ``level`` is not printed; the file ``log`` gets every line with its
    time, whatever is printed. Raises OSError for a file that cannot be written."""
    before, _voice.level = _voice.level, level
    added: list[tuple[logging.Logger, logging.Handler]] = []
    if log is not None:
        file = logging.FileHandler(log, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        added = [(LOG, file), (OTHERS, file)]
        if logging.lastResort is not None:  # which prints warnings only of loggers without handlers
            added.append((OTHERS, logging.lastResort))
        LOG.setLevel(VERBOSE)
    for logger, handler in added:
        logger.addHandler(handler)
    try:
        yield
    finally:
        _voice.level = before
        for logger, handler in added:
            logger.removeHandler(handler)
            handler.close()


def hints() -> bool:
    """Whether to print what helps but is no result, such as where to look next."""
    return _voice.level < QUIET


class LastingConsole(Console):
    """A console whose reader may leave, as ``| head`` does: what follows goes nowhere.

    The command goes on, and its exit code says what it found: a closed pipe is no verdict."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if self.stderr else sys.stdout).fileno())
        os.close(nowhere)


def open_console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, also where its output is piped into a pager. In a notebook
    it writes plain lines, as a pipe does. A task such as ``fidelity:one:`` is no emoji."""
    made = LastingConsole(stderr=stderr, force_jupyter=False, emoji=False)
    if watched(made):
        return made
    return LastingConsole(stderr=stderr, width=width(), height=25, force_jupyter=False, emoji=False)


def watched(console: Console) -> bool:
    """Whether it is a terminal whose lines can be drawn over. FORCE_COLOR, which notebooks and CI
    set, asks for colours only: there is nobody to look at bars."""
    if isinstance(console, LastingConsole) and not console.file.isatty():
        return False
    return console.is_terminal and not console.is_dumb_terminal


def width() -> int:
    """COLUMNS; else those of the terminal that a pipe was started from; else ``WIDTH``."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    for stream in (2, 1, 0):
        try:
            found = os.get_terminal_size(stream).columns
        except OSError:
            continue
        if found > 0:
            return found
    return WIDTH


class Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


class BarsBelow(Bars):
    """Bars with a line above them that says how far the whole run is."""

    def __init__(self, *columns: ProgressColumn, console: Console, overall: Overall | None) -> None:
        self.overall = overall
        super().__init__(*columns, console=console, transient=overall is not None)

    def get_renderables(self) -> Iterable[RenderableType]:
        if self.overall is not None:
            yield Text(str(self.overall), style="bold")
        yield self.make_tasks_table(self.tasks)


class Progress:
    """What the runner says while it works: to standard error, so that output can be piped.

    ``overall``: how far the run is of which this is a task."""

    def __init__(
        self, prefix: str = "", console: Console | None = None, overall: Overall | None = None
    ) -> None:
        self.prefix, self.overall = prefix, overall
        self.console = console or open_console(stderr=True)
        self.live = watched(self.console)
        self._warned: set[str] = set()

    def say(self, text: str, level: int = NORMAL) -> None:
        LOG.log(level, "%s: %s", plain(self.prefix), plain(text))
        if level >= _voice.level:
            said = f"{printable(self.prefix)}: {printable(text)}"
            # On a terminal between words; elsewhere a message is a line.
            self.console.print(said, highlight=False, soft_wrap=not self.live)

    def warn(self, text: str) -> None:
        """What is said to those too who want to hear little."""
        self.say(text, QUIET)

    def warn_once(self, texts: Iterable[str]) -> None:
        """As ``warn``, but each text only the first time: several workers may say the same."""
        for text in dict.fromkeys(texts):
            if text not in self._warned:
                self.warn(text)
        self._warned.update(texts)

    def detail(self, text: str) -> None:
        """What only those hear who ask for more."""
        self.say(text, VERBOSE)

    @contextmanager
    def bar(self, verb: str, total: int, later: int = 0) -> Iterator[Advance]:
        """A bar over ``total`` samples; yields the function that moves it forward. ``later``: how
        many more of the task get a bar of their own."""
        if self.overall is not None:
            self.overall.expect(verb, total + later)
        if total == 0:
            yield lambda count: None
        elif self.live and hints():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=None if self.console.width < 80 else 40),
                MofNCompleteColumn(),
                Rate(),
                TimeRemainingColumn(),
            )
            with BarsBelow(*columns, console=self.console, overall=self.overall) as bars:
                room = self.console.width // 3
                name = self.prefix if len(self.prefix) <= room else self.prefix[: room - 1] + "…"
                task = bars.add_task(f"{printable(name)} {verb}", total=total)
                yield self._counted(verb, lambda count: bars.advance(task, count))
            LOG.info("%s: %s %d/%d", plain(self.prefix), verb, total, total)
        else:
            yield self._counted(verb, self._lines(verb, total))

    def _counted(self, verb: str, advance: Advance) -> Advance:
        """The same, noted for the whole run as well."""
        overall, last = self.overall, time.monotonic()
        if overall is None:
            return advance

        def counted(count: int) -> None:
            nonlocal last
            now = time.monotonic()
            overall.note(verb, count, now - last)
            last = now
            advance(count)

        return counted

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
            whole = f" ({self.overall})" if self.overall is not None and left else ""
            self.say(f"{verb} {done:,}/{total:,}, {rate:.1f}/s{left}{whole}")

        if self.overall is None:
            self.say(f"{verb} {total:,}")
        return advance
