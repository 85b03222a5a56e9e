"""The attention map in headless Chromium: by mouse, by keyboard, in both themes, with hostile sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_report.html import write_report
from lab_seq2seq.report import sections

from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.browsing import HAS_BROWSER, NO_BROWSER, chromium, contrast, luminance, requests, wait_for_charts
from tests.kernel.stored_study import key_of, store_study

pytestmark = [
    pytest.mark.skipif(not HAS_BROWSER, reason=NO_BROWSER),
    pytest.mark.xdist_group("browser"),
]

BAD = "</script><script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">"
MAPS = [
    {
        "source": ["où", "sont", "-ils", "_eos_"],
        "target": ["where", "are", "they", "_eos_"],
        "reference": "where are they",
        "weights": [[0.91, 0.06, 0.02, 0.01], [0.0, 1.0, 0.0, 0.0], [0.1, 0.2, 0.7, 0.0], [0.04, 0.03, 0.03, 0.9]],
    },
    {"source": ["qui", BAD], "target": [BAD, "?"], "reference": BAD, "weights": [[0.3, 0.7], [0.5, 0.5]]},
]
LONG = {
    "source": [f"mot{n}" for n in range(30)],
    "target": [f"word{n}" for n in range(30)],
    "reference": "",
    "weights": [[1 / 30] * 30] * 30,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of two arms with attention and one without; sentences and an arm try to run scripts."""
    root = tmp_path_factory.mktemp("runs")
    store_study(root, figures={"base": [0.5, 0.6], "attn": [0.6, 0.8], BAD: [0.7, 0.8]})
    for arm, maps in (("attn", MAPS), (BAD, [MAPS[0], LONG])):
        leave(root, arm, maps)
    store = Store(root)
    record = read_study(store, "toy")
    results = record.results(store)
    return write_report(record, results, sections(results.runs)).as_uri()


def leave(root: Path, arm: str, maps: Any) -> None:
    folder = root / ".store" / key_of(arm, 0) / "artefacts"
    (folder / "attention").mkdir(parents=True)
    (folder / "attention" / "maps.json").write_text(json.dumps(maps), encoding="utf-8")
    row = {"source": BAD, "reference": BAD, "prediction": f"{BAD} {arm}"}
    (folder / "translations.jsonl").write_text(json.dumps(row), encoding="utf-8")


@pytest.fixture
def page(browser: Any, report: str) -> Any:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(report)
    wait_for_charts(browser)
    return browser


def find(page: Any, selector: str) -> list[Any]:
    from selenium.webdriver.common.by import By

    return page.find_elements(By.CSS_SELECTOR, selector)


def select(page: Any, name: str) -> Any:
    from selenium.webdriver.support.ui import Select

    return Select(find(page, f"#attention-{name}")[0])


def written(page: Any, text: str) -> Any:
    return next(button for button in find(page, "#attention-target button") if button.text == text)


def shares(page: Any) -> list[str]:
    """Return the text below the source words."""
    return [word.text for word in find(page, "#attention-source small")]


def shading(page: Any) -> list[float]:
    """Return the highlighting of the source words."""
    return page.execute_script(
        "return [...document.querySelectorAll('#attention-source .word')]"
        ".map(word => Number(getComputedStyle(word, '::before').opacity))"
    )


def test_the_first_word_is_chosen_when_the_page_opens(page: Any) -> None:
    assert shares(page) == ["91 %", "6 %", "", ""]
    assert find(page, "#attention-spoken")[0].text == "“where” attends to où 91 %, sont 6 %"


def test_pointing_at_a_written_word_marks_what_was_read(page: Any) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(page).move_to_element(written(page, "are")).perform()
    assert shares(page) == ["", "100 %", "", ""]
    assert shading(page) == [0, 0.5, 0, 0]
    assert [row.text.split()[0] for row in find(page, "#attention-grid tr.chosen")] == ["are"]


def test_pointing_at_a_row_of_the_grid_marks_it_too(page: Any) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(page).move_to_element(find(page, "#attention-grid tbody tr:nth-child(3) td")[0]).perform()
    assert shares(page) == ["10 %", "20 %", "70 %", ""]


def test_the_arrow_keys_go_from_word_to_word(page: Any) -> None:
    from selenium.webdriver import Keys

    written(page, "where").send_keys(Keys.ARROW_RIGHT)
    assert page.switch_to.active_element.text == "are"
    assert find(page, "#attention-spoken")[0].text == "“are” attends to sont 100 %"
    page.switch_to.active_element.send_keys(Keys.END)
    assert page.switch_to.active_element.text == "_eos_"
    page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert shares(page) == ["", "", "", "90 %"]
    page.switch_to.active_element.send_keys(Keys.HOME)
    assert shares(page) == ["91 %", "6 %", "", ""]


def test_the_written_words_are_one_stop_of_the_tab_key(page: Any) -> None:
    from selenium.webdriver import Keys

    find(page, "#attention-sentence")[0].send_keys(Keys.TAB)
    assert page.switch_to.active_element.text == "where"
    page.switch_to.active_element.send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("aria-label") == "Attention map"


def test_the_cells_of_the_grid_are_shaded_by_weight_and_say_it(page: Any) -> None:
    opacities = page.execute_script(
        "return [...document.querySelectorAll('#attention-grid tbody tr:first-child td')]"
        ".map(cell => Number(getComputedStyle(cell, '::before').opacity))"
    )
    assert opacities == [0.91, 0.06, 0.02, 0.01]
    said = page.execute_script("return document.querySelector('#attention-grid tbody tr').textContent")
    assert said == "where91 %6 %2 %1 %"


def test_another_sentence_and_another_arm_can_be_chosen(page: Any) -> None:
    assert [option.text for option in select(page, "arm").options] == ["attn", BAD]
    select(page, "sentence").select_by_index(1)
    assert [word.text.splitlines()[0] for word in find(page, "#attention-source .word")] == ["qui", BAD]
    select(page, "arm").select_by_index(1)
    assert select(page, "sentence").options[0].text == "où sont -ils"
    assert shares(page) == ["91 %", "6 %", "", ""]


def test_the_words_beside_the_map_are_those_of_the_chosen_sentence(page: Any) -> None:
    select(page, "sentence").select_by_index(1)
    told = page.execute_script(
        "return [...document.querySelectorAll('.attention-told:not([hidden]) caption')].map(e => e.textContent)"
    )
    assert told == [f"attn: qui {BAD}"]


def test_scripts_in_sentences_and_arms_do_not_run(page: Any) -> None:
    select(page, "sentence").select_by_index(1)
    select(page, "arm").select_by_index(1)
    assert page.title == "toy: Does width matter?"
    assert find(page, "main img") == []
    assert BAD in find(page, ".translations")[0].text


def test_the_console_stays_empty_and_nothing_is_asked_of_the_network(page: Any, report: str) -> None:
    select(page, "arm").select_by_index(1)
    assert page.get_log("browser") == []
    assert [address for address in requests(page) if not address.startswith("data:")] == [report]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marked_words_can_be_read_in_both_themes(page: Any, theme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    paper, ink, mark = page.execute_script(
        "const word = document.querySelector('#attention-source .word');"
        "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(word).color,"
        " getComputedStyle(word, '::before').backgroundColor]"
    )
    assert (luminance(paper) > 0.5) == (theme == "light")
    assert contrast(blended(paper, mark, 0.5), ink) > 4.5


def blended(one: str, other: str, share: float) -> str:
    pairs = zip(*([int(p) for p in c[c.index("(") + 1 : -1].split(",")[:3]] for c in (one, other)), strict=True)
    return f"rgb({', '.join(str(round(a * (1 - share) + b * share)) for a, b in pairs)})"


def test_a_long_sentence_does_not_make_a_phone_scroll_sideways(page: Any) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.refresh()
    wait_for_charts(page)
    select(page, "arm").select_by_index(1)
    select(page, "sentence").select_by_index(1)
    assert page.execute_script("return document.documentElement.scrollWidth") == 360
