"""Build of the site: no warnings, no resources from other sites, no broken links or anchors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install -e '.[dev]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--config-file",
        ".mkdocs.yml",
        "--strict",
        "--quiet",
        "--site-dir",
        str(folder),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


def test_site_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").exists()


def test_site_loads_nothing_from_other_sites(site: Path) -> None:
    pages = [path.read_text(encoding="utf-8") for path in site.glob("*.html")]
    assert [
        url for page in pages for url in re.findall(r'<(?:script|link)[^>]+(?:src|href)="(https?:[^"]+)', page)
    ] == []


def test_generator_is_not_part_of_the_site(site: Path) -> None:
    assert not (site / "generate.py").exists()
