"""The section on mistakes in headless Chromium, with texts that try to run scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from lab_report.html import write_report
from lab_sentences.report import sections

from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.browsing import HAS_BROWSER, NO_BROWSER, chromium
from tests.kernel.stored_study import key_of, store_study

pytestmark = [
    pytest.mark.skipif(not HAS_BROWSER, reason=NO_BROWSER),
    pytest.mark.xdist_group("browser"),
]

BAD = "<img src=x onerror=\"document.title = 'ran'\">"
CONTENT = {
    "kind": "class",
    "classes": ["bad", "good"],
    "texts": 10,
    "mistakes": 3,
    "confusion": [[4, 1], [2, 3]],
    "examples": [
        {
            "target": "good",
            "predicted": "bad",
            "confidence": 0.93,
            "texts": [["not", BAD, "film"], ["a", "film"]],
            "weights": [[1.0, 0.0, -0.4], [0.0, 0.3]],
            "alignment": [[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]],
        }
    ],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


def test_mistakes_are_shown_and_run_nothing(browser: Any, tmp_path: Any) -> None:
    store_study(tmp_path, figures={"base": [0.5, 0.6], "other": [0.6, 0.8]})
    folder = tmp_path / ".store" / key_of("base", 0) / "artefacts"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.json").write_text(json.dumps(CONTENT), encoding="utf-8")
    store = Store(tmp_path)
    record = read_study(store, "toy")
    results = record.results(store)
    browser.get(write_report(record, results, sections(results.runs)).as_uri())
    text = browser.execute_script("return document.body.innerText")
    assert "good predicted as bad (93 %)" in text
    assert browser.title != "ran"
    words = "return [...document.querySelectorAll('span[title]')].map(span => [span.textContent, span.title])"
    shown = browser.execute_script(words)
    assert ["not", "+1.00"] in shown
    assert ["film", "-0.40"] in shown
    cells = "return [...document.querySelectorAll('details td[title]')].map(cell => cell.title)"
    assert browser.execute_script(cells) == ["0.90", "0.10", "0.50", "0.50", "0.00", "1.00"]
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
