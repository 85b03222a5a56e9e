"""Anchor boxes, and their assignment to the objects of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lab.errors import ParameterError
from lab_detection.boxes import encode, iou

__all__ = ["Assignment", "assign", "hard_negatives", "multibox_prior"]


def multibox_prior(
    height: int,
    width: int,
    sizes: Sequence[float],
    ratios: Sequence[float],
    *,
    aspect: float = 1.0,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return anchors centered on every pixel of a feature map, as in *Dive into Deep Learning*, 13.4.

    Of the n sizes s and m ratios r, the n + m - 1 pairs with the first size or the first ratio are used. An anchor is
    s √r · aspect wide and s / √r high, in fractions of the picture.

    Args:
        height, width: size of the feature map.
        sizes: sizes as a fraction of the picture's height.
        ratios: width divided by height, in pixels.
        aspect: height of the picture divided by its width, so that ratios hold in pixels.
        device, dtype: of the anchors.

    Returns:
        (height · width · (n + m - 1), 4); pixels row by row, all anchors of one together.
    """
    if not sizes or not ratios or min(*sizes, *ratios) <= 0:
        raise ParameterError(f"sizes={list(sizes)}, ratios={list(ratios)}", hint="at least one each, all above 0")
    options = {"device": device, "dtype": dtype}
    size, ratio = torch.tensor(sizes, **options), torch.tensor(ratios, **options)
    scales = torch.cat([size, size[:1].expand(len(ratio) - 1)])
    roots = torch.cat([ratio[:1].sqrt().expand(len(size)), ratio[1:].sqrt()])
    half = torch.stack([scales * roots * aspect, scales / roots], -1) / 2  # (n + m - 1, 2)
    y = (torch.arange(height, **options) + 0.5) / height
    x = (torch.arange(width, **options) + 0.5) / width
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    center = torch.stack([columns, rows], -1).reshape(-1, 1, 2)
    return torch.cat([center - half, center + half], -1).reshape(-1, 4)


class Assignment(NamedTuple):
    """What each anchor of a batch should predict.

    Attributes:
        classes: (B, A) class numbers counted from 1; 0 is background.
        offsets: (B, A, 4) offsets to the object's box; 0 for background.
        boxes: (B, A, 4) the object's box; the anchor itself for background.
        objects: (B, A) the row of the object in the target, -1 for background.
    """

    classes: Tensor
    offsets: Tensor
    boxes: Tensor
    objects: Tensor


def assign(anchors: Tensor, target: Tensor, *, threshold: float = 0.5, force: bool = True) -> Assignment:
    """Assign to every anchor of a batch the object that it overlaps most, or background.

    Each object first gets its best anchor, the largest overlap of all first, so that none is left without; every other
    anchor gets the object that it overlaps most, if by at least ``threshold``.

    Args:
        anchors: (A, 4), or (B, A, 4) if they differ between pictures.
        target: (B, M, 5), rows (class number, left, top, right, bottom); rows of -1 are padding. Further columns are
            not read.
        threshold: the least intersection over union.
        force: give each object its best anchor, however little they overlap.
    """
    boxes, present = target[..., 1:5], target[..., 0] >= 0
    anchors = anchors.expand(len(target), -1, 4)
    if not target.shape[1]:
        nothing = anchors.new_full(anchors.shape[:2], -1, dtype=torch.long)
        return Assignment(nothing + 1, torch.zeros_like(anchors), anchors, nothing)
    overlap = iou(anchors, boxes.to(anchors.dtype)).masked_fill(~present[:, None, :], -1)  # (B, A, M)
    best, objects = overlap.max(-1)
    objects = torch.where(best >= threshold, objects, -1)
    if force:
        chosen = _best_anchors(overlap)  # (B, M)
        rows = torch.arange(target.shape[1], device=target.device).expand_as(chosen)
        # Absent objects are written to a column beyond the anchors, which is cut off.
        place = torch.where(present, chosen, overlap.shape[1])
        extended = torch.cat([objects, objects.new_full((len(objects), 1), -1)], 1)
        objects = extended.scatter(1, place, rows)[:, :-1]
    found = objects >= 0
    index = objects.clamp(min=0)
    classes = torch.where(found, target[..., 0].gather(1, index).long() + 1, 0)
    matched = boxes.to(anchors.dtype).gather(1, index.unsqueeze(-1).expand(-1, -1, 4))
    matched = torch.where(found.unsqueeze(-1), matched, anchors)
    offsets = encode(matched, anchors).masked_fill(~found.unsqueeze(-1), 0)
    return Assignment(classes, offsets, matched, objects)


def _best_anchors(overlap: Tensor) -> Tensor:
    """Return the anchor (B, M) of each object for overlaps (B, A, M), each anchor at most once."""
    chosen = overlap.argmax(1)
    ordered = chosen.masked_fill(overlap.amax(1) < 0, -1).sort(1).values
    shared = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    # Where no two objects want the same anchor, the best of each is the answer: the usual case.
    if not bool(shared.any()):
        return chosen
    remaining, chosen = overlap.clone(), torch.zeros_like(chosen)
    batch, _anchors, objects = overlap.shape
    rows = torch.arange(batch, device=overlap.device)
    for _ in range(objects):
        best, flat = remaining.reshape(batch, -1).max(1)
        anchor, thing = flat // objects, flat % objects
        done = best < 0
        chosen[rows, thing] = torch.where(done, chosen[rows, thing], anchor)
        # Pictures with fewer objects have only negative overlaps left; masking them again changes nothing.
        remaining[rows[~done], anchor[~done]] = -1
        remaining[rows[~done], :, thing[~done]] = -1
    return chosen


def hard_negatives(loss: Tensor, positive: Tensor, ratio: float, *, least: int = 3) -> Tensor:
    """Return the background anchors (B, A) with the largest losses, ``ratio`` for each positive (Liu et al. 2016).

    Args:
        loss: (B, A) loss of every anchor.
        positive: (B, A) bool.
        ratio: negatives per positive, picture by picture.
        least: negatives of a picture without objects.
    """
    count = (ratio * positive.sum(1)).long().clamp(min=least)
    ordered = loss.detach().masked_fill(positive, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(ordered)
    rank.scatter_(1, ordered, torch.arange(loss.shape[1], device=loss.device).expand_as(ordered))
    return (rank < count.unsqueeze(1)) & ~positive
