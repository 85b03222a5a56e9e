"""The output of detectors: one tensor that holds predictions and the anchors that they refer to.

A row of (B, A, K + 10) is the logits of K classes and background, four offsets, the anchor that they move, and the
stage: 1 for rows that detect, 0 for those that only propose regions to a second stage. So losses, metrics and
predictions need nothing but the output, and detectors with one stage and with two are exchangeable.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lab.errors import ShapeError
from lab_detection.boxes import decode, keep_by_rank

__all__ = ["Detections", "Rows", "check_output", "detections", "final_rows", "pack", "split_stages"]

EXTRA = 10
"""Columns beside the logits of classes: one of background, four offsets, four of the anchor, one of the stage."""


class Rows(NamedTuple):
    """Predictions of one stage.

    Attributes:
        logits: (B, A, K + 1), background first; of a stage that proposes, only the first two columns are meant.
        offsets: (B, A, 4).
        anchors: (B, A, 4).
    """

    logits: Tensor
    offsets: Tensor
    anchors: Tensor


class Detections(NamedTuple):
    """Detected objects, the highest score first.

    Attributes:
        classes: (B, D) class numbers from 0, -1 where there are fewer than D objects.
        scores: (B, D) probabilities.
        boxes: (B, D, 4) in fractions of the picture.
    """

    classes: Tensor
    scores: Tensor
    boxes: Tensor


def pack(logits: Tensor, offsets: Tensor, anchors: Tensor, *, classes: int, proposes: bool = False) -> Tensor:
    """Return the rows (B, A, K + 10) of one stage; logits with fewer columns are filled up with zeros.

    Args:
        logits: (B, A, C), C at most K + 1.
        offsets: (B, A, 4).
        anchors: (A, 4) or (B, A, 4).
        classes: K.
        proposes: whether the rows only propose regions.
    """
    batch, count, given = logits.shape
    filling = logits.new_zeros(batch, count, classes + 1 - given)
    stage = logits.new_full((batch, count, 1), 0.0 if proposes else 1.0)
    return torch.cat([logits, filling, offsets, anchors.to(logits.dtype).expand(batch, -1, 4), stage], -1)


def check_output(output: Tensor, target: Tensor | None = None) -> None:
    """Raise a ShapeError unless ``output`` is that of a detector, and fits ``target`` (B, M, 5)."""
    if output.dim() != 3 or output.shape[-1] <= EXTRA:
        raise ShapeError(
            f"the output has the shape {tuple(output.shape)}", hint="a detector's is (pictures, anchors, classes + 10)"
        )
    if target is not None and (target.dim() != 3 or target.shape[-1] != 5 or len(target) != len(output)):
        raise ShapeError(
            f"the output has the shape {tuple(output.shape)} and the target {tuple(target.shape)}",
            hint="a target is (pictures, objects, 5), for the same pictures",
        )


def _rows(part: Tensor) -> Rows:
    classes = part.shape[-1] - EXTRA + 1
    logits, offsets, anchors, _ = part.split([classes, 4, 4, 1], -1)
    return Rows(logits, offsets, anchors.detach())


def split_stages(output: Tensor) -> tuple[Rows, Rows | None]:
    """Return the rows that detect, and those that propose, or None."""
    final = output[0, :, -1].detach() > 0.5
    if bool(final.all()):
        return _rows(output), None
    return _rows(output[:, final]), _rows(output[:, ~final])


def final_rows(output: Tensor) -> Rows:
    """Return the rows that detect."""
    return split_stages(output)[0]


def detections(
    output: Tensor, *, least: float = 0.01, overlap: float = 0.5, candidates: int = 400, most: int = 100
) -> Detections:
    """Return the detected objects of a batch, after non-maximum suppression class by class.

    Args:
        output: the output of a detector.
        least: the least score.
        overlap: threshold of non-maximum suppression.
        candidates: number of pairs of anchor and class that are considered per picture, the best.
        most: the largest number of objects per picture.
    """
    check_output(output)
    rows = final_rows(output)
    scores = rows.logits.softmax(-1)[..., 1:]  # (B, A, K)
    classes = scores.shape[-1]
    flat, index = scores.flatten(1).sort(dim=1, descending=True, stable=True)
    flat, index = flat[:, :candidates], index[:, :candidates]
    anchor, found = index // classes, index % classes
    boxes = decode(rows.offsets, rows.anchors).clamp(0, 1)
    boxes = boxes.gather(1, anchor.unsqueeze(-1).expand(-1, -1, 4))
    # Boxes lie in the unit square: moved by twice the class number, those of different classes cannot overlap.
    kept = keep_by_rank(boxes + 2.0 * found.unsqueeze(-1).to(boxes.dtype), overlap) & (flat >= least)
    # Stable, so that those that are kept stay in the order of their scores.
    order = kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    kept = kept.gather(1, order)
    return Detections(
        torch.where(kept, found.gather(1, order), -1),
        torch.where(kept, flat.gather(1, order), 0.0),
        boxes.gather(1, order.unsqueeze(-1).expand(-1, -1, 4)),
    )
