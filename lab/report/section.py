"""Sections that plugins add to a report."""

from __future__ import annotations

import attrs

__all__ = ["Section"]


@attrs.frozen
class Section:
    """A part of a report.

    Attributes:
        title: its heading.
        text: plain text for the terminal.
        html: its body in ``report.html``; whoever writes it escapes what comes from data. Empty: ``text`` is shown.
        weight: sections stand in ascending weight.
    """

    title: str
    text: str
    html: str = ""
    weight: int = 0
