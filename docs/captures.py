"""Make the pictures of terminals and of the report that the documentation shows, in docs/pictures.

    python docs/captures.py

The commands run on the bundled model, in terminals of 60, 80 and 120 columns (a pty, with pyte as
the screen); the report opens in Chromium. It takes some minutes and needs the extras docs and test.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import pyte
from PIL import Image
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
TASKS = "pope,gqa,geneval"
ROWS = 60
COLOURS = 96  # of a screenshot
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def screens(command: list[str], columns: int, folder: Path) -> Iterator[pyte.Screen]:
    """The screen of a terminal of so many columns, again and again until the command ends."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "harmon_eval", *command],
        cwd=folder,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    screen = pyte.Screen(columns, ROWS)
    stream = pyte.ByteStream(screen)
    while True:
        try:
            received = os.read(master, 65536)
        except OSError:  # Linux says so where the other end is closed
            break
        if not received:
            break
        stream.feed(received)
        yield screen
    os.close(master)
    if process.wait() not in (0, 1):
        raise SystemExit(f"{' '.join(command)} failed")


def text_of(screen: pyte.Screen, command: list[str]) -> Text:
    """What stands on the screen, below the command that was typed."""
    told = Text(f"$ harmon-eval {' '.join(command)}\n", style="dim", no_wrap=True)
    lines = []
    for row in range(screen.lines):
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        line = Text(no_wrap=True)
        for style, run in groupby(cells, style_of):
            line.append("".join(cell.data for cell in run), style=style)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return Text("\n").join([told, *lines])


def style_of(cell: pyte.screens.Char) -> str:
    named = {"default": "", "brown": "yellow"}
    colour = named.get(cell.fg, cell.fg if cell.fg.isalpha() else f"#{cell.fg}")
    return f"{'bold ' * cell.bold}{colour}".strip() or "none"


def save(name: str, text: Text, columns: int) -> None:
    """An SVG that needs no font from elsewhere."""
    console = Console(record=True, width=columns, file=io.StringIO(), color_system="truecolor")
    console.print(text, soft_wrap=False)
    svg = console.export_svg(title=f"{columns} columns")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    (PICTURES / name).write_text(svg)


def terminals(folder: Path) -> None:
    for columns in (60, 80, 120):
        command = ["--tasks", TASKS, "--limit", "5", "--batch-size", "5"]
        command += ["--output", f"run{columns}"]
        half_way, screen = None, None
        for screen in screens(command, columns, folder):
            lines = screen.display
            if any(re.match(r"geneval drawing .* 10/20", line) for line in lines):
                half_way = text_of(screen, command)
        assert screen is not None and half_way is not None
        save(f"terminal-{columns}.svg", text_of(screen, command), columns)
        if columns == 80:
            save("terminal-running.svg", half_way, columns)


def report(folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    other = ["--model", "harmon-mini?steps=3", "--tasks", TASKS, "--limit", "5"]
    for command in ([*other, "--output", "other"], ["report", "run80", "--against", "other"]):
        for _ in screens(command, 80, folder):
            pass
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
        page.goto((folder / "run80" / "report.html").as_uri())

        def shoot(name: str, prepare: Callable[[], object]) -> None:
            prepare()
            page.wait_for_timeout(500)
            image = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS)
            image.save(PICTURES / name, optimize=True)

        def gallery() -> None:
            page.select_option("#task", "geneval")
            page.select_option("#sort", "changed")
            page.evaluate("document.getElementById('filters').scrollIntoView()")

        def slider() -> None:
            page.locator(".item .frame").first.click()
            page.get_by_role("button", name="slider").click()

        shoot("report.png", gallery)
        shoot("report-slider.png", slider)
        browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        terminals(Path(name))
        report(Path(name))


if __name__ == "__main__":
    main()
