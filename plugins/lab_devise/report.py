"""Report section of studies on images and words: search page, sheets and quality of the index."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab.report.pieces import arms_html, first_of_each_arm, image_html
from lab_devise.callbacks import SEARCH

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["sections"]


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return one section, of the first run of each arm that left something."""
    found = first_of_each_arm(runs, SEARCH)
    if not found:
        return []
    text = "\n\n".join(f"{run.arm}\n{_text(content)}" for run, content in found)
    body = arms_html((run.arm, _html(run, content)) for run, content in found)
    return [Section("Search of images by words", text, body, weight=10)]


def _text(content: Mapping[str, Any]) -> str:
    lines = [
        f"  images nearest to {words}: {', '.join(f'{name} {near:.2f}' for name, near in rows[:6])}"
        for words, rows in content["texts"].items()
    ]
    lines += [
        f"  words nearest to an image of {name}: {', '.join(f'{word} {near:.2f}' for word, near in rows)}"
        for name, rows in content["pictures"][:5]
    ]
    index = content["index"]
    lines.append(
        f"  {index['kind']} of {index['vectors']:,} images: recall@10 {index['recall']:.3f}, "
        f"{index['queries_per_second']:,.0f} queries/s, built in {index['seconds']:.2f} s"
    )
    if content["held_out"]:
        lines.append(f"  held out: {', '.join(content['held_out'])}")
    if content["left_out"]:
        lines.append(f"  left out (no word vector): {', '.join(content['left_out'])}")
    return "\n".join(lines)


def _html(run: RunRecord, content: Mapping[str, Any]) -> str:
    folder = run.folder / "artefacts"
    shown = f"<pre>{html.escape(_text(content))}</pre>"
    page = folder / "search.html"
    if page.is_file():
        inner = html.escape(page.read_text(encoding="utf-8"), quote=True)
        shown += (
            f'<iframe title="search images by words" sandbox="allow-scripts" loading="lazy" srcdoc="{inner}" '
            'style="width:100%;height:34rem;border:1px solid #ccc"></iframe>'
        )
    return shown + image_html(folder / "sheets.png", "images nearest to some words")
