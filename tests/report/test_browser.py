"""The report in a real browser: what is seen, filtered, enlarged and typed."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harmon_eval import cli

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium here: install the system's package, pip has none"
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDTHS = {"wide": (1280, 900, "light"), "phone": (390, 844, "dark")}


@pytest.fixture(scope="module")
def file(runs: Path) -> Path:
    output = runs / "report.html"
    assert (
        cli.main(
            [
                "report",
                str(runs / "first"),
                "--against",
                str(runs / "second"),
                "--output",
                str(output),
            ]
        )
        == 0
    )
    return output


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS)
def view(request: pytest.FixtureRequest, browser: sync_api.Browser, file: Path) -> Iterator:
    """The open page at one width; at its end nothing may have complained or asked the network."""
    width, height, scheme = WIDTHS[request.param]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: complaints.append(r.url) if r.url.startswith("http") else None)
    page.goto(file.as_uri())
    yield page
    page.close()
    assert complaints == []


def cards(view: sync_api.Page) -> int:
    return view.locator(".card:visible").count()


def choose(view: sync_api.Page, verdict: str) -> None:
    view.locator("#state").get_by_text(verdict, exact=True).click()


def test_it_fits_the_screen_and_is_painted_in_the_wanted_scheme(view: sync_api.Page) -> None:
    assert "owned" not in view.title()
    assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shot = np.asarray(Image.open(io.BytesIO(view.screenshot())).convert("L"))
    light = view.evaluate("matchMedia('(prefers-color-scheme: light)').matches")
    assert (np.median(shot) > 200) == light
    assert shot.std() > 5  # something is written on it


def test_filters_show_what_they_say_and_count_it(view: sync_api.Page) -> None:
    assert view.inner_text("#count") == "15 samples on 7 cards"
    choose(view, "✗ wrong")
    assert view.inner_text("#count") == "4 samples on 2 cards"  # the dog, and blue
    choose(view, "? unscored")
    assert view.inner_text("#count") == "1 sample on 1 card"
    choose(view, "⇄ changed")
    assert view.inner_text("#count") == "4 samples on 2 cards"
    choose(view, "↘ worse")
    assert cards(view) == 0 and view.locator("#none").is_visible()
    choose(view, "all")
    view.select_option("#task", "sketch")
    assert cards(view) == 4
    assert view.locator("#tag option").all_inner_texts() == ["all", "black", "blue", "green", "red"]
    view.select_option("#tag", "green")
    assert cards(view) == 1
    view.select_option("#task", "")
    view.select_option("#tag", "")
    view.fill("#find", "DOG in")
    assert view.inner_text("#count") == "1 sample on 1 card"


def test_filters_are_part_of_the_address(view: sync_api.Page) -> None:
    view.select_option("#task", "quiz")
    choose(view, "✗ wrong")
    assert view.url.endswith("#gallery?task=quiz&state=wrong")
    view.reload()
    assert view.inner_text("#count") == "1 sample on 1 card"


def test_images_come_in_near_the_screen_with_boxes_and_words(view: sync_api.Page) -> None:
    picture = view.locator(".shot img").first
    picture.scroll_into_view_if_needed()
    view.wait_for_function(
        "image => image.complete && image.naturalWidth === 32", arg=picture.element_handle()
    )
    assert picture.get_attribute("alt").startswith("Drawing 1 of 3 by A for: a red square: right.")
    assert view.evaluate("[...document.images].every(image => image.alt)")
    frame, box = (view.locator(f".shot {c}").first.bounding_box() for c in (".frame", ".box"))
    assert box["width"] == pytest.approx(frame["width"] / 2, abs=3)  # 16 of 32 pixels
    view.locator("#boxes + span").click()
    assert not view.locator(".box").first.is_visible()


def test_an_image_is_enlarged_and_arrows_go_on(view: sync_api.Page) -> None:
    view.select_option("#task", "sketch")
    view.locator(".shot .frame").first.click()
    large = view.locator("#large")
    assert large.is_visible() and "a red square" in large.inner_text()
    for _ in range(6):  # three drawings of two runs
        view.keyboard.press("ArrowRight")
    assert "a green square" in large.inner_text()
    view.keyboard.press("Escape")
    assert not large.is_visible()


def test_the_keyboard_is_enough(view: sync_api.Page) -> None:
    view.keyboard.press("/")
    assert view.evaluate("document.activeElement.id") == "find"
    view.keyboard.type("square")
    view.keyboard.press("Tab")  # leaves the field
    view.keyboard.press("j")
    view.keyboard.press("j")
    assert (
        view.evaluate("document.activeElement.querySelector('h3').textContent") == "a green square"
    )
    view.keyboard.press("Enter")
    assert view.locator("#large").is_visible()
    view.keyboard.press("Escape")
    view.keyboard.press("b")
    assert view.evaluate("document.body.classList.contains('no-boxes')")
