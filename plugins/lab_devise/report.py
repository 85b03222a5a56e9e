"""What the report of a study on pictures and words shows: a page to search, sheets, and how good the index is."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab_devise.callbacks import SEARCH

if TYPE_CHECKING:
    from lab.study.results import FinishedRun

__all__ = ["sections"]


def sections(runs: Sequence[FinishedRun]) -> list[Section]:
    """One section, of the first run of each arm that left something."""
    found: dict[str, tuple[FinishedRun, Any]] = {}
    for run in runs:
        path = run.folder / "artefacts" / SEARCH
        if run.arm in found or not path.is_file():
            continue
        try:
            found[run.arm] = run, json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
    if not found:
        return []
    text = "\n\n".join(f"{arm}\n{_text(content)}" for arm, (_, content) in found.items())
    body = "".join(f"<h4>{html.escape(arm)}</h4>{_html(run, content)}" for arm, (run, content) in found.items())
    return [Section("Words and pictures search each other", text, body, weight=10)]


def _text(content: Mapping[str, Any]) -> str:
    lines = [
        f"  pictures nearest to {words}: {', '.join(f'{name} {near:.2f}' for name, near in rows[:6])}"
        for words, rows in content["texts"].items()
    ]
    lines += [
        f"  words nearest to a picture of {name}: {', '.join(f'{word} {near:.2f}' for word, near in rows)}"
        for name, rows in content["pictures"][:5]
    ]
    index = content["index"]
    lines.append(
        f"  {index['kind']} of {index['vectors']:,} pictures: recall@10 {index['recall']:.3f}, "
        f"{index['queries_per_second']:,.0f} queries a second, built in {index['seconds']:.2f} s"
    )
    if content["held_out"]:
        lines.append(f"  never trained: {', '.join(content['held_out'])}")
    if content["left_out"]:
        lines.append(f"  left out, since their names have no vector: {', '.join(content['left_out'])}")
    return "\n".join(lines)


def _html(run: FinishedRun, content: Mapping[str, Any]) -> str:
    folder = run.folder / "artefacts"
    shown = f"<pre>{html.escape(_text(content))}</pre>"
    page = folder / "search.html"
    if page.is_file():
        inner = html.escape(page.read_text(encoding="utf-8"), quote=True)
        shown += (
            f'<iframe title="search pictures by words" sandbox="allow-scripts" loading="lazy" srcdoc="{inner}" '
            'style="width:100%;height:34rem;border:1px solid #ccc"></iframe>'
        )
    sheet = folder / "sheets.png"
    if sheet.is_file():
        picture = base64.b64encode(sheet.read_bytes()).decode()
        shown += (
            f'<figure><img alt="pictures nearest to some words" src="data:image/png;base64,{picture}">'
            "<figcaption>pictures nearest to some words</figcaption></figure>"
        )
    return shown
