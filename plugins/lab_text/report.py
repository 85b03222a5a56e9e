"""Report section with the last text that ``sample_text`` generated in each arm."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab import Section
from lab_text.samples import SAMPLES

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["last_sample", "sections"]

SHOWN_CHARS = 300


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return one section with the text of each arm's first seed, or none if no run generated any."""
    texts: dict[str, str] = {}
    for run in runs:
        if run.arm not in texts and (text := last_sample(run)):
            texts[run.arm] = text
    if not texts:
        return []
    width = max(map(len, texts))
    plain = "\n\n".join(f"{arm:<{width}}  {' '.join(text.split())}" for arm, text in texts.items())
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(arm)}</th>"
        f"<td style='white-space: pre-wrap; font-family: monospace'>{html.escape(text)}</td></tr>"
        for arm, text in texts.items()
    )
    return [Section("Generated text", plain, f"<table><tbody>{rows}</tbody></table>", weight=10)]


def last_sample(run: RunRecord) -> str:
    """Return the text of a run's last epoch, or "" if there is none."""
    try:
        content = (run.folder / "artefacts" / SAMPLES).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    return content.rpartition("--- epoch ")[2].partition("\n")[2].strip()[:SHOWN_CHARS]
