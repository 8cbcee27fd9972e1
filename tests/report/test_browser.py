"""The report in a real browser: what is seen, filtered, enlarged and typed."""

from __future__ import annotations

import csv
import io
import re
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
WIDTHS = {
    "wide": (1280, 900, "light"),
    "tablet": (900, 1100, "light"),
    "phone": (390, 844, "dark"),
}


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
def three(runs: Path) -> Path:
    """The same run against two others."""
    output = runs / "three.html"
    shutil.copytree(runs / "second", runs / "third")
    others = [x for name in ("second", "third") for x in ("--against", str(runs / name))]
    assert cli.main(["report", str(runs / "first"), *others, "--output", str(output)]) == 0
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


def test_nothing_is_clipped_and_every_button_can_be_read(view: sync_api.Page) -> None:
    wide = view.evaluate("innerWidth")
    view.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    for control in view.locator("button:visible, select:visible, .chip:visible").all():
        place = control.bounding_box()
        assert place and place["x"] >= 0 and place["x"] + place["width"] <= wide
        if not control.evaluate("each => each.matches('.frame, select')"):
            assert control.evaluate("each => each.scrollWidth <= each.clientWidth + 1")
    assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("size", WIDTHS.values(), ids=WIDTHS)
def test_three_runs_fit_as_well(
    browser: sync_api.Browser, three: Path, size: tuple[int, int, str]
) -> None:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(three.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    headlines = page.get_by_role("region", name="Headlines")
    assert headlines.evaluate("each => each.scrollWidth <= each.clientWidth"), "none is cut"
    for told in ("0.750", "A − C"):
        assert told in headlines.inner_text() or size[0] < 640
    for place in [each.bounding_box() for each in page.locator(".scores td:visible").all()]:
        assert place and place["x"] >= 0 and place["x"] + place["width"] <= size[0]
    page.locator(".shot .frame").first.click()
    for name in ("side by side", "slider"):
        page.get_by_role("button", name=name).click()
        box = page.locator("#large").bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= size[0]
        assert page.evaluate("(each => each.scrollWidth <= each.clientWidth)(large)")
    assert page.locator("#partner option").all_inner_texts() == ["B", "C"]
    page.close()


def test_axe_finds_nothing(view: sync_api.Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="not installed")
    view.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    for action in (None, lambda: view.locator(".shot .frame").first.click()):
        if action:
            action()
        found = axe.Axe().run(view)
        assert not found.violations_count, found.generate_report()


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
    close = view.get_by_role("button", name="Close").bounding_box()
    assert close and close["y"] + close["height"] <= view.viewport_size["height"], "in sight"
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


def order(view: sync_api.Page) -> list[str]:
    return view.locator(".card h3").all_text_contents()


def test_cards_are_sorted_and_the_order_is_part_of_the_address(view: sync_api.Page) -> None:
    asked = order(view)
    view.select_option("#sort", "wrong")
    assert order(view)[:2] == ["Is there a dog in the image?", "a blue square"]
    assert view.locator(".card .item").first.get_attribute("data-state") == "wrong"
    view.select_option("#sort", "changed")
    assert order(view)[0] == "a green square", "wrong in all three drawings of the other run"
    assert view.url.endswith("#gallery?sort=changed")
    view.reload()
    assert order(view)[0] == "a green square"
    view.select_option("#sort", "unsure")
    assert order(view)[-1] == asked[-1] or len(asked) == len(order(view))
    view.select_option("#sort", "")
    assert order(view) == asked


def test_a_link_opens_at_its_card_whatever_the_filters(view: sync_api.Page) -> None:
    card = view.locator(".card", has_text="a blue square")
    name = card.get_attribute("data-card")
    card.locator(".link").click()
    assert view.url.endswith(f"#gallery?card={name}")
    address = view.url.replace("?card", "?task=quiz&state=unscored&card")
    view.goto("about:blank")
    view.goto(address)
    marked = view.locator(".card.pinned")
    marked.wait_for()
    assert "a blue square" in marked.inner_text() and cards(view) == 2
    assert view.inner_text("#count") == "1 sample on 1 card", "the card of the link is beside them"
    view.wait_for_function("name => document.activeElement.dataset.card === name", arg=name)
    top = marked.bounding_box()
    assert top and 0 <= top["y"] < view.viewport_size["height"]
    choose(view, "all")
    assert view.locator(".card.pinned").count() == 0 and "card=" not in view.url


def test_prompts_are_copied_and_what_is_filtered_is_a_table(view: sync_api.Page) -> None:
    view.evaluate("navigator.clipboard.writeText = async text => { window.copied = text; }")
    card = view.locator(".card", has_text="a green square")
    card.locator(".copy").click()
    assert view.evaluate("window.copied") == "a green square"
    view.keyboard.press("j")
    view.keyboard.press("c")
    assert view.evaluate("window.copied") == view.evaluate(
        "document.activeElement.closest('.card').querySelector('h3').textContent"
    )
    choose(view, "✗ wrong")
    with view.expect_download() as download:
        view.click("#csv")
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4 * 2, "four samples of two runs"
    assert {row["run"] for row in rows} == {"A", "B"} and rows[0]["reply"] == "No."
    assert next(r["reason"] for r in rows if r["sample"] == "blue/0").startswith("expected blue")
    assert {row["verdict"] for row in rows if row["run"] == "A"} == {"wrong"}
    assert {row["grade"] for row in rows if row["run"] == "A"} == {"0.0000"}


def test_two_runs_are_compared_side_by_side_and_with_a_slider(view: sync_api.Page) -> None:
    view.select_option("#task", "sketch")
    view.locator(".card", has_text="a green square").locator(".frame").first.click()
    view.get_by_role("button", name="side by side").click()
    assert view.locator(".stage figcaption").all_inner_texts() == ["A", "B"]
    view.get_by_role("button", name="slider").click()
    bar = view.locator(".slider input")
    bar.focus()
    before = view.locator(".slider .top").evaluate("each => each.style.clipPath")
    view.keyboard.press("ArrowRight")
    after = view.locator(".slider .top").evaluate("each => each.style.clipPath")
    assert before == "inset(0px 50% 0px 0px)" and after == "inset(0px 49% 0px 0px)"
    assert view.locator("#size").inner_text() == "32 × 32 pixels"
    box = view.locator("#large").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= view.viewport_size["width"]


def test_the_theme_is_chosen_and_kept(view: sync_api.Page) -> None:
    def paper() -> str:
        return str(view.evaluate("getComputedStyle(document.body).backgroundColor"))

    view.click("#theme")
    light = paper()
    view.click("#theme")
    assert view.inner_text("#theme") == "Theme: dark" and paper() != light
    view.reload()
    assert view.inner_text("#theme") == "Theme: dark" and paper() != light
    view.click("#theme")
    assert view.inner_text("#theme") == "Theme: system"


def test_cards_come_onto_the_page_as_they_are_needed(
    browser: sync_api.Browser, runs: Path, tmp_path: Path
) -> None:
    """Ten thousand samples: a few dozen are on the page, and a link finds the last one."""
    output = tmp_path / "many.html"
    assert cli.main(["report", str(runs / "first"), "--output", str(output)]) == 0
    text = output.read_text()
    start, end = text.index('<article class="card question'), text.index("</article>") + 10
    end = text.index("</article>", start) + len("</article>")
    one = text[start:end]
    copies = [re.sub(r'data-card="[^"]*"', f'data-card="c{n}"', one) for n in range(10_000)]
    output.write_text(text[:start] + "".join(copies) + text[end:])
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{output.as_uri()}#gallery?card=c9876", timeout=120_000)
    page.wait_for_function("document.activeElement.dataset.card === 'c9876'")
    page.evaluate("location.hash = '#gallery?state=right'")
    page.wait_for_function("document.querySelectorAll('#cards > .card').length < 200")
    page.evaluate("document.getElementById('more').scrollIntoView()")
    page.wait_for_function("document.querySelectorAll('#cards > .card').length > 48")
    page.close()
