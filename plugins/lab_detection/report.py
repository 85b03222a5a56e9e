"""Report sections of detectors and of segmentation."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab.report.pieces import arms_html, first_of_each_arm, image_html
from lab_detection.callbacks import BOXES, MASKS

if TYPE_CHECKING:
    from lab.study.store import RunRecord

__all__ = ["sections"]

BOX_PLOTS = {
    "detections": "detections (colored, with score) and objects (dashed)",
    "curves": "precision and recall at an overlap of 0.5",
    "misses": "pictures with the most missed objects and wrong detections of a score of at least 0.3",
}
MASK_PLOTS = {"masks": "validation pictures, their masks, and predicted ones"}


def sections(runs: Sequence[RunRecord]) -> list[Section]:
    """Return a section on boxes and one on masks, each with the first run of every arm that has them."""
    kinds: list[tuple[str, str, Mapping[str, str], Callable[[Mapping[str, Any]], str]]] = [
        ("Detections", BOXES, BOX_PLOTS, _box_text),
        ("Masks", MASKS, MASK_PLOTS, _mask_text),
    ]
    made = []
    for title, artefact, plots, describe in kinds:
        found = first_of_each_arm(runs, artefact)
        if not found:
            continue
        text = "\n".join(f"{run.arm}: {describe(content)}" for run, content in found)
        body = arms_html(
            (
                run.arm,
                f"<p>{html.escape(describe(content))}</p>"
                + "".join(image_html(run.folder / "artefacts" / f"{name}.png", label) for name, label in plots.items()),
            )
            for run, content in found
        )
        made.append(Section(title, text, body, weight=10))
    return made


def _box_text(content: Mapping[str, Any]) -> str:
    values = ", ".join(f"{name} {value:.3f}" for name, value in content["average_precision"].items())
    masks = content.get("mask_average_precision")
    if masks is not None:
        values += f"; of masks, over classes: {masks:.3f}"
    return (
        f"average precision: {values}; with a score of at least 0.3, {content['missed']} of {content['objects']} "
        f"objects are missed and {content['wrong']} detections are wrong"
    )


def _mask_text(content: Mapping[str, Any]) -> str:
    return "intersection over union: " + ", ".join(f"{name} {value:.3f}" for name, value in content["iou"].items())
