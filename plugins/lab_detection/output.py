"""The output of detectors: one tensor that holds predictions and the anchors that they refer to.

A row of (B, A, K + 10) is the logits of K classes and background, four offsets, the anchor that they move, and the
stage: 1 for rows that detect, 0 for those that only propose regions to a second stage. Rows of a detector with masks
are (B, A, K + 10 + m²): before the stage come the m × m logits of a mask, and the stage of rows that have one is 1 + m.
So losses, metrics and predictions need nothing but the output, and detectors of all kinds are exchangeable.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import ShapeError
from lab_detection.boxes import decode, keep_by_decay, keep_by_rank

__all__ = [
    "IGNORED",
    "Detections",
    "Rows",
    "check_output",
    "count_classes",
    "detections",
    "final_rows",
    "has_masks",
    "masked_detections",
    "masks_of",
    "pack",
    "paste_masks",
    "split_stages",
]

IGNORED = 255
"""Value of pixels in a mask that count for nothing: the border of objects in Pascal VOC."""

EXTRA = 10
"""Columns beside the logits of classes: one of background, four offsets, four of the anchor, one of the stage."""


class Rows(NamedTuple):
    """Predictions of one stage.

    Attributes:
        logits: (B, A, K + 1), background first; of a stage that proposes, only the first two columns are meant.
        offsets: (B, A, 4).
        anchors: (B, A, 4).
        masks: (B, A, m, m) logits on a grid of cells over the box that offsets and anchor stand for, or None.
    """

    logits: Tensor
    offsets: Tensor
    anchors: Tensor
    masks: Tensor | None = None


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


def pack(
    logits: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    *,
    classes: int,
    proposes: bool = False,
    masks: Tensor | None = None,
    mask_size: int = 0,
) -> Tensor:
    """Return the rows (B, A, K + 10 + m²) of one stage; logits with fewer columns are filled up with zeros.

    Args:
        logits: (B, A, C), C at most K + 1.
        offsets: (B, A, 4).
        anchors: (A, 4) or (B, A, 4).
        classes: K.
        proposes: whether the rows only propose regions.
        masks: (B, A, m, m) logits, or None.
        mask_size: m of the other stage's masks; rows without masks are filled up with zeros.
    """
    batch, count, given = logits.shape
    filling = logits.new_zeros(batch, count, classes + 1 - given)
    edge = mask_size if masks is None else masks.shape[-1]
    cells = logits.new_zeros(batch, count, edge**2) if masks is None else masks.flatten(2)
    stage = logits.new_full((batch, count, 1), 0.0 if proposes else 1.0 + (0 if masks is None else edge))
    boxes = anchors.to(logits.dtype).expand(batch, -1, 4)
    return torch.cat([logits, filling, offsets, boxes, cells, stage], -1)


def check_output(output: Tensor, target: Tensor | None = None) -> None:
    """Raise a ShapeError unless ``output`` is that of a detector, and fits ``target`` (B, M, 5) or (B, M, 5 + S²)."""
    if output.dim() != 3 or output.shape[-1] <= EXTRA:
        raise ShapeError(
            f"the output has the shape {tuple(output.shape)}", hint="a detector's is (pictures, anchors, classes + 10)"
        )
    if target is None:
        return
    fits = target.dim() == 3 and len(target) == len(output) and target.shape[-1] >= 5
    if not fits or math.isqrt(target.shape[-1] - 5) ** 2 != target.shape[-1] - 5:
        raise ShapeError(
            f"the output has the shape {tuple(output.shape)} and the target {tuple(target.shape)}",
            hint="a target is (pictures, objects, 5), and 5 + S² with masks, for the same pictures",
        )


def masks_of(target: Tensor) -> Tensor | None:
    """Return the masks (B, M, S, S) of objects (B, M, 5 + S²), None of objects without."""
    edge = math.isqrt(target.shape[-1] - 5)
    return target[..., 5:].unflatten(-1, (edge, edge)) if edge else None


def _mask_size(output: Tensor) -> int:
    """Return the edge m of masks, 0 without."""
    return max(0, round(float(output[0, :, -1].detach().max())) - 1)


def has_masks(output: Tensor) -> bool:
    """Return whether a detector predicts masks."""
    return _mask_size(output) > 0


def count_classes(output: Tensor) -> int:
    """Return the number K of classes that a detector tells apart."""
    return int(output.shape[-1]) - EXTRA - _mask_size(output) ** 2


def _rows(part: Tensor, mask_size: int) -> Rows:
    classes = part.shape[-1] - EXTRA - mask_size**2 + 1
    logits, offsets, anchors, cells, stage = part.split([classes, 4, 4, mask_size**2, 1], -1)
    masks = cells.unflatten(-1, (mask_size, mask_size)) if mask_size and bool(stage[0, 0] > 1) else None
    return Rows(logits, offsets, anchors.detach(), masks)


def split_stages(output: Tensor) -> tuple[Rows, Rows | None]:
    """Return the rows that detect, and those that propose, or None."""
    final, edge = output[0, :, -1].detach() > 0.5, _mask_size(output)
    if bool(final.all()):
        return _rows(output, edge), None
    return _rows(output[:, final], edge), _rows(output[:, ~final], edge)


def final_rows(output: Tensor) -> Rows:
    """Return the rows that detect."""
    return split_stages(output)[0]


def detections(
    output: Tensor,
    *,
    least: float = 0.01,
    overlap: float = 0.5,
    sigma: float | None = None,
    candidates: int = 400,
    most: int = 100,
) -> Detections:
    """Return the detected objects of a batch, after non-maximum suppression class by class.

    Args:
        output: the output of a detector.
        least: the least score.
        overlap: threshold of non-maximum suppression.
        sigma: width of the Gaussian of soft suppression, which lowers scores instead; None suppresses by ``overlap``.
        candidates: number of pairs of anchor and class that are considered per picture, the best.
        most: the largest number of objects per picture.
    """
    return _ranked(output, least, overlap, sigma, candidates, most)[0]


def masked_detections(output: Tensor, *, size: tuple[int, int], **options: Any) -> tuple[Detections, Tensor]:
    """Return the detected objects of a batch, and their masks (B, D, H, W) bool in pictures of ``size`` (H, W).

    Args:
        output: the output of a detector with masks.
        size: height and width.
        **options: as for ``detections``.

    Raises:
        ShapeError: the detector has no masks.
    """
    found, masks = _ranked(output, **{**RANKING, **options})
    if masks is None:
        raise ShapeError("the output has no masks", hint="architecture mask_rcnn")
    pasted = paste_masks(masks.flatten(0, 1).sigmoid(), found.boxes.flatten(0, 1), size)
    return found, pasted.unflatten(0, found.classes.shape) & (found.classes >= 0)[..., None, None]


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return masks (N, m, m) of probabilities over boxes (N, 4) as pixels (N, H, W) bool of pictures of ``size``."""
    height, width = size
    y = (torch.arange(height, device=boxes.device, dtype=boxes.dtype) + 0.5) / height
    x = (torch.arange(width, device=boxes.device, dtype=boxes.dtype) + 0.5) / width
    left, top, right, bottom = boxes.unsqueeze(-1).unbind(1)  # (N, 1)
    tiny = torch.finfo(boxes.dtype).tiny
    across = (x - left) / (right - left).clamp(min=tiny)  # (N, W)
    down = (y - top) / (bottom - top).clamp(min=tiny)
    shape = (len(boxes), height, width)
    grid = torch.stack([across.unsqueeze(1).expand(shape), down.unsqueeze(2).expand(shape)], -1)
    # The border is repeated, and what lies outside of the box cut off: else masks would fade at the box's own edge.
    found = functional.grid_sample(
        masks.unsqueeze(1), 2 * grid - 1, padding_mode="border", align_corners=False
    ).squeeze(1)
    inside = ((grid >= 0) & (grid <= 1)).all(-1)
    return (found > 0.5) & inside


RANKING: dict[str, Any] = {"least": 0.01, "overlap": 0.5, "sigma": None, "candidates": 400, "most": 100}


def _ranked(
    output: Tensor, least: float, overlap: float, sigma: float | None, candidates: int, most: int
) -> tuple[Detections, Tensor | None]:
    """Return the detected objects, and the logits (B, D, m, m) of their masks."""
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
    apart = boxes + 2.0 * found.unsqueeze(-1).to(boxes.dtype)
    if sigma is not None:
        ranked, values = keep_by_decay(apart, flat, sigma=sigma, least=least, most=most)
        order, kept = ranked.clamp(min=0), ranked >= 0
    else:
        kept = keep_by_rank(apart, overlap) & (flat >= least)
        # Stable, so that those that are kept stay in the order of their scores.
        order = kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        kept = kept.gather(1, order)
        values = torch.where(kept, flat.gather(1, order), 0.0)
    ranked_boxes = boxes.gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
    masks = None
    if rows.masks is not None:
        chosen = anchor.gather(1, order)[..., None, None].expand(-1, -1, *rows.masks.shape[2:])
        masks = rows.masks.gather(1, chosen)
    return Detections(torch.where(kept, found.gather(1, order), -1), values, ranked_boxes), masks
