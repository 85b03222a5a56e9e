"""Report section of style transfer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab import Section
from lab.report.pieces import arms_html, first_of_each_arm, image_html
from lab_style.callbacks import PICTURES

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["sections"]


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return a section with the pictures of the first run of every arm, or none."""
    found = first_of_each_arm(runs, PICTURES)
    if not found:
        return []
    text = "\n".join(f"{run.arm}: pictures.gif after {content['epochs']} epochs" for run, content in found)
    body = arms_html(
        (
            run.arm,
            image_html(run.folder / "artefacts" / "pictures.png", "content, style, result")
            + image_html(run.folder / "artefacts" / "pictures.gif", f"from the start to epoch {content['epochs']}"),
        )
        for run, content in found
    )
    return [Section("Pictures", text, body, weight=10)]
