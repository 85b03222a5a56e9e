"""Sections that plugins add to a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.study.results import Results

__all__ = ["Section", "sections_of"]


@attrs.frozen
class Section:
    """A part of a report.

    Attributes:
        title: its heading.
        text: plain text for the terminal; a section without it is in the report alone.
        html: its body in ``report.html``; text from data must be escaped. If empty, ``text`` is shown.
        weight: sections are sorted by ascending weight.
    """

    title: str
    text: str
    html: str = ""
    weight: int = 0

    def __attrs_post_init__(self) -> None:
        for name, kind in (("title", str), ("text", str), ("html", str), ("weight", (int, float))):
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise TypeError(f"{name} of a section must be {'text' if kind is str else 'a number'}, got {value!r}")


def sections_of(results: Results, catalog: Catalog) -> list[Section]:
    """Return the sections that plugins add to a report, by weight, then by plugin."""
    given = catalog.gather("lab_report_sections", Section, study=results.study, runs=results.runs)
    found = [(section.weight, plugin.name, section) for plugin, sections in given for section in sections]
    # by weight and plugin only: sections themselves have no order
    return [section for _, _, section in sorted(found, key=lambda item: item[:2])]
