"""Arithmetic of boxes: conversions, overlaps, offsets, and suppression of duplicates.

A box is ``(left, top, right, bottom)`` in fractions of the picture's width and height, unless a function says
otherwise. Everything is tensor code over any leading dimensions, so that the boxes of a batch need no loop over its
pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lab.errors import ShapeError

__all__ = [
    "VARIANCES",
    "area",
    "decode",
    "encode",
    "generalized_iou",
    "iou",
    "keep_by_decay",
    "keep_by_rank",
    "nms",
    "paired_iou",
    "soft_nms",
    "to_centers",
    "to_corners",
]

VARIANCES = (0.1, 0.1, 0.2, 0.2)
"""Standard deviations that offsets are divided by, so that all four targets have a similar scale (Liu et al. 2016)."""

EPSILON = 1e-6
BLOCK = 256
CELLS = 1 << 16
"""Number of pairs of boxes whose overlaps are computed at once: a few arrays of them fit into a processor's cache."""


def to_centers(boxes: Tensor) -> Tensor:
    """Return boxes (..., 4) given by corners as (center x, center y, width, height).

    >>> to_centers(torch.tensor([0.0, 0.0, 4.0, 2.0])).tolist()
    [2.0, 1.0, 4.0, 2.0]
    """
    left, top, right, bottom = _columns(boxes)
    return torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], -1)


def to_corners(boxes: Tensor) -> Tensor:
    """Return boxes (..., 4) given by center, width and height as (left, top, right, bottom)."""
    x, y, width, height = _columns(boxes)
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1)


def area(boxes: Tensor) -> Tensor:
    """Return the areas (...) of boxes (..., 4)."""
    left, top, right, bottom = _columns(boxes)
    return (right - left) * (bottom - top)


def iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of all pairs.

    Shapes:
        boxes (..., N, 4), others (..., M, 4) -> (..., N, M); leading dimensions broadcast.
    """
    # Column by column: with the four numbers of a box innermost, the same takes five times as long.
    first = [each.unsqueeze(-1) for each in (*_columns(boxes), area(boxes))]
    second = [each.unsqueeze(-2) for each in (*_columns(others), area(others))]
    leading = torch.broadcast_shapes(boxes.shape[:-2], others.shape[:-2])
    count, width = boxes.shape[-2], others.shape[-2]
    rows = max(1, CELLS // max(1, leading.numel() * width))
    tracked = torch.is_grad_enabled() and (boxes.requires_grad or others.requires_grad)
    if tracked or boxes.device.type != "cpu" or rows >= count:
        return _iou_of_sides(first, second)
    # A few rows at a time stay in the processor's cache: 5,000 × 5,000 pairs take a third of the time.
    found = torch.empty(*leading, count, width, dtype=torch.result_type(boxes, others))
    for start in range(0, count, rows):
        part = [each[..., start : start + rows, :] for each in first]
        found[..., start : start + rows, :] = _iou_of_sides(part, second)
    return found


def _iou_of_sides(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """Return the intersection over union of boxes given by left, top, right, bottom and area."""
    left, top, right, bottom, size = first
    others_left, others_top, others_right, others_bottom, others_size = second
    width = torch.minimum(right, others_right).sub_(torch.maximum(left, others_left)).clamp_(min=0)
    height = torch.minimum(bottom, others_bottom).sub_(torch.maximum(top, others_top)).clamp_(min=0)
    common = width * height
    union = (size + others_size).sub_(common)
    # Boxes of no area overlap nothing; without the clamp two of them would give 0 / 0.
    return common / union.clamp_(min=torch.finfo(union.dtype).tiny)


def paired_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union (...) of boxes (..., 4) with those at the same place in ``others``."""
    return _overlap(boxes, others)[0]


def generalized_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the generalized intersection over union, in (-1, 1], of pairs (Rezatofighi et al. 2019, arXiv:1902.09630).

    From the intersection over union it subtracts the share of the smallest enclosing box that belongs to neither, so
    that boxes that do not touch have a gradient.

    Shapes:
        boxes, others (..., 4) -> (...)
    """
    ratio, union = _overlap(boxes, others)
    low, high = torch.minimum(boxes[..., :2], others[..., :2]), torch.maximum(boxes[..., 2:], others[..., 2:])
    hull = (high - low).clamp(min=0).prod(-1)
    return ratio - (hull - union) / hull.clamp(min=torch.finfo(hull.dtype).tiny)


def _overlap(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return intersection over union, and union, of boxes (..., 4) that broadcast."""
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    union = area(boxes) + area(others) - common
    # Boxes of no area overlap nothing; without the clamp two of them would give 0 / 0.
    return common / union.clamp(min=torch.finfo(union.dtype).tiny), union


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return the offsets (..., 4) from anchors to boxes: shifts in sizes of the anchor, and logarithms of scales.

    With the variances of SSD, (10 Δx / w, 10 Δy / h, 5 log(w' / w), 5 log(h' / h)), as in *Dive into Deep Learning*,
    which adds 1e-6 inside of the logarithms, too.
    """
    target, source = to_centers(boxes), to_centers(anchors)
    scale = boxes.new_tensor(VARIANCES)
    shift = (target[..., :2] - source[..., :2]) / source[..., 2:]
    growth = torch.log(EPSILON + target[..., 2:] / source[..., 2:])
    return torch.cat([shift, growth], -1) / scale


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Return the boxes (..., 4) that offsets and anchors stand for: the inverse of ``encode``."""
    source = to_centers(anchors)
    moved = offsets * offsets.new_tensor(VARIANCES)
    # A fresh network may predict large growths; exp would overflow, and one infinite box makes a loss NaN.
    size = moved[..., 2:].clamp(max=4.0).exp() * source[..., 2:]
    return to_corners(torch.cat([moved[..., :2] * source[..., 2:] + source[..., :2], size], -1))


def nms(
    boxes: Tensor, scores: Tensor, threshold: float = 0.5, *, groups: Tensor | None = None, most: int | None = None
) -> Tensor:
    """Non-maximum suppression: indices of the boxes that no better box overlaps by more than ``threshold``.

    A box is dropped if it overlaps one that is kept and has a higher score. Boxes are decided block by block, against
    all that were kept before; within a block all are decided at once, by iteration to a fixed point.

    Args:
        boxes: (N, 4).
        scores: (N,).
        threshold: the largest intersection over union of two boxes that are both kept.
        groups: (N,) integers, such as classes; boxes of different groups do not suppress each other.
        most: stop when this many are kept.

    Returns:
        indices (K,), the highest score first; boxes of equal scores in the order in which they are given.
    """
    if boxes.dim() != 2 or boxes.shape[-1] != 4 or scores.shape != boxes.shape[:1]:
        raise ShapeError(
            f"boxes have the shape {tuple(boxes.shape)} and scores {tuple(scores.shape)}", hint="(N, 4) and (N,)"
        )
    order = scores.argsort(descending=True, stable=True)
    sorted_boxes = _apart(boxes, groups)[order] if groups is not None else boxes[order]
    kept: list[Tensor] = []
    kept_boxes = sorted_boxes[:0]
    for start in range(0, len(order), BLOCK):
        block = sorted_boxes[start : start + BLOCK]
        rows = torch.arange(start, start + len(block), device=boxes.device)
        if len(kept_boxes):
            free = ~_overlap_more(block, kept_boxes, threshold).any(-1)
            block, rows = block[free], rows[free]
        chosen = keep_by_rank(block, threshold)
        kept.append(rows[chosen])
        kept_boxes = torch.cat([kept_boxes, block[chosen]])
        if most is not None and len(kept_boxes) >= most:
            break
    found = order[torch.cat(kept)] if kept else order
    return found if most is None else found[:most]


def keep_by_rank(boxes: Tensor, threshold: float) -> Tensor:
    """Return which of boxes (..., N, 4), the best first, survive suppression, as bool (..., N)."""
    count = boxes.shape[-2]
    # The result is the fixed point of "kept if no better one that is kept overlaps it"; the first k boxes are right
    # after k iterations, and chains of suppression are short, so that few are needed.
    better = torch.ones(count, count, dtype=torch.bool, device=boxes.device).tril(-1)
    suppresses = (_overlap_more(boxes, boxes, threshold) & better).to(torch.float32)
    kept = torch.ones(boxes.shape[:-1], dtype=torch.bool, device=boxes.device)
    for _ in range(count):
        now = (suppresses @ kept.unsqueeze(-1).to(torch.float32)).squeeze(-1) == 0
        if torch.equal(now, kept):
            break
        kept = now
    return kept


def _overlap_more(boxes: Tensor, others: Tensor, threshold: float) -> Tensor:
    """Return for all pairs (..., N, M) whether ``iou(boxes, others) > threshold``, without computing it."""
    left, top, right, bottom = (each.unsqueeze(-1) for each in _columns(boxes.detach()))
    others_left, others_top, others_right, others_bottom = (each.unsqueeze(-2) for each in _columns(others.detach()))
    width = torch.minimum(right, others_right).sub_(torch.maximum(left, others_left))
    height = torch.minimum(bottom, others_bottom).sub_(torch.maximum(top, others_top)).clamp_(min=0)
    # I / (A + B - I) > t where I > t / (1 + t) · (A + B); of two negative lengths, one clamp makes the product 0.
    share = threshold / (1 + threshold)
    least = (share * area(boxes.detach())).unsqueeze(-1) + (share * area(others.detach())).unsqueeze(-2)
    return width.mul_(height) > least


def _apart(boxes: Tensor, groups: Tensor) -> Tensor:
    """Move the boxes of each group so far that those of different groups cannot overlap."""
    span = (boxes.max() - boxes.min() + 1) if boxes.numel() else boxes.new_ones(())
    return boxes + (groups.to(boxes.dtype) * span).unsqueeze(-1)


def soft_nms(
    boxes: Tensor, scores: Tensor, *, sigma: float = 0.5, least: float = 0.001, most: int | None = None
) -> tuple[Tensor, Tensor]:
    """Soft non-maximum suppression with a Gaussian (Bodla et al. 2017, arXiv:1704.04503).

    Instead of dropping boxes, the score of each falls by exp(-IoU² / sigma) for every better box.

    Args:
        boxes: (N, 4).
        scores: (N,).
        sigma: width of the Gaussian; smaller suppresses more.
        least: boxes whose score falls below are dropped.
        most: stop when this many are kept.

    Returns:
        indices (K,), the highest new score first, and the new scores (K,).
    """
    indices, values = keep_by_decay(boxes[None], scores[None], sigma=sigma, least=least, most=most)
    kept = indices[0] >= 0
    return indices[0][kept], values[0][kept]


def keep_by_decay(
    boxes: Tensor, scores: Tensor, *, sigma: float, least: float = 0.001, most: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the ranked indices (B, K) of boxes (B, N, 4) after soft suppression, -1 as padding, and scores (B, K)."""
    remaining, columns = scores.clone(), _columns(boxes)
    indices, values = [], []
    for _ in range(scores.shape[1] if most is None else min(most, scores.shape[1])):
        value, best = remaining.max(1, keepdim=True)
        found = value >= least
        # Scores only fall, so that nothing can follow.
        if not bool(found.any()):
            break
        indices.append(torch.where(found, best, -1))
        values.append(torch.where(found, value, 0.0))
        chosen = torch.stack([each.gather(1, best) for each in columns], -1)  # (B, 1, 4)
        decay = torch.exp(-iou(chosen, boxes).squeeze(1).square() / sigma)
        remaining = (remaining * decay).scatter(1, best, -1.0)
    if not indices:
        nothing = scores.new_zeros(len(scores), 0)
        return nothing.long(), nothing
    return torch.cat(indices, 1), torch.cat(values, 1)


def _columns(boxes: Tensor) -> tuple[Tensor, ...]:
    if boxes.shape[-1:] != (4,):
        raise ShapeError(f"boxes have the shape {tuple(boxes.shape)}, expected (..., 4)")
    return tuple(each.contiguous() for each in boxes.unbind(-1))
