"""Metrics of detectors and of segmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.errors import ParameterError, ShapeError
from lab_detection.anchors import assign
from lab_detection.output import (
    IGNORED,
    Detections,
    check_output,
    count_classes,
    detections,
    final_rows,
    masked_detections,
    masks_of,
)

__all__ = [
    "BoxError",
    "ClassError",
    "CocoMeanAP",
    "Curve",
    "MaskAP",
    "Matches",
    "MeanAP",
    "MeanIoU",
    "curves",
    "match",
    "match_masks",
]

COCO_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALLS = np.linspace(0, 1, 101)


class Matches(NamedTuple):
    """Detections of one class in one picture, compared with the objects.

    Attributes:
        scores: (D,), the highest first.
        right: (T, D) bool, whether a detection is of an object, for each threshold.
        objects: number of objects.
    """

    scores: np.ndarray
    right: np.ndarray
    objects: int


def match(scores: np.ndarray, boxes: np.ndarray, truths: np.ndarray, thresholds: Sequence[float]) -> Matches:
    """Match detections (D, 4) of one class in one picture with objects (M, 4), as COCO's evaluation does.

    In the order of their scores, each takes the object that it overlaps most among those that are not taken, if by at
    least the threshold.
    """
    low, high = np.maximum(boxes[:, None, :2], truths[None, :, :2]), np.minimum(boxes[:, None, 2:], truths[None, :, 2:])
    common = (high - low).clip(0).prod(-1)
    areas = [(each[:, 2:] - each[:, :2]).prod(-1) for each in (boxes, truths)]
    overlap = common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-12)
    return match_overlaps(scores, overlap, thresholds)


def match_masks(scores: np.ndarray, masks: np.ndarray, truths: np.ndarray, thresholds: Sequence[float]) -> Matches:
    """Match the masks (D, H, W) of detections with those (M, H, W) of objects, both bool, as ``match`` does boxes."""
    flat, wanted = (each.reshape(len(each), math.prod(each.shape[1:])).astype(np.float32) for each in (masks, truths))
    common = flat @ wanted.T
    union = flat.sum(1)[:, None] + wanted.sum(1)[None] - common
    return match_overlaps(scores, common / np.maximum(union, 1), thresholds)


def match_overlaps(scores: np.ndarray, overlap: np.ndarray, thresholds: Sequence[float]) -> Matches:
    """Match detections with objects by their overlaps (D, M); see ``match``."""
    order = np.argsort(-scores, kind="mergesort")
    scores, overlap = scores[order], overlap[order]
    right = np.zeros((len(thresholds), len(scores)), bool)
    count = overlap.shape[1]
    if not count or not len(scores):
        return Matches(scores, right, count)
    # COCO's own guard against thresholds of 1.
    least = np.minimum(np.asarray(thresholds), 1 - 1e-10)
    taken = np.zeros((len(thresholds), count), bool)
    every = np.arange(len(thresholds))
    for number in range(len(scores)):
        free = np.where(taken, -1.0, overlap[number][None])
        # The last of equal overlaps, as in COCO's code.
        best = free.shape[1] - 1 - free[:, ::-1].argmax(1)
        right[:, number] = free[every, best] >= least
        taken[every[right[:, number]], best[right[:, number]]] = True
    return Matches(scores, right, count)


class Curve(NamedTuple):
    """Precision at every recall, of one class at one threshold.

    Attributes:
        precision: (101,) at recalls 0, 0.01 … 1, interpolated.
        average: average precision.
        recall: the largest recall that is reached.
    """

    precision: np.ndarray
    average: float
    recall: float


def curves(found: Sequence[Matches]) -> list[Curve] | None:
    """Return the curve of a class for each threshold, from its matches in all pictures; None without objects."""
    total = sum(each.objects for each in found)
    if not total:
        return None
    scores = np.concatenate([each.scores for each in found])
    order = np.argsort(-scores, kind="mergesort")
    right = np.concatenate([each.right for each in found], 1)[:, order]
    drawn = []
    for row in right:
        hits = np.cumsum(row)
        recall, precision = hits / total, hits / np.arange(1, len(row) + 1)
        # The best precision at this recall or any larger one.
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        place = np.searchsorted(recall, RECALLS, side="left")
        at = np.append(envelope, 0.0)[np.minimum(place, len(envelope))]
        drawn.append(Curve(at, float(at.mean()), float(recall[-1]) if len(recall) else 0.0))
    return drawn


class MeanAP:
    """Mean average precision of COCO (Lin et al. 2014): the mean over classes and thresholds of overlap.

    The precision is interpolated at 101 recalls; at most 100 detections of a picture count; classes without an object
    are left out. Equal to pycocotools' evaluation of all areas.

    Args:
        overlap: the least intersection over union of a detection with its object: 0.5 for mAP@.5; None is the mean over
            0.5, 0.55 … 0.95, mAP@[.5:.95].
        suppression: threshold of non-maximum suppression: the largest overlap of two detections of one class.
        sigma: width of the Gaussian of soft suppression, which lowers the scores of overlapping detections instead of
            dropping them; None suppresses by the threshold.
    """

    higher_is_better = True
    undefined: str = ""

    def __init__(self, *, overlap: float | None = 0.5, suppression: float = 0.5, sigma: float | None = None) -> None:
        if overlap is not None and not 0 < overlap <= 1:
            raise ParameterError(f"overlap must lie in (0, 1], got {overlap}", where="metric 'map'")
        if not 0 < suppression <= 1 or (sigma is not None and sigma <= 0):
            raise ParameterError(
                f"suppression={suppression}, sigma={sigma}",
                where="metric 'map'",
                hint="a threshold in (0, 1], and a width above 0 or None",
            )
        self.thresholds = COCO_THRESHOLDS if overlap is None else (overlap,)
        self.suppression, self.sigma = suppression, sigma
        self.reset()

    def reset(self) -> None:
        """Forget all pictures."""
        self._matches: list[list[Matches]] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch: the output of a detector, and objects (B, M, 5)."""
        check_output(output, target)
        found = [each.detach().cpu().numpy() for each in self._detections(output)]
        classes = count_classes(output)
        for kinds, scores, boxes, objects in zip(*found, target.cpu().numpy(), strict=True):
            self.add(kinds, scores, boxes, objects, classes)

    def _detections(self, output: Tensor) -> Detections:
        return detections(output.float(), overlap=self.suppression, sigma=self.sigma)

    def add(self, kinds: np.ndarray, scores: np.ndarray, boxes: np.ndarray, objects: np.ndarray, classes: int) -> None:
        """Add one picture: detections (D,), (D,), (D, 4), and objects (M, 5)."""
        self._add(kinds, scores, boxes, objects[:, 0], objects[:, 1:5], classes, match)

    def _add(
        self,
        kinds: np.ndarray,
        scores: np.ndarray,
        places: np.ndarray,
        truth_kinds: np.ndarray,
        truths: np.ndarray,
        classes: int,
        compare: Callable[..., Matches],
    ) -> None:
        while len(self._matches) < classes:
            self._matches.append([])
        for number in set(kinds.tolist() + truth_kinds.astype(int).tolist()) - {-1}:
            chosen, wanted = kinds == number, truth_kinds == number
            self._matches[number].append(compare(scores[chosen], places[chosen], truths[wanted], self.thresholds))

    @property
    def has_pictures(self) -> bool:
        """Whether a picture with an object or a detection was added."""
        return any(self._matches)

    def class_curves(self) -> list[list[Curve] | None]:
        """Return the curves of every class, None for those without an object."""
        return [curves(each) if each else None for each in self._matches]

    def compute(self) -> float:
        """Return the mean average precision, NaN if there is no object."""
        found = [curve.average for each in self.class_curves() if each is not None for curve in each]
        self.undefined = "" if found else "there is no object"
        return float(np.mean(found)) if found else math.nan


class CocoMeanAP(MeanAP):
    """Mean average precision of COCO over the thresholds 0.5, 0.55 … 0.95, mAP@[.5:.95]; see ``MeanAP``."""

    def __init__(self) -> None:
        super().__init__(overlap=None)


class MaskAP(MeanAP):
    """Mean average precision of COCO with the intersection over union of masks instead of boxes; see ``MeanAP``.

    A detector's masks are enlarged to the grid of the objects' masks, which in drawn pictures has the pixels' size.

    Raises:
        ShapeError: the detector or the objects have no masks.
    """

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch: the output of a detector with masks, and objects (B, M, 5 + S²)."""
        check_output(output, target)
        truths = masks_of(target)
        if truths is None:
            raise ShapeError("the objects have no masks", where="metric 'mask_map'", hint="dataset.instances=true")
        found, masks = masked_detections(
            output.float(), size=(truths.shape[-2], truths.shape[-1]), overlap=self.suppression, sigma=self.sigma
        )
        arrays = [
            each.detach().cpu().numpy() for each in (found.classes, found.scores, masks, target[..., 0], truths > 0.5)
        ]
        classes = count_classes(output)
        for each in zip(*arrays, strict=True):
            self.add_masks(*each, classes)

    def add_masks(
        self,
        kinds: np.ndarray,
        scores: np.ndarray,
        masks: np.ndarray,
        truth_kinds: np.ndarray,
        truths: np.ndarray,
        classes: int,
    ) -> None:
        """Add one picture: detections (D,), (D,), (D, H, W), and objects (M,), (M, H, W); masks are bool."""
        self._add(kinds, scores, masks, truth_kinds, truths, classes, match_masks)


class _OverAnchors:
    """Base class: a mean over anchors, as in *Dive into Deep Learning*, 13.7."""

    higher_is_better = False
    undefined: str = ""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._sum = self._count = 0.0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch: the output of a detector, and objects (B, M, 5)."""
        check_output(output, target)
        total, count = self.batch_sum(output, target)
        self._sum += float(total)
        self._count += count

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        """Return the sum of a batch, and how many values it is of."""
        raise NotImplementedError

    @property
    def metric_state(self) -> dict[str, Any]:
        """Return the accumulated state, for ``merge_state`` on another rank."""
        return {"sum": self._sum, "count": self._count}

    def merge_state(self, incoming: Mapping[str, Any]) -> None:
        """Merge the state of another rank."""
        self._sum += float(incoming["sum"])
        self._count += float(incoming["count"])

    def compute(self) -> float:
        """Return the mean, NaN if nothing was added."""
        self.undefined = "" if self._count else "there is no prediction"
        return self._sum / self._count if self._count else math.nan


class ClassError(_OverAnchors):
    """Fraction of anchors whose most probable class is not the assigned one, background included."""

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        rows = final_rows(output)
        wanted = assign(rows.anchors, target).classes
        return (rows.logits.argmax(-1) != wanted).sum(), wanted.numel()


class BoxError(_OverAnchors):
    """Mean absolute error of offsets, over all anchors; those of background count as 0."""

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        rows = final_rows(output)
        wanted = assign(rows.anchors, target)
        positive = (wanted.classes > 0).unsqueeze(-1)
        return ((rows.offsets - wanted.offsets).abs() * positive).double().sum(), wanted.offsets.numel()


class MeanIoU:
    """Mean intersection over union of classes, over all pixels of the split; background is a class.

    Pixels with the target 255 count for nothing; classes that neither occur nor are predicted are left out.
    """

    higher_is_better = True
    undefined: str = ""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all pictures."""
        self._counts: Tensor | None = None

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch: logits (B, H, W, K), and class numbers (B, H, W)."""
        if output.shape[:-1] != target.shape:
            raise ShapeError(
                f"the output has the shape {tuple(output.shape)} and the target {tuple(target.shape)}",
                hint="(B, H, W, K) and (B, H, W)",
            )
        classes = output.shape[-1]
        counted = target != IGNORED
        cells = target[counted] * classes + output.argmax(-1)[counted]
        counts = torch.bincount(cells, minlength=classes * classes).reshape(classes, classes).cpu()
        self._counts = counts if self._counts is None else self._counts + counts

    @property
    def metric_state(self) -> dict[str, Any]:
        """Return the accumulated state, for ``merge_state`` on another rank."""
        return {"counts": self._counts}

    def merge_state(self, incoming: Mapping[str, Any]) -> None:
        """Merge the state of another rank."""
        counts = incoming["counts"]
        if counts is not None:
            self._counts = counts if self._counts is None else self._counts + counts

    def by_class(self) -> Tensor:
        """Return the intersection over union (K,) of every class, NaN for those that do not occur."""
        if self._counts is None:
            return torch.zeros(0)
        common = self._counts.diagonal().double()
        union = self._counts.sum(0) + self._counts.sum(1) - self._counts.diagonal()
        return common / union

    def compute(self) -> float:
        """Return the mean over classes, NaN without a pixel."""
        found = self.by_class()
        found = found[~found.isnan()]
        self.undefined = "" if len(found) else "no pixel counts"
        return float(found.mean()) if len(found) else math.nan
