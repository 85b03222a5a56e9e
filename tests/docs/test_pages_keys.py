"""A page whose commands need the key of a run says where keys come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = "<!-- Written by docs/generate.py"
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if re.search(r"(?<!PRIMARY )\bKEY\b", text := page.read_text(encoding="utf-8")) and not text.startswith(GENERATED)
]


def test_some_pages_have_commands_that_need_a_key() -> None:
    assert len(PAGES) > 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_with_the_key_of_a_run_says_that_lab_runs_lists_keys(page: Path) -> None:
    assert re.search(r"`lab runs`", page.read_text(encoding="utf-8"))
