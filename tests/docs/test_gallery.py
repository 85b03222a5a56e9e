"""Pictures of the docs: there, small, and shown; studies and sections that the gallery names exist."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from tests.docs.pages import DOCS, ROOT

MAX_TOTAL = 1_500_000


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_gallery_tool", DOCS / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_entry_has_its_picture_and_its_study(gallery: ModuleType) -> None:
    names = [entry.name for entry in gallery.ENTRIES]
    assert len(names) == len(set(names)) >= 9
    assert [name for name in names if not (gallery.PICTURES / f"{name}.png").is_file()] == []
    assert [e.study for e in gallery.ENTRIES if not (ROOT / "experiments" / f"{e.study}.py").is_file()] == []


def test_pictures_are_small_and_each_is_on_a_page(gallery: ModuleType) -> None:
    sizes = {path.name: path.stat().st_size for path in gallery.PICTURES.iterdir()}
    assert max(sizes.values()) <= gallery.MAX_BYTES
    assert sum(sizes.values()) <= MAX_TOTAL
    text = "".join(path.read_text(encoding="utf-8") for path in (*DOCS.glob("*.md"), ROOT / "README.md"))
    assert sizes.keys() == set(re.findall(r"pictures/([\w-]+\.png)", text))


def test_a_picture_that_is_too_large_loses_colors_and_then_size(gallery: ModuleType) -> None:
    image = pytest.importorskip("PIL.Image")
    numpy = pytest.importorskip("numpy")
    noise = numpy.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=numpy.uint8)
    assert len(gallery.encode(image.fromarray(noise))) <= gallery.MAX_BYTES
    flat = gallery.encode(image.new("RGB", (800, 600), "white"))
    assert len(flat) < 2_000
