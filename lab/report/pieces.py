"""Building blocks of report sections: artefacts of runs, figures and images."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["arms_html", "figure_html", "first_of_each_arm", "image_html"]


def first_of_each_arm(runs: Sequence[RunRecord], artefact: str) -> list[tuple[RunRecord, Any]]:
    """Return, per arm, the first run with a readable JSON artefact of this name, and its content."""
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


def arms_html(parts: Iterable[tuple[str, str]]) -> str:
    """Return what belongs to each arm under its name, side by side where the page is wide enough.

    Args:
        parts: arm and HTML, in their order.
    """
    articles = [f"<article><h4>{html.escape(arm)}</h4>{part}</article>" for arm, part in parts]
    return f'<div class="arms">{"".join(articles)}</div>'


def figure_html(figure: Any, label: str) -> str:
    """Return a matplotlib figure as inline SVG in the colors of the page; ``label`` is read by screen readers.

    Backgrounds are transparent, and what is black in the figure has the color of the text.
    """
    buffer = io.StringIO()
    # no date, so that a report written again is equal to the byte
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg = buffer.getvalue().replace("#000000", "currentColor")
    # frames of legends stay filled, with the color of the page
    svg = svg.replace('style="fill: #ffffff; opacity: 0.8', 'style="fill: var(--paper, #ffffff); opacity: 0.8')
    # without the XML prolog, which is not allowed inside HTML; text without a color of its own inherits this one
    drawing = svg[svg.index("<svg") :].replace("<svg ", '<svg fill="currentColor" ', 1)
    return f'<figure role="img" aria-label="{html.escape(label)}">{drawing}</figure>'


def image_html(path: Path, caption: str) -> str:
    """Return an image file (PNG, GIF, JPEG, WebP, SVG) inline, with a caption; empty if there is none."""
    try:
        content = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""
    ending, text = path.suffix.lower().removeprefix("."), html.escape(caption)
    # an SVG as an image cannot run scripts, which one inside the page could
    kind = {"svg": "svg+xml", "jpg": "jpeg"}.get(ending, ending)
    source = f"data:image/{kind};base64,{content}"
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'
