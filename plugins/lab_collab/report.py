"""What the report of a study shows of its items: those rated highest and lowest for themselves, and the map."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab_collab.callbacks import ITEMS

if TYPE_CHECKING:
    from lab.study.results import FinishedRun

__all__ = ["sections"]


def sections(runs: Sequence[FinishedRun]) -> list[Section]:
    """One section, of the first run of each arm that left something."""
    found: dict[str, Any] = {}
    for run in runs:
        if run.arm not in found and (content := _read(run)):
            found[run.arm] = content
    if not found:
        return []
    text = "\n\n".join(f"{arm}\n{_text(content)}" for arm, content in found.items())
    body = "".join(f"<h4>{html.escape(arm)}</h4>{_html(content)}" for arm, content in found.items())
    return [Section("Items by themselves", text, body, weight=10)]


def _read(run: FinishedRun) -> Any:
    try:
        return json.loads((run.folder / "artefacts" / ITEMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _text(content: Mapping[str, Any]) -> str:
    lines = []
    for name in ("highest", "lowest"):
        if content[name]:
            lines.append(f"  rated {name} for themselves:")
            lines += [f"    {bias:+.2f}  {title}" for title, bias in content[name][:5]]
    return "\n".join(lines) or "  no biases; the map stands in report.html"


def _html(content: Mapping[str, Any]) -> str:
    from lab_collab.plots import plot_map

    tables = ""
    for name in ("highest", "lowest"):
        rows = "".join(f"<tr><td>{html.escape(title)}</td><td>{bias:+.3f}</td></tr>" for title, bias in content[name])
        if rows:
            tables += f"<table><caption>rated {name} for themselves</caption><tbody>{rows}</tbody></table>"
    buffer = io.StringIO()
    plot_map(content["map"]).savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    picture = f'<figure role="img" aria-label="map of items">{svg[svg.index("<svg") :]}</figure>'
    return tables + picture
