"""The page in headless Chromium: silent, offline, operable by keyboard, readable in the dark and on paper."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page, and fail where it ever asked for something or complained."""
    contexts, complaints = [], []

    def open_page(path: Path, *, width: int = 1280, height: int = 900, anchor: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.route("**/*", lambda route: _allow(route, path, complaints))
        page.goto(path.as_uri() + anchor)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def _allow(route: Any, path: Path, complaints: list[str]) -> None:
    url = route.request.url
    if url.startswith("data:") or url.split("#")[0].startswith(path.parent.as_uri()):
        route.continue_()
        return
    complaints.append(f"request: {url}")
    route.abort()


def wait(page: Any, expression: str) -> None:
    """Wait until an expression is true (playwright's own wait evaluates strings, which the policy forbids)."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"still not so after 30 s: {expression}")


def pixels(page: Any, selector: str) -> Any:
    shot = page.locator(selector).screenshot(animations="disabled")
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.int16)


def scroll_through(page: Any) -> None:
    page.evaluate(
        """async () => { for (let y = 0; y < document.body.scrollHeight; y += 500) {
             scrollTo({top: y, behavior: "instant"}); await new Promise(requestAnimationFrame); } }"""
    )
    wait(page, "[...document.images].every((i) => i.complete && !i.dataset.asset)")


@pytest.mark.parametrize(
    "options",
    [{}, {"task": "segmentation"}, {"task": "classification"}, {"hostile": True}, {"shifts": 0, "failures": 0}],
    ids=str,
)
@pytest.mark.parametrize("single_file", [True, False], ids=["single", "folder"])
def test_every_picture_loads_and_nothing_complains(
    opened: Any, page_of: Any, options: dict[str, Any], single_file: bool
) -> None:
    page = opened(page_of(single_file=single_file, **options))
    scroll_through(page)
    assert page.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
    expected = options.get("failures", 24)
    assert page.locator("#cards .card").count() == expected
    if expected:
        page.locator("#cards .card a").first.click()
        for toggle in page.locator(".viewer-tools input[type=checkbox]:visible").all():
            toggle.click()
        page.locator("input[name=mode][value=beside]").check(force=True)
        page.keyboard.press("Escape")
        assert not page.locator("#detail").is_visible()


def test_hostile_names_are_text(opened: Any, page_of: Any, builder: Any) -> None:
    page = opened(page_of(hostile=True))
    page.locator("#cards .card a").first.click()
    assert builder.HOSTILE[0] in page.locator("h1").inner_text()
    assert page.locator("img[src='x'], [onerror]").count() == 0
    assert page.evaluate("document.querySelectorAll('main script, dialog script').length") == 0


def test_a_script_that_gets_in_would_not_run(browser: Any, page_of: Any) -> None:
    """The policy is the second wall: even markup that slips through is dead."""
    page = browser.new_page()
    page.goto(page_of().as_uri())
    page.evaluate(
        """() => { const script = document.createElement("script"); script.textContent = "window.broken = 1";
             document.body.append(script);
             document.body.insertAdjacentHTML("beforeend", '<img src="data:," onerror="window.broken = 2">'); }"""
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.broken") is None
    page.close()


def test_filters_and_sorting(opened: Any, page_of: Any) -> None:
    page = opened(page_of())
    cards = page.locator("#cards .card")
    failures = page.evaluate("failures")
    for key in ("family", "shift", "severity", "class_name", "failure"):
        value = str(failures[0][key])
        page.locator(f"#filters [name={key}]").select_option(value)
        assert cards.count() == sum(str(f[key]) == value for f in failures) > 0
        page.locator("#filters [type=reset]").click()
        wait(page, f"document.querySelectorAll('#cards .card').length === {len(failures)}")
    page.locator("#filters [name=sort]").select_option("severity")
    order = [next(f for f in failures if f["id"] == card.get_attribute("data-id")) for card in cards.all()]
    assert [f["severity"] for f in order] == sorted((f["severity"] for f in failures), reverse=True)
    page.locator("#filters [name=sort]").select_option("drift")
    first = next(f for f in failures if f["id"] == cards.first.get_attribute("data-id"))
    lost = [f["explanation"]["energy_clean"] - f["explanation"]["energy_shifted"] for f in failures if f["explanation"]]
    assert first["explanation"]["energy_clean"] - first["explanation"]["energy_shifted"] == pytest.approx(max(lost))


def test_the_grid_is_walked_by_arrows_and_filters_the_gallery(opened: Any, page_of: Any) -> None:
    page = opened(page_of())
    first = page.locator(".heat:visible .cell").first
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("({...document.activeElement.dataset})")
    rows = page.locator(".heat:visible tbody tr")
    assert focused["shift"] == rows.nth(1).locator(".cell").first.get_attribute("data-shift")
    assert focused["severity"] == "3"
    page.keyboard.press("Enter")
    wanted = sum(f["shift"] == focused["shift"] and str(f["severity"]) == "3" for f in page.evaluate("failures"))
    assert page.locator("#cards .card").count() == wanted
    assert page.locator("#filters [name=shift]").input_value() == focused["shift"]


def test_kept_and_score_switch(opened: Any, page_of: Any) -> None:
    page = opened(page_of())
    cell = page.locator(".heat:visible .cell").first
    assert cell.locator(".kept").is_visible()
    assert not cell.locator(".absolute").is_visible()
    page.get_by_text("Score", exact=True).click()
    assert cell.locator(".absolute").inner_text().startswith("0.")
    page.locator("[data-metric-switch=heat]").select_option("ap50")
    assert page.locator("[data-metric-block=heat]:visible").get_attribute("data-metric") == "ap50"


def test_the_slider_moves_by_keyboard_and_pointer(opened: Any, page_of: Any) -> None:
    page = opened(page_of())
    page.locator("#cards .card a").first.click()
    cut = page.locator("#cut")
    assert page.evaluate("document.activeElement.id") == "cut"
    centre = page.evaluate("50 * (current.box[0] + current.box[2]) / current.size[0]")
    assert abs(float(cut.get_attribute("aria-valuenow")) - min(85, max(15, centre))) <= 0.5  # through the object
    page.evaluate("cutAt(50)")
    middle = pixels(page, "#stage")
    for key, expected in (("ArrowLeft", 46), ("Home", 0), ("End", 100), ("PageDown", 80)):
        page.keyboard.press(key)
        assert cut.get_attribute("aria-valuenow") == str(expected)
    assert np.abs(pixels(page, "#stage") - middle).mean() > 1
    frame = page.locator("#stage").bounding_box()
    page.mouse.move(frame["x"] + frame["width"] * 0.8, frame["y"] + 20)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] * 0.25, frame["y"] + 20, steps=4)
    page.mouse.up()
    assert cut.get_attribute("aria-valuenow") == "25"


def test_attention_boxes_and_threshold_change_the_picture(opened: Any, page_of: Any) -> None:
    page = opened(page_of())
    index = page.evaluate("shownFailures.findIndex((f) => f.explanation && f.predictions_shifted.length)")
    page.locator("#cards .card a").nth(index).click()
    wait(page, "[...document.querySelectorAll('#stage img')].every((i) => i.complete)")
    plain = pixels(page, "#stage")
    page.locator("#show-cam").check()
    wait(page, "[...document.querySelectorAll('#stage img.cam')].every((i) => i.complete)")
    coloured = pixels(page, "#stage")
    assert np.abs(coloured - plain).mean() > 1
    assert page.locator("#cam-scale").is_visible()
    page.locator("#show-cam").uncheck()
    np.testing.assert_array_equal(pixels(page, "#stage"), plain)
    assert page.locator("#stage .label").count() > 4  # labels are there from the first drawing on
    before = page.locator("#stage .box.prediction").count()
    page.locator("#least").fill("0.9")
    assert 0 < page.locator("#stage .box.prediction").count() < before
    page.locator("#show-truth").uncheck()
    assert page.locator("#stage .box.kept").count() == 0
    assert page.locator("#stage .box.focus").count() == 2


def test_maps_are_coloured_by_the_same_scale(opened: Any, page_of: Any, builder: Any) -> None:
    """A grey of the map becomes the same colour in both pictures: inferno at that value."""
    page = opened(page_of())
    page.evaluate(
        """() => { const box = document.createElement("div"); box.id = "probe";
             box.style = "position:fixed;inset:0;z-index:99;background:#000";
             for (const grey of [0, 128, 255]) {
               const c = document.createElement("canvas"); c.width = c.height = 40; const d = c.getContext("2d");
               d.fillStyle = `rgb(${grey},${grey},${grey})`; d.fillRect(0, 0, 40, 40);
               c.style.filter = "url(#cam-map)"; box.append(c); }
             document.body.append(box); }"""
    )
    shot = pixels(page, "#probe")
    middle, top = shot[20, 60], shot[20, 100]
    np.testing.assert_allclose(shot[20, 20], 0, atol=2)
    np.testing.assert_allclose(middle, 0.70 * np.array([0xBC, 0x37, 0x54]), atol=4)
    np.testing.assert_allclose(top, 0.82 * np.array([0xFC, 0xFF, 0xA4]), atol=4)


def test_permalinks_and_stepping(opened: Any, page_of: Any) -> None:
    page = opened(page_of())
    ids = page.evaluate("shownFailures.map((f) => f.id)")
    page = opened(page_of(), anchor=f"#failure-{ids[2]}")
    page.wait_for_selector("#detail[open]")
    assert page.locator("#detail-count").inner_text() == f"3 of {len(ids)}"
    page.locator("#close").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#detail-count").inner_text() == f"4 of {len(ids)}"
    assert page.evaluate("location.hash") == f"#failure-{ids[3]}"
    page.keyboard.press("Escape")
    wait(page, "!document.querySelector('#detail').open")
    wait(page, "location.hash === ''")  # set once the dialog has closed


def test_the_command_is_copied(opened: Any, page_of: Any) -> None:
    page = opened(page_of(), permissions=["clipboard-read", "clipboard-write"])
    page.locator("#cards .card a").first.click()
    page.locator("#about [data-copy]").click()
    wait(page, "document.querySelector('#about [data-copy]').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == page.evaluate("current.command")


def test_dark_by_the_system_and_by_choice(opened: Any, page_of: Any) -> None:
    def paper(page: Any) -> int:
        return int(pixels(page, "body > header").mean())

    light, dark = opened(page_of()), opened(page_of(), color_scheme="dark")
    assert paper(light) > 220
    assert paper(dark) < 60
    for scheme, low, high in (("Light", 220, 255), ("Dark", 0, 60)):
        dark.locator("#theme").click()
        assert dark.locator("#theme").inner_text() == scheme
        assert low <= paper(dark) <= high


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(opened: Any, page_of: Any, scheme: str) -> None:
    """Ink on paper has a contrast of at least 4.5 (WCAG AA), also the faintest."""
    from reports.palette import contrast

    page = opened(page_of(), color_scheme=scheme)
    colours = page.evaluate(
        """() => { const s = getComputedStyle(document.documentElement);
             const names = ["paper", "ink", "ink-2", "ink-3", "accent", "mark"];
             return names.map((name) => s.getPropertyValue("--" + name).trim()); }"""
    )
    for ink in colours[1:]:
        assert contrast(ink, colours[0]) >= 4.5, ink


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_never_scrolls_sideways(opened: Any, page_of: Any, width: int) -> None:
    page = opened(page_of(hostile=True), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#cards .card a").first.click()
    assert page.evaluate("document.querySelector('#detail').scrollWidth") <= width


def test_the_tab_key_reaches_what_can_be_used(opened: Any, page_of: Any) -> None:
    page = opened(page_of(failures=2))
    seen = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        name, outlined = page.evaluate(
            """() => { const e = document.activeElement;
                 return [e.name || e.id || e.className || e.tagName, getComputedStyle(e).outlineStyle !== "none"]; }"""
        )
        assert outlined or name in ("", "BODY", "heat-figure"), name  # a radio's outline is drawn at its label
        seen.add(name)
    assert {"theme", "family", "shift", "sort", "cam"} <= seen
    assert any(name.startswith("cell") for name in seen)


def test_pictures_below_the_window_load_unasked(opened: Any, page_of: Any) -> None:
    page = opened(page_of(failures=24))
    wait(page, "[...document.images].every((i) => i.complete && i.naturalWidth > 0)")


def test_paper_shows_every_failure_without_controls(opened: Any, page_of: Any, tmp_path: Path) -> None:
    page = opened(page_of(failures=6))
    page.pdf(path=tmp_path / "report.pdf", format="A4")  # prints as a person would: the pictures are fetched on the way
    assert page.evaluate("[...document.images].every((i) => !i.dataset.asset)")
    assert page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    page.emulate_media(media="print")
    assert not page.locator("#filters").is_visible()
    assert not page.locator("header.top").is_visible()
    assert page.locator("#cards .card .paper code:visible").count() == 6
    assert (
        page.locator("tr:visible").count()
        == page.locator("[data-metric-block]:visible tr, .ranking tr, .plain tr").count()
    )
    if not _has_pdftotext():
        return
    text = subprocess.run(
        ["pdftotext", tmp_path / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "keeps" in text
    assert "Missed car" in text


def _has_pdftotext() -> bool:
    import shutil

    return shutil.which("pdftotext") is not None


@pytest.mark.slow
def test_five_hundred_failures_stay_light(opened: Any, page_of: Any) -> None:
    page = opened(page_of(failures=500, shifts=40, severities=(1, 2, 3, 4, 5)))
    assert page.locator("#cards .card").count() == 500
    loaded = page.evaluate("[...document.images].filter((i) => i.naturalWidth > 0).length")
    assert loaded < 60  # only what is near the window is decoded
