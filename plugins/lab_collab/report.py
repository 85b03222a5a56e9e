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
    return "\n".join(lines) or "  no biases; report.html shows the map"


def _html(content: Mapping[str, Any]) -> str:
    from lab_collab.plots import plot_map

    tables = ""
    for name in ("highest", "lowest"):
        rows = "".join(f"<tr><td>{html.escape(title)}</td><td>{bias:+.3f}</td></tr>" for title, bias in content[name])
        if rows:
            tables += f"<table><caption>{name} bias</caption><tbody>{rows}</tbody></table>"
    return tables + figure_html(plot_map(content["map"]), "map of items")
