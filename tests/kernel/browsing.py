"""Headless Chromium, opened from disk: what tests of pages share."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from typing import Any

__all__ = ["HAS_BROWSER", "NO_BROWSER", "chromium", "contrast", "luminance", "requests", "wait_for", "wait_for_charts"]

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
HAS_BROWSER = bool(CHROMIUM and DRIVER and importlib.util.find_spec("selenium"))
NO_BROWSER = "needs selenium (the extra `test`), Chromium and its driver (chromium, chromium-driver)"


def chromium() -> Iterator[Any]:
    """A browser that keeps what its console says and what it asks of the network."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


def wait_for(browser: Any, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(script))


def wait_for_charts(browser: Any) -> None:
    """Until every picture of the report's charts is drawn."""
    wait_for(
        browser,
        "const charts = [...document.querySelectorAll('.chart')];"
        "return charts.length > 0 && charts.every(chart => chart.querySelector('svg'))",
    )


def requests(browser: Any) -> list[str]:
    """Addresses that were asked for since the page was opened."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(…)`` after WCAG 2."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio after WCAG 2, from 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
