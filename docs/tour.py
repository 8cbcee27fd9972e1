"""Run docs/tour.ipynb and store what it gives, so that it can be read where nothing runs.

    make tour

Forges show neither the styles nor the scripts of an output, so one with pictures is stored as one
picture, taken in Chromium. It takes a minute or two and needs the extras docs and test.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
TOUR = ROOT / "docs" / "tour.ipynb"
WIDTH = 760  # of an output on a page, px
COLOURS = 160
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def digest_of(notebook: Any) -> str:
    """Of the code that the stored outputs belong to."""
    code = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()


def executed(folder: Path) -> Any:
    """The notebook with its outputs, run in ``folder``."""
    notebook = nbformat.read(TOUR, as_version=4)
    own = {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    os.environ |= own
    client = NotebookClient(notebook, timeout=900, kernel_name="python3", record_timing=False)
    client.execute(cwd=str(folder))
    return notebook


def outputs(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def pictured(html: str, page: Page) -> str:
    """What a browser shows of an output, as a PNG in base64."""
    page.set_content(f"<body style='margin:0;background:#fff'><div id='out'>{html}</div>")
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    shot = page.locator("#out").screenshot()
    small, stored = Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS), io.BytesIO()
    small.save(stored, "PNG", optimize=True)
    return base64.b64encode(stored.getvalue()).decode()


def neutral(text: str, folder: Path) -> str:
    """Without the places of this machine."""
    return re.sub(rf"{re.escape(str(folder))}/tmp\w+", "/tmp/tour", text)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        names = ("chromium", "chromium-browser", "google-chrome")
        chromium = next(filter(None, map(shutil.which, names)), None)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        folder = Path(name)
        notebook = executed(folder)
        page = browser.new_page(viewport={"width": WIDTH, "height": 600}, color_scheme="light")
        for output in outputs(notebook):
            data = output.get("data", {})
            if "data:image" in data.get("text/html", ""):
                output["data"] = {"image/png": pictured(data["text/html"], page)}
            for kept in (output, output.get("data", {})):
                for key in ("text", "text/plain", "text/html"):
                    if key in kept:
                        kept[key] = neutral(kept[key], folder)
        browser.close()
    notebook.metadata["outputs_of"] = digest_of(notebook)
    nbformat.write(notebook, TOUR)


if __name__ == "__main__":
    main()
