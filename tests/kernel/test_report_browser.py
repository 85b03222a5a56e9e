"""``report.html`` as a reader meets it: in headless Chromium, opened from disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_report.html import write_report
from PIL import Image

from lab import Section
from lab.report.pieces import image_html
from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.browsing import (
    HAS_BROWSER,
    NO_BROWSER,
    chromium,
    contrast,
    luminance,
    requests,
    wait_for,
    wait_for_charts,
)
from tests.kernel.stored_study import store_study

pytestmark = [
    pytest.mark.skipif(not HAS_BROWSER, reason=NO_BROWSER),
    pytest.mark.xdist_group("browser"),
]

BAD = "<script>document.title = 'ran'</script>"
PLUGIN_SECTION = """
<button id="add" onclick="this.textContent = 'clicked'">section</button>
<img src="https://example.org/picture.png" alt=""><script src="https://example.org/script.js"></script>
"""


def written(root: Path, *sections: Section, **study: Any) -> str:
    """Where the report of a stored study can be opened, with these sections of plugins."""
    store_study(root, **study)
    store = Store(root)
    record = read_study(store, "toy")
    return write_report(record, record.results(store), sections).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report whose question and arm try to run scripts."""
    root = tmp_path_factory.mktemp("runs")
    figures = {"base": [0.50, 0.52, 0.51], "wide": [0.70, 0.74, 0.70], BAD: [0.51, 0.50, 0.53]}
    return written(root, question=f"Is {BAD} harmless?", figures=figures)


@pytest.fixture
def page(browser: Any, report: str) -> Any:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(report)
    wait_for_charts(browser)
    return browser


def points(browser: Any) -> list[str]:
    """What the mean points of the learning curves say to a screen reader."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#chart-curves [role=graphics-symbol][aria-label*=\"epoch: 3\"]')]"
        ".map(e => e.getAttribute('aria-label'))"
    )


def test_the_console_stays_empty(page: Any) -> None:
    assert page.get_log("browser") == []


def test_nothing_is_asked_of_the_network(page: Any, report: str) -> None:
    assert [address for address in requests(page) if not address.startswith("data:")] == [report]


def test_scripts_in_the_question_and_in_an_arm_do_not_run(page: Any) -> None:
    assert page.title == f"toy: Is {BAD} harmless?"
    assert BAD in page.execute_script("return document.querySelector('.answers').innerText")


def test_the_choice_of_a_figure_changes_curves_and_numbers(page: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    before = points(page)
    Select(page.find_element(By.ID, "figure")).select_by_visible_text("valid_loss")
    wait_for(page, "return document.querySelector('#chart-curves [aria-label*=\"0.3667\"]') !== null")
    assert before != points(page)
    shown = page.execute_script(
        "return [...document.querySelectorAll('.curve-table:not([hidden]) caption')].map(e => e.textContent)"
    )
    assert shown == ["valid_loss"]


def test_an_arm_can_be_left_out_of_the_curves_and_taken_back(page: Any) -> None:
    from selenium.webdriver.common.by import By

    button = next(b for b in page.find_elements(By.CSS_SELECTOR, ".legend button") if b.text == "wide")
    assert any("arm: wide" in label for label in points(page))
    button.click()
    wait_for(page, "return !document.querySelector('#chart-curves [aria-label*=\"arm: wide\"]')")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    wait_for(page, "return document.querySelector('#chart-curves [aria-label*=\"arm: wide\"]') !== null")


def test_pointing_at_a_mean_shows_its_numbers(page: Any) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    ActionChains(page).move_to_element(
        page.find_element(By.CSS_SELECTOR, "#chart-curves [role=graphics-symbol][aria-label*='arm: wide']")
    ).perform()
    wait_for(page, "return !document.getElementById('tip').hidden")
    assert "wide" in page.find_element(By.ID, "tip").text


def test_pictures_have_words_beside_them(page: Any) -> None:
    labels = page.execute_script(
        "return [...document.querySelectorAll('.chart[role=graphics-document]')].map(e => e.getAttribute('aria-label'))"
    )
    assert labels[0].startswith("Difference of valid_accuracy from the base, with 95 % intervals. wide: +0.203")
    assert labels[1].startswith("valid_accuracy of every run")
    assert labels[2].startswith("Learning curves of 9 runs in 3 arms over 3 epochs")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_marks_stand_out_from_the_page_in_both_themes(page: Any, theme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    paper, ink, label = page.execute_script(
        "const colour = (e, name) => getComputedStyle(e)[name];"
        "return [colour(document.body, 'backgroundColor'), colour(document.body, 'color'),"
        " colour(document.querySelector('#chart-curves text'), 'fill')]"
    )
    assert (luminance(paper) > 0.5) == (theme == "light")
    assert contrast(paper, ink) > 7
    assert contrast(paper, label) > 4.5


def test_a_phone_scrolls_only_downwards(page: Any) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.refresh()
    wait_for_charts(page)
    assert page.execute_script("return document.documentElement.scrollWidth") == 360


def test_printing_opens_what_is_folded_and_leaves_out_the_menu(page: Any) -> None:
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    page.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert page.execute_script("return document.querySelectorAll('details:not([open])').length") > 0


def test_a_plugins_section_may_act_but_reaches_no_network(browser: Any, tmp_path: Path) -> None:
    address = written(tmp_path, Section("Maps", "", html=PLUGIN_SECTION))
    browser.get_log("performance")
    browser.get(address)
    wait_for_charts(browser)
    browser.execute_script("document.getElementById('add').click()")
    assert browser.execute_script("return document.getElementById('add').textContent") == "clicked"
    answered = [json.loads(entry["message"])["message"]["method"] for entry in browser.get_log("performance")]
    assert "Network.responseReceived" in answered
    refused = [entry["message"] for entry in browser.get_log("browser")]
    assert len([line for line in refused if "Content Security Policy" in line]) == 2
    assert len(refused) == 2


def test_a_wide_picture_is_shrunk_to_the_page(browser: Any, tmp_path: Path) -> None:
    picture = tmp_path / "wide.png"
    Image.new("RGB", (3000, 20)).save(picture)
    browser.get(written(tmp_path, Section("Maps", "", html=image_html(picture, "a wide picture"))))
    wait_for_charts(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_the_console_stays_empty_with_one_seed(browser: Any, tmp_path: Path) -> None:
    address = written(tmp_path, figures={"base": [0.5], "wide": [0.7]})
    browser.get_log("browser")
    browser.get(address)
    wait_for_charts(browser)
    assert browser.get_log("browser") == []
