"""Losses of detectors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import ParameterError
from lab.training.means import mean_over
from lab_detection.anchors import assign, hard_negatives
from lab_detection.boxes import decode, generalized_iou
from lab_detection.layers import roi_align
from lab_detection.output import Rows, check_output, masks_of, split_stages

__all__ = ["detection_loss"]

BoxLoss = Literal["l1", "smooth_l1", "giou"]
Per = Literal["object", "anchor"]


def _pictures(output: Tensor, target: Tensor) -> int:
    return len(target)


@mean_over(_pictures)
def detection_loss(
    output: Tensor,
    target: Tensor,
    *,
    negatives: float | None = 3.0,
    focus: float = 0.0,
    box_loss: BoxLoss = "smooth_l1",
    box_weight: float = 1.0,
    threshold: float = 0.5,
    per: Per = "object",
    mask_weight: float = 1.0,
) -> Tensor:
    """Loss of a detector: cross-entropy of the classes of anchors, plus a loss of the boxes of those with an object.

    Where both the detector and the objects have masks, the mean binary cross-entropy of masks is added.

    The mean over pictures of sums that are divided by the picture's number of anchors with an object (at least 1), as
    in SSD. A detector with two stages has the sum of the losses of both; in the first, all objects are one class, and
    in the second an object need not have a proposal.

    Args:
        output: the output of a detector; see ``lab_detection.output``.
        target: objects, rows (class number, left, top, right, bottom), -1 as padding.
        negatives: background anchors per anchor with an object, those with the largest loss; None counts all.
        focus: exponent γ of the focal loss −(1 − p)^γ log p (Lin et al. 2017); 0 is cross-entropy.
        box_loss: ``l1`` and ``smooth_l1`` of the offsets (mean over four), or ``giou``, 1 minus the generalized
            intersection over union of the boxes.
        box_weight: weight of the boxes against the classes.
        threshold: the least intersection over union of an anchor with its object.
        per: what sums are divided by: ``object`` is the number of anchors with an object, ``anchor`` that of all, as in
            *Dive into Deep Learning*, 13.7, which counts all negatives and takes ``l1``.
        mask_weight: weight of the masks against the classes.

    Shapes:
        output (B, A, K + 10), target (B, M, 5) -> scalar; with masks (B, A, K + 10 + m²) and (B, M, 5 + S²)
    """
    check_output(output, target)
    if box_loss not in ("l1", "smooth_l1", "giou"):
        raise ParameterError(
            f"unknown box_loss '{box_loss}'", where="loss 'detection_loss'", hint="l1, smooth_l1, giou"
        )
    if per not in ("object", "anchor"):
        raise ParameterError(f"unknown per '{per}'", where="loss 'detection_loss'", hint="object, anchor")
    final, proposing = split_stages(output)
    options = (negatives, focus, box_loss, box_weight, threshold, per)
    masks = mask_weight * _mask_loss(final, target, threshold)
    if proposing is None:
        return _stage_loss(final, target, True, *options) + masks
    # An object of any class is of the only class of the first stage.
    things = torch.cat([target[..., :1].clamp(max=0), target[..., 1:5]], -1)
    first = _stage_loss(proposing._replace(logits=proposing.logits[..., :2]), things, True, *options)
    return first + _stage_loss(final, target, False, *options) + masks


def _stage_loss(
    rows: Rows,
    target: Tensor,
    force: bool,
    negatives: float | None,
    focus: float,
    box_loss: BoxLoss,
    box_weight: float,
    threshold: float,
    per: Per,
) -> Tensor:
    wanted = assign(rows.anchors, target, threshold=threshold, force=force)
    positive = wanted.classes > 0
    count = positive.sum(1).clamp(min=1) if per == "object" else positive.shape[1]
    classes = functional.cross_entropy(rows.logits.transpose(1, 2), wanted.classes, reduction="none")  # (B, A)
    if focus:
        # The probability of the right class is exp(-cross-entropy).
        classes = (1 - torch.exp(-classes)).clamp(min=0) ** focus * classes
    if negatives is not None:
        chosen = positive | hard_negatives(classes, positive, negatives)
        classes = classes * chosen
    if box_loss == "giou":
        boxes = 1 - generalized_iou(decode(rows.offsets, rows.anchors), wanted.boxes)
    else:
        measure = functional.l1_loss if box_loss == "l1" else functional.smooth_l1_loss
        boxes = measure(rows.offsets, wanted.offsets, reduction="none").mean(-1)
    boxes = torch.where(positive, boxes, torch.zeros_like(boxes))
    return ((classes.sum(1) + box_weight * boxes.sum(1)) / count).mean()


def _mask_loss(rows: Rows, target: Tensor, threshold: float) -> Tensor:
    """Return the binary cross-entropy of the masks of rows with an object, a mean over pictures; 0 without masks."""
    masks = masks_of(target)
    if rows.masks is None or masks is None:
        return rows.logits.new_zeros(())
    wanted = assign(rows.anchors, target, threshold=threshold, force=False)
    pictures, numbers = (wanted.classes > 0).nonzero(as_tuple=True)
    if not len(pictures):
        return 0.0 * rows.masks.sum()
    # Masks lie in the boxes that are predicted, which get no gradient from them.
    boxes = decode(rows.offsets, rows.anchors).detach()[pictures, numbers].clamp(0, 1)
    truths = masks[pictures, wanted.objects[pictures, numbers]].unsqueeze(1)  # (P, 1, S, S)
    cells = roi_align(truths, boxes.unsqueeze(1), rows.masks.shape[-1])[:, 0, 0]
    losses = functional.binary_cross_entropy_with_logits(rows.masks[pictures, numbers], cells, reduction="none")
    count = torch.bincount(pictures, minlength=len(target)).clamp(min=1)
    return (losses.mean((1, 2)) / count[pictures]).sum() / len(target)
