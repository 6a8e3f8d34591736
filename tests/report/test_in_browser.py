"""Pages in a real browser: no requests, no overflow, no accessibility violations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_core_python
import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from report import browser
from report.test_page import PAGES

pytestmark = pytest.mark.skipif(
    not (browser.CHROMIUM and browser.CHROMEDRIVER),
    reason="needs chromium and chromedriver (or $CHROMIUM, $CHROMEDRIVER)",
)

AXE = Path(axe_core_python.__file__).with_name("axe.min.js")
# Elements wider than their container, except scrollable elements and those for screen readers only.
OVERFLOWING = """
    const root = document.scrollingElement;
    if (root.scrollWidth > root.clientWidth) return ['the page'];
    return [...document.querySelectorAll('body *')].filter(element =>
        !element.closest('.scroll table, .unseen, svg') && getComputedStyle(element).display !== 'inline' &&
        (element.getBoundingClientRect().right > root.clientWidth + 1 ||
         (element.scrollWidth > element.clientWidth + 1 && element.clientWidth && !element.matches('.scroll')))
    ).map(element => element.outerHTML.slice(0, 200));
"""


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    with browser.opened() as chrome:
        yield chrome


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    files = {name: folder / f"{name}.html" for name in PAGES}
    for name, file in files.items():
        file.write_text(PAGES[name](), encoding="utf-8")
    return files


def check(chrome: Chrome, page: Path) -> None:
    """Check overflow, images, accessibility, console and requests of a page."""
    for width in (360, 1280):
        for scheme in ("light", "dark"):
            browser.show(chrome, page, width, scheme)
            for is_open in (False, True):
                chrome.execute_script(
                    "document.querySelectorAll('details').forEach(details => details.open = arguments[0])", is_open
                )
                assert chrome.execute_script(OVERFLOWING) == [], (page.name, width)
            broken = "return [...document.images].filter(image => !image.naturalWidth).map(image => image.alt)"
            assert chrome.execute_script(broken) == []
            if width == 360 or scheme == "dark":  # three of the four combinations are enough
                chrome.execute_script(AXE.read_text(encoding="utf-8"))
                report = chrome.execute_async_script("axe.run().then(arguments[0])")
                violations = [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in report["violations"]]
                assert violations == [], (page.name, width, scheme)
                assert len(report["passes"]) > 20
    assert chrome.get_log("browser") == []
    asked = {address for address in browser.requests(chrome) if not address.startswith("data:image/")}
    assert asked == {page.resolve().as_uri()}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_requests_nothing_and_is_accessible(chrome: Chrome, pages: dict[str, Path], name: str) -> None:
    check(chrome, pages[name])


def test_the_page_of_a_real_run(dlcli: Any, chrome: Chrome, clean_place: Path) -> None:
    for config in ("digits", "diabetes"):
        assert dlcli("train", "-c", config, "training.epochs=3", "--run-dir", config, "--quiet").code == 0
        assert dlcli("report", config, "--quiet").code == 0
        page = Path(config) / "report.html"
        assert page.stat().st_size < 3_000_000
        check(chrome, page)


@pytest.mark.long
def test_the_page_of_a_fashion_mnist_run(dlcli: Any, chrome: Chrome, clean_place: Path, fashion_root: Path) -> None:
    arguments = (
        "training.epochs=1",
        "model.hidden_sizes=[32]",
        f"data.root={fashion_root}",
        "--run-dir",
        "run",
        "--quiet",
    )
    assert dlcli("train", "-c", "fashion_mnist", *arguments).code == 0
    assert dlcli("report", "run").code == 0
    assert Path("run/report.html").stat().st_size < 3_000_000
    check(chrome, Path("run/report.html"))


def test_the_browser_enforces_the_policy(chrome: Chrome, pages: dict[str, Path], clean_place: Path) -> None:
    """A page with injected markup runs no script and sends no request."""
    evil = "<script>document.title = 'ran'</script><img src='https://example.org/x.png'><b style='color: red'>b</b>"
    page = clean_place / "evil.html"
    page.write_text(
        pages["classification"].read_text(encoding="utf-8").replace("</main>", f"{evil}</main>"), encoding="utf-8"
    )
    browser.show(chrome, page, 1280)
    assert "digits" in chrome.title
    refused = [entry["message"] for entry in chrome.get_log("browser") if "Content Security Policy" in entry["message"]]
    assert len(refused) == 3
    assert [message for message in refused if "example.org" in message]


def test_the_keyboard_reaches_everything_after_the_skip_link(chrome: Chrome, pages: dict[str, Path]) -> None:
    browser.show(chrome, pages["classification"], 360)
    body = chrome.find_element(By.TAG_NAME, "body")
    reached = []
    for _ in range(60):
        ActionChains(chrome).send_keys(Keys.TAB).perform()
        focused = chrome.switch_to.active_element
        if focused == body or focused in reached:
            break
        if not reached:
            assert focused.get_attribute("class") == "skip"
            assert focused.location["y"] >= 0, "visible when focused"
        reached.append(focused)
        outlined = "const style = getComputedStyle(arguments[0]); return [style.outlineStyle, style.outlineWidth]"
        assert chrome.execute_script(outlined, focused) == ["solid", "3px"]
    expected = chrome.find_elements(By.CSS_SELECTOR, "nav a, summary, .scroll:not(details .scroll)")
    assert len(expected) > 15
    assert set(expected) <= set(reached)
    unseen = [
        element
        for element in reached
        if chrome.execute_script("return getComputedStyle(arguments[0]).outlineStyle", element) == ""
    ]
    assert not unseen
    chrome.execute_script("arguments[0].focus()", reached[0])
    ActionChains(chrome).send_keys(Keys.ENTER).perform()
    assert chrome.switch_to.active_element.get_attribute("id") == "main"


@pytest.mark.parametrize("name", ["classification", "regression", "comparison"])
def test_a_page_prints_on_a_few_sheets_with_collapsed_parts(chrome: Chrome, pages: dict[str, Path], name: str) -> None:
    browser.show(chrome, pages[name], 1280, "dark")
    sheets = len(re.findall(rb"/Type\s*/Page\b", browser.print_to_pdf(chrome)))
    assert 2 <= sheets <= 10
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    colours = "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
    assert chrome.execute_script(colours) == ["rgb(255, 255, 255)", "rgb(28, 28, 26)"]
    for table in chrome.find_elements(By.CSS_SELECTOR, "section > details table, .tables details table"):
        assert table.size["height"] > 20
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
