"""Measure how quickly a report opens, filters and scrolls in headless Chromium, at two widths.

    python -m harmon_eval --model scripted --tasks geneval,mjhq --output runs/large
    python -m harmon_eval report runs/large
    python -m benchmarks.report_page runs/large/report.html

Times are wall time in milliseconds: the script's own, and until the next frame is painted.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks import parsing

WIDTHS = {"1280 x 900": (1280, 900), "390 x 844": (390, 844)}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FILTER = """async ([selector, field, value]) => {
  const element = document.querySelector(selector), start = performance.now();
  element[field] = value;
  element.dispatchEvent(new Event("input", {bubbles: true}));
  const script = performance.now() - start;
  await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
  return `${Math.round(script)} (${Math.round(performance.now() - start)})`;
}"""
SCROLL = """async steps => {
  const times = [];
  let last = performance.now(), y = document.getElementById("gallery").offsetTop;
  for (let i = 0; i < steps; i++) {
    scrollTo(0, y += 300);
    await new Promise(done => requestAnimationFrame(done));
    times.push(performance.now() - last);
    last = performance.now();
  }
  times.sort((a, b) => a - b);
  const seen = document.querySelectorAll("img[src]").length;
  return [Math.round(times[steps >> 1]), Math.round(times.at(-1)), seen, document.images.length];
}"""
FILTERS = {
    "verdict": ("input[name=state][value=wrong]", "checked", True),
    "verdict, all": ("input[name=state][value='']", "checked", True),
    "first search": ("#find", "value", "red"),
    "next letter": ("#find", "value", "red c"),
    "search cleared": ("#find", "value", ""),
    "task": ("#task", "selectedIndex", 1),
}


def measure(page: Any, file: Path) -> dict[str, object]:
    """``page``: an empty playwright page."""
    page.goto(file.resolve().as_uri(), timeout=120_000)
    loaded = page.evaluate("Math.round(performance.getEntriesByType('navigation')[0].loadEventEnd)")
    found: dict[str, object] = {"loaded": loaded}
    for name, change in FILTERS.items():
        found[name] = page.evaluate(FILTER, change)
    page.evaluate(FILTER, ("#task", "selectedIndex", 0))
    median, longest, seen, images = page.evaluate(SCROLL, 120)
    return {
        **found,
        "scroll, median": median,
        "scroll, longest": longest,
        "images decoded": f"{seen} of {images}",
    }


def main() -> None:
    parser = parsing.Parser("report_page", __doc__)
    parser.add_argument("report", type=Path)
    file = parser.parse_args().report
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        columns = []
        for width, height in WIDTHS.values():
            page = browser.new_page(viewport={"width": width, "height": height})
            columns.append(measure(page, file))
            page.close()
        browser.close()
    print(f"{file.stat().st_size / 1e6:.1f} MB")
    print("| | " + " | ".join(WIDTHS) + " |\n" + "|---" * (len(WIDTHS) + 1) + "|")
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(str(column[name]) for column in columns) + " |")


if __name__ == "__main__":
    main()
