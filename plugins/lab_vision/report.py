"""Report section of image models: confusions, largest losses, activation maps, filters."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab.report.pieces import arms_html, first_of_each_arm, image_html
from lab_vision.callbacks import INSIDE, KINDS

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["sections"]

CAPTIONS = {
    "confusion": "confusion matrix",
    "losses": "largest losses",
    "cam": "activation maps",
    "filters": "filters of the first layer",
}


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return one section with the first run of each arm that has the artefact, or none."""
    found = first_of_each_arm(runs, INSIDE)
    if not found:
        return []
    text = "\n".join(f"{run.arm}: {_text(content)}" for run, content in found)
    body = arms_html((run.arm, f"<p>{html.escape(_text(content))}</p>{_pictures(run)}") for run, content in found)
    return [Section("Interpretation", text, body, weight=10)]


def _text(content: Mapping[str, Any]) -> str:
    pairs = [f"{one} as {other} ({count})" for one, other, count in content["worst"][:3]]
    text = f"most confused: {', '.join(pairs)}" if pairs else "no picture is misclassified"
    if "tta" in content:
        tta = content["tta"]
        text += f"; accuracy {tta['plain_accuracy']:.4f}, with test-time augmentation {tta['accuracy']:.4f}"
    return text


def _pictures(run: RunRecord) -> str:
    return "".join(image_html(run.folder / "artefacts" / f"{name}.png", CAPTIONS[name]) for name in KINDS)
