"""Metrics: pycocotools as an independent reference, and worked numbers."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from lab_detection.metrics import MaskAP, MeanAP, MeanIoU
from lab_detection.output import masks_of, pack

from lab.errors import ParameterError, ShapeError


def random_case(seed, pictures=12, classes=3):
    """Objects and detections, many of which are objects that were moved a little."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(pictures):
        count = int(generator.integers(0, 6))
        low = generator.random((count, 2)) * 0.6
        truths = np.concatenate(
            [generator.integers(0, classes, (count, 1)), low, low + 0.05 + 0.3 * generator.random((count, 2))], 1
        )
        near = truths[generator.random(count) < 0.8]
        near = np.concatenate([near, near[: len(near) // 2]])
        near[:, 1:] += generator.normal(0, 0.02, (len(near), 4))
        wild = generator.random((3, 2)) * 0.6
        wild = np.concatenate([generator.integers(0, classes, (3, 1)), wild, wild + 0.2], 1)
        boxes = np.concatenate([near, wild])
        scores = (generator.random(len(boxes)) * 20).round() / 20
        found.append((truths, boxes[:, 0].astype(int), scores, boxes[:, 1:]))
    return found


def coco_scores(case, classes):
    """Mean average precision at 0.5 and at 0.5 … 0.95, by pycocotools."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed (extra test)")
    from pycocotools.cocoeval import COCOeval

    def box(each):
        left, top, right, bottom = (1000 * each).tolist()
        return [left, top, right - left, bottom - top]

    annotations, results = [], []
    for picture, (truths, kinds, scores, boxes) in enumerate(case):
        for row in truths:
            shape = box(row[1:])
            annotations.append(
                {"id": len(annotations) + 1, "image_id": picture, "category_id": int(row[0]), "bbox": shape,
                 "area": shape[2] * shape[3], "iscrowd": 0}
            )  # fmt: skip
        results += [
            {"image_id": picture, "category_id": int(kind), "bbox": box(each), "score": float(score)}
            for kind, score, each in zip(kinds, scores, boxes, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": number} for number in range(len(case))],
            "annotations": annotations,
            "categories": [{"id": number} for number in range(classes)],
        }
        truth.createIndex()
        given = coco.COCO()
        given.dataset = {
            "images": truth.dataset["images"],
            "categories": truth.dataset["categories"],
            "annotations": [
                {**each, "id": number + 1, "area": each["bbox"][2] * each["bbox"][3], "iscrowd": 0}
                for number, each in enumerate(results)
            ],
        }
        given.createIndex()
        evaluation = COCOeval(truth, given, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return precision[0][precision[0] > -1].mean(), precision[precision > -1].mean()


@pytest.mark.parametrize("seed", range(8))
def test_mean_average_precision_equals_pycocotools(seed):
    case = random_case(seed)
    expected = coco_scores(case, 3)
    for overlap, value in zip((0.5, None), expected, strict=True):
        metric = MeanAP(overlap=overlap)
        for truths, kinds, scores, boxes in case:
            metric.add(kinds, scores, boxes, truths, 3)
        assert metric.compute() == pytest.approx(value, abs=1e-9)


def masked_case(seed, pictures=8, classes=2, edge=24):
    """Masks of objects (disks, the later ones above) and detections of which most are objects that were moved."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:edge, :edge]

    def disk(place, radius):
        return (x - place[0]) ** 2 + (y - place[1]) ** 2 <= radius**2

    found = []
    for _ in range(pictures):
        count = int(generator.integers(0, 4))
        places, sizes = generator.uniform(3, edge - 3, (count, 2)), generator.uniform(2, 6, count)
        truths = [disk(place, size) for place, size in zip(places, sizes, strict=True)]
        moved = [
            disk(place + generator.normal(0, 0.7, 2), size)
            for place, size in zip(places, sizes, strict=True)
            for _ in range(2)
        ]
        masks = np.array([*moved, disk(generator.uniform(3, edge - 3, 2), 4)])
        scores = (generator.random(len(masks)) * 20).round() / 20
        kinds = [generator.integers(0, classes, number) for number in (count, len(masks))]
        found.append((kinds[0], np.array(truths).reshape(-1, edge, edge), kinds[1], scores, masks))
    return found


def coco_mask_scores(case, classes):
    """Mean average precision of masks at 0.5 and at 0.5 … 0.95, by pycocotools."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed (extra test)")
    from pycocotools import mask as coco_mask
    from pycocotools.cocoeval import COCOeval

    def encoded(mask):
        return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))

    def dataset(rows):
        made = coco.COCO()
        made.dataset = {
            "images": [{"id": number, "height": 24, "width": 24} for number in range(len(case))],
            "categories": [{"id": number} for number in range(classes)],
            "annotations": [
                {"id": number + 1, "iscrowd": 0, "area": int(mask.sum()), "segmentation": encoded(mask), **row}
                for number, (row, mask) in enumerate(rows)
            ],
        }
        made.createIndex()
        return made

    truths, results = [], []
    for picture, (truth_kinds, masks, kinds, scores, found) in enumerate(case):
        truths += [
            ({"image_id": picture, "category_id": int(k)}, m)
            for k, m in zip(truth_kinds, masks, strict=True)
            if m.any()
        ]
        results += [
            ({"image_id": picture, "category_id": int(k), "score": float(s)}, m)
            for k, s, m in zip(kinds, scores, found, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(dataset(truths), dataset(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return precision[0][precision[0] > -1].mean(), precision[precision > -1].mean()


@pytest.mark.parametrize("seed", range(4))
def test_mean_average_precision_of_masks_equals_pycocotools(seed):
    case = masked_case(seed)
    for overlap, value in zip((0.5, None), coco_mask_scores(case, 2), strict=True):
        metric = MaskAP(overlap=overlap)
        for truth_kinds, truths, kinds, scores, masks in case:
            metric.add_masks(kinds, scores, masks, truth_kinds, truths, 2)
        assert metric.compute() == pytest.approx(value, abs=1e-9)


def test_masks_of_a_detector_are_compared_on_the_grid_of_the_objects():
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    truth = torch.zeros(1, 2, 5 + 64)
    truth[0, :, 1:5] = boxes
    masks = masks_of(truth)
    masks[0, 0, :4, :4] = 1
    # The right half of the second object alone: its box is right, its mask would be half.
    masks[0, 1, 4:, 6:] = 1
    logits = torch.tensor([[[-9.0, 9.0], [-9.0, 9.0]]])
    output = pack(logits, torch.zeros(1, 2, 4), boxes, classes=1, masks=torch.full((1, 2, 4, 4), 5.0))
    metric, of_boxes = MaskAP(overlap=0.6), MeanAP(overlap=0.6)
    for each in (metric, of_boxes):
        each.update(output, truth)
    assert of_boxes.compute() == 1
    assert metric.compute() == pytest.approx(51 / 101)
    with pytest.raises(ShapeError, match="the objects have no masks"):
        metric.update(output, truth[..., :5])
    with pytest.raises(ShapeError, match="the output has no masks"):
        metric.update(pack(logits, torch.zeros(1, 2, 4), boxes, classes=1), truth)


def test_soft_suppression_keeps_a_neighbor_that_a_threshold_drops():
    boxes = torch.tensor([[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.42]])
    truth = torch.tensor([[[0, 0.1, 0.1, 0.5, 0.5], [0, 0.1, 0.1, 0.5, 0.42]]])
    output = pack(torch.tensor([[[0.0, 9.0], [0.0, 8.0]]]), torch.zeros(1, 2, 4), boxes, classes=1)
    values = {}
    for name, options in {"hard": {}, "loose": {"suppression": 0.9}, "soft": {"sigma": 0.5}}.items():
        metric = MeanAP(**options)
        metric.update(output, truth)
        values[name] = metric.compute()
    assert values == {"hard": pytest.approx(51 / 101), "loose": 1, "soft": 1}
    with pytest.raises(ParameterError, match="suppression=0, sigma=None"):
        MeanAP(suppression=0)


def test_mean_average_precision_of_a_worked_case():
    truth = np.array([[0, 0.0, 0.0, 0.4, 0.4], [0, 0.5, 0.5, 0.9, 0.9]])
    boxes = np.array([[0.0, 0.0, 0.4, 0.4], [0.6, 0.0, 0.8, 0.2], [0.5, 0.5, 0.9, 0.9]])
    metric = MeanAP()
    metric.add(np.zeros(3, int), np.array([0.9, 0.8, 0.7]), boxes, truth, 1)
    # Right, wrong, right: precision 1 up to recall 0.5 (51 of 101 points), then 2/3.
    assert metric.compute() == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_without_an_object_there_is_no_average_precision():
    metric = MeanAP()
    metric.update(
        pack(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4), torch.rand(2, 4), classes=2), torch.full((1, 1, 5), -1.0)
    )
    assert np.isnan(metric.compute())
    assert metric.undefined == "there is no object"


def test_values_and_shapes_out_of_range_are_refused():
    with pytest.raises(ParameterError, match="overlap must lie in"):
        MeanAP(overlap=1.5)
    with pytest.raises(ShapeError, match=r"a target is \(pictures, objects, 5\)"):
        MeanAP().update(torch.zeros(2, 3, 13), torch.zeros(1, 1, 5))
    with pytest.raises(ShapeError, match="the target"):
        MeanIoU().update(torch.zeros(1, 2, 2, 3), torch.zeros(1, 3, 2))


def test_mean_intersection_over_union_of_a_worked_case():
    target = torch.tensor([[[0, 0, 1], [1, 1, 255]]])
    predicted = torch.tensor([[[0, 1, 1], [1, 0, 0]]])
    metric = MeanIoU()
    metric.update(torch.nn.functional.one_hot(predicted, 3).float(), target)
    # Class 0: 1 of 3, class 1: 2 of 4; class 2 does not occur.
    assert metric.compute() == pytest.approx((1 / 3 + 1 / 2) / 2)
