"""What the report of a study on pictures shows: where models erred, and what they looked at."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab.report.pieces import first_of_each_arm, image_html
from lab_vision.callbacks import INSIDE, KINDS

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["sections"]

CAPTIONS = {
    "confusion": "which classes are taken for which",
    "losses": "the pictures it was most wrong about",
    "cam": "where it looked",
    "filters": "its first filters",
}


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """One section, of the first run of each arm that left something."""
    found = first_of_each_arm(runs, INSIDE)
    if not found:
        return []
    text = "\n".join(f"{run.arm}: {_text(content)}" for run, content in found)
    body = "".join(
        f"<h4>{html.escape(run.arm)}</h4><p>{html.escape(_text(content))}</p>{_pictures(run)}" for run, content in found
    )
    return [Section("Looking inside", text, body, weight=10)]


def _text(content: Mapping[str, Any]) -> str:
    pairs = [f"{one} for {other} ({count})" for one, other, count in content["worst"][:3]]
    told = f"takes {', '.join(pairs)}" if pairs else "takes no picture for another class"
    if "tta" in content:
        tta = content["tta"]
        told += f"; accuracy {tta['plain_accuracy']:.4f}, with variations of each picture {tta['accuracy']:.4f}"
    return told


def _pictures(run: RunRecord) -> str:
    return "".join(image_html(run.folder / "artefacts" / f"{name}.png", CAPTIONS[name]) for name in KINDS)
