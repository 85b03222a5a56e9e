"""Pieces that sections are made of: what runs left, and pictures as parts of a page."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["figure_html", "first_of_each_arm", "image_html"]


def first_of_each_arm(runs: Sequence[RunRecord], artefact: str) -> list[tuple[RunRecord, Any]]:
    """Of every arm the first run that left a JSON artefact of this name, with its content; not damaged ones."""
    found: dict[str, tuple[RunRecord, Any]] = {}
    for run in runs:
        path = run.folder / "artefacts" / artefact
        if run.arm in found or not path.is_file():
            continue
        try:
            found[run.arm] = run, json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return list(found.values())


def figure_html(figure: Any, label: str) -> str:
    """A matplotlib figure, drawn into the page as SVG; ``label`` is what a screen reader says."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return f'<figure role="img" aria-label="{html.escape(label)}">{svg[svg.index("<svg") :]}</figure>'


def image_html(path: Path, caption: str) -> str:
    """A picture file (PNG, GIF) as a part of the page, with a caption; nothing where it is not there."""
    try:
        content = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""
    kind, told = path.suffix.removeprefix("."), html.escape(caption)
    source = f"data:image/{kind};base64,{content}"
    return f'<figure><img alt="{told}" src="{source}"><figcaption>{told}</figcaption></figure>'
