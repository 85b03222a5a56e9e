"""Artefacts of a run: pictures with boxes, precision-recall curves, worst misses; pictures with masks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from lab import Callback
from lab.errors import LabError
from lab_detection.data import BoxData, MaskData
from lab_detection.metrics import MaskAP, MeanAP, MeanIoU
from lab_detection.output import detections, has_masks, masked_detections, masks_of

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["BOXES", "MASKS", "DrawBoxes", "DrawMasks"]

BOXES = "boxes.json"
MASKS = "masks.json"
LEAST_SHOWN = 0.3


class DrawBoxes(Callback):
    """Plot detections, precision-recall curves and the worst misses of the validation pictures when training ends.

    The artefacts are ``detections.png``, ``curves.png``, ``misses.png`` and ``boxes.json``; the report and TensorBoard
    show them. A picture misses as many objects as it has, less those that are found with a score of at least 0.3 and an
    overlap of 0.5, plus its wrong detections of that score. Masks are drawn where the detector has them.

    Args:
        count: number of pictures per plot.
    """

    observer = True

    def __init__(self, *, count: int = 8) -> None:
        self.count = count

    def check(self, learner: Learner) -> None:
        if not isinstance(learner.data, BoxData):
            raise LabError("the callback 'draw_boxes' needs pictures with boxes", where=type(learner.data).__name__)

    def after_fit(self, learner: Learner) -> None:
        if learner.folder is None or not learner.is_finished:
            return
        from lab_detection.plots import Shown, as_png, plot_boxes, plot_curves

        data: Any = learner.data
        metric, mask_metric, found, wrong = MeanAP(), MaskAP(), [], []
        with learner.evaluating():
            for images, *given, target in learner.valid_loader("valid"):
                output = learner.model(*(each.to(learner.device) for each in (images, *given))).float()
                drawn: Any = [None] * len(target)
                if has_masks(output):
                    every, masks = masked_detections(output, size=(images.shape[2], images.shape[3]))
                    drawn = masks.cpu().numpy()
                    if masks_of(target) is not None:
                        mask_metric.update(output, target.to(output.device))
                else:
                    every = detections(output)
                arrays = [each.cpu().numpy() for each in every]
                for kinds, scores, boxes, objects, of_each in zip(
                    *arrays, target[..., :5].cpu().numpy(), drawn, strict=True
                ):
                    metric.add(kinds, scores, boxes, objects, data.class_count)
                    shown = (kinds >= 0) & (scores >= LEAST_SHOWN)
                    outlines = None if of_each is None else of_each[shown]
                    found.append((objects, kinds[shown], scores[shown], boxes[shown], outlines))
                    wrong.append(_errors(kinds[shown], scores[shown], boxes[shown], objects, data.class_count))

        def sheet(rows: list[int], titles: list[str]) -> bytes:
            pixels = data.pixels_of(data.valid.__getitems__(rows).images)
            pictures = [
                Shown(pixels[n], *found[row][:4], title=titles[n], masks=found[row][4]) for n, row in enumerate(rows)
            ]
            return as_png(plot_boxes(pictures, data.class_names))

        # Evenly spread, since pictures may be ordered.
        spread = torch.linspace(0, len(found) - 1, min(self.count, len(found))).round().long().tolist()
        learner.artefact("detections.png").write_bytes(sheet(spread, [""] * len(spread)))
        worst = sorted(range(len(wrong)), key=lambda row: -sum(wrong[row]))[: self.count]
        worst = [row for row in worst if sum(wrong[row])]
        if worst:
            titles = [f"{wrong[row][0]} missed, {wrong[row][1]} wrong" for row in worst]
            learner.artefact("misses.png").write_bytes(sheet(worst, titles))
        curves = [None if each is None else each[0] for each in metric.class_curves()]
        learner.artefact("curves.png").write_bytes(as_png(plot_curves(curves, data.class_names)))
        content = {
            "average_precision": {
                name: curve.average for name, curve in zip(data.class_names, curves, strict=False) if curve is not None
            },
            **({"mask_average_precision": mask_metric.compute()} if mask_metric.has_pictures else {}),
            "objects": int(sum((each[0][:, 0] >= 0).sum() for each in found)),
            "missed": sum(each[0] for each in wrong),
            "wrong": sum(each[1] for each in wrong),
        }
        learner.artefact(BOXES).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def _errors(kinds: Any, scores: Any, boxes: Any, objects: Any, classes: int) -> tuple[int, int]:
    """Return how many objects of a picture are missed, and how many detections are wrong."""
    metric = MeanAP()
    metric.add(kinds, scores, boxes, objects, classes)
    every = [each for matches in metric._matches for each in matches]
    right = sum(int(each.right.sum()) for each in every)
    return sum(each.objects for each in every) - right, sum(len(each.scores) for each in every) - right


class DrawMasks(Callback):
    """Plot predicted masks of validation pictures when training ends.

    The artefacts are ``masks.png`` and ``masks.json``; the report and TensorBoard show them.

    Args:
        count: number of pictures.
    """

    observer = True

    def __init__(self, *, count: int = 8) -> None:
        self.count = count

    def check(self, learner: Learner) -> None:
        if not isinstance(learner.data, MaskData):
            raise LabError("the callback 'draw_masks' needs pictures with masks", where=type(learner.data).__name__)

    def after_fit(self, learner: Learner) -> None:
        if learner.folder is None or not learner.is_finished:
            return
        from lab_detection.plots import as_png, plot_masks

        data: Any = learner.data
        metric = MeanIoU()
        with learner.evaluating():
            for images, target in learner.valid_loader("valid"):
                metric.update(learner.model(images.to(learner.device)), target.to(learner.device))
            rows = torch.linspace(0, len(data.valid) - 1, min(self.count, len(data.valid))).round().long().tolist()
            images, target = data.valid.__getitems__(rows)
            found = learner.model(images.to(learner.device)).argmax(-1).cpu()
        figure = plot_masks(data.pixels_of(images), target, found, data.class_names)
        learner.artefact("masks.png").write_bytes(as_png(figure))
        values = zip(data.class_names, metric.by_class().tolist(), strict=True)
        content = {"iou": {name: value for name, value in values if value == value}}
        learner.artefact(MASKS).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
