"""Report section with the items of highest and lowest bias, and the map of items."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab.report.pieces import arms_html, figure_html, first_of_each_arm
from lab_collab.callbacks import ITEMS

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["sections"]


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return one section with the first run of each arm that has the artefact, or none."""
    found = {run.arm: content for run, content in first_of_each_arm(runs, ITEMS)}
    if not found:
        return []
    text = "\n\n".join(f"{arm}\n{_text(content)}" for arm, content in found.items())
    body = arms_html((arm, _html(content)) for arm, content in found.items())
    return [Section("Items by bias", text, body, weight=10)]


def _text(content: Mapping[str, Any]) -> str:
    lines = []
    for name in ("highest", "lowest"):
        if content[name]:
            lines.append(f"  {name} bias:")
            lines += [f"    {bias:+.2f}  {title}" for title, bias in content[name][:5]]
    for number, ends in enumerate(content.get("components", ()), 1):
        for end, items in zip(("one", "the other"), ends, strict=True):
            lines.append(f"  component {number}, {end} end:")
            lines += [f"    {score:+.2f}  {title}" for title, score in items[:5]]
    return "\n".join(lines) or "  no biases; report.html shows the map"


def _html(content: Mapping[str, Any]) -> str:
    from lab_collab.plots import plot_map

    tables = "".join(_table(f"{name} bias", content[name]) for name in ("highest", "lowest"))
    for number, ends in enumerate(content.get("components", ()), 1):
        for end, items in zip(("one end", "the other end"), ends, strict=True):
            tables += _table(f"component {number}, {end}", items)
    return tables + figure_html(plot_map(content["map"]), "map of items")


def _table(caption: str, items: Sequence[tuple[str, float]]) -> str:
    rows = "".join(f"<tr><td>{html.escape(title)}</td><td>{value:+.3f}</td></tr>" for title, value in items)
    return f"<table><caption>{caption}</caption><tbody>{rows}</tbody></table>" if rows else ""
