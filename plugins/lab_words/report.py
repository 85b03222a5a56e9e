"""Report section: nearest neighbors of a few words per arm."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab_words.callbacks import NEIGHBORS

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["sections"]


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return one section with the neighbors in the first seed of each arm, or none if no run kept any."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        if run.arm not in found and (content := _kept(run)):
            found[run.arm] = content
    if not found:
        return []
    lines, rows = [], []
    for arm, content in found.items():
        coverage = ", ".join(
            f"{name}: {known:,} of {total:,} known" for name, (known, total) in content["coverage"].items()
        )
        lines.append(f"{arm} ({coverage})")
        rows.append(f"<tr><th colspan='2'>{html.escape(arm)} ({html.escape(coverage)})</th></tr>")
        for word, near in content["neighbors"].items():
            shown = ", ".join(f"{other} {cosine:.2f}" for other, cosine in near)
            lines.append(f"  {word}: {shown}")
            rows.append(f"<tr><th scope='row'>{html.escape(word)}</th><td>{html.escape(shown)}</td></tr>")
    return [Section("Nearest neighbors", "\n".join(lines), f"<table><tbody>{''.join(rows)}</tbody></table>", weight=10)]


def _kept(run: RunRecord) -> dict[str, Any]:
    try:
        content = json.loads((run.folder / "artefacts" / NEIGHBORS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and {"coverage", "neighbors"} <= content.keys() else {}
