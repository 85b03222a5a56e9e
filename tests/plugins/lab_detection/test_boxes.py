"""Boxes, anchors, suppression and pooling: worked examples of *Dive into Deep Learning*, and plain loops."""

from __future__ import annotations

import pytest
import torch
from lab_detection.anchors import assign, hard_negatives, multibox_prior
from lab_detection.boxes import (
    decode,
    encode,
    generalized_iou,
    iou,
    keep_by_rank,
    nms,
    paired_iou,
    soft_nms,
    to_centers,
    to_corners,
)
from lab_detection.layers import bilinear_kernel, roi_align, roi_pool
from lab_detection.output import detections, pack

from lab.errors import ParameterError, ShapeError

TRUTHS = torch.tensor([[0, 0.1, 0.08, 0.52, 0.92], [1, 0.55, 0.2, 0.9, 0.88]])
ANCHORS = torch.tensor(
    [
        [0, 0.1, 0.2, 0.3],
        [0.15, 0.2, 0.4, 0.4],
        [0.63, 0.05, 0.88, 0.98],
        [0.66, 0.45, 0.8, 0.8],
        [0.57, 0.3, 0.92, 0.9],
    ]
)


def random_boxes(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 0.8
    return torch.cat([low, low + 0.02 + 0.2 * torch.rand(count, 2, generator=generator)], 1)


def loop_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def loop_nms(boxes, scores, threshold):
    """Greedy suppression as it is told: the best, then all that it does not overlap, and so on."""
    boxes, waiting = boxes.tolist(), scores.argsort(descending=True, stable=True).tolist()
    kept = []
    while waiting:
        best, *others = waiting
        kept.append(best)
        waiting = [each for each in others if loop_iou(boxes[best], boxes[each]) <= threshold]
    return kept


def test_corners_and_centers_are_inverse():
    boxes = torch.tensor([[60.0, 45.0, 378.0, 516.0], [400.0, 112.0, 655.0, 493.0]])
    assert torch.equal(to_corners(to_centers(boxes)), boxes)


def test_overlap_equals_a_loop_over_pairs():
    boxes, others = random_boxes(7), random_boxes(5, 1)
    expected = [[loop_iou(a, b) for b in others.tolist()] for a in boxes.tolist()]
    assert torch.allclose(iou(boxes, others), torch.tensor(expected), atol=1e-6)


def test_overlap_of_boxes_without_area_is_zero():
    point = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    assert iou(point, point).tolist() == [[0.0]]


def test_generalized_overlap_of_worked_boxes():
    one = torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert float(generalized_iou(one, one)) == 1
    # Apart: nothing in common, and a third of the enclosing box belongs to neither.
    assert float(generalized_iou(one, one + torch.tensor([2.0, 0, 2.0, 0]))) == pytest.approx(-1 / 3)
    assert float(paired_iou(one, one + torch.tensor([0.5, 0, 0.5, 0]))) == pytest.approx(1 / 3)


def test_offsets_are_those_of_the_book_and_decode_inverts_them():
    anchor, box = torch.tensor([0.0, 0.0, 0.2, 0.4]), torch.tensor([0.1, 0.1, 0.5, 0.3])
    expected = [10 * 0.2 / 0.2, 10 * 0.0 / 0.4, 5 * torch.log(torch.tensor(2.0)), 5 * torch.log(torch.tensor(0.5))]
    assert encode(box, anchor).tolist() == pytest.approx([float(each) for each in expected], abs=1e-4)
    assert torch.allclose(decode(encode(box, anchor), anchor), box, atol=1e-5)


def test_boxes_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"expected \(..., 4\)"):
        iou(torch.zeros(2, 3), torch.zeros(2, 3))


def test_anchors_of_the_book():
    anchors = multibox_prior(561, 728, [0.75, 0.5, 0.25], [1, 2, 0.5], aspect=561 / 728)
    assert anchors.shape == (2_042_040, 4)
    first = anchors.reshape(561, 728, 5, 4)[250, 250, 0]
    assert first.tolist() == pytest.approx([0.06, 0.07, 0.63, 0.82], abs=0.01)


def test_anchors_of_several_scales():
    for edge, size in ((4, 0.15), (2, 0.4), (1, 0.8)):
        anchors = multibox_prior(edge, edge, [size], [1, 2, 0.5])
        assert anchors.shape == (edge * edge * 3, 4)
        assert torch.allclose((anchors[:, 2] - anchors[:, 0])[0], torch.tensor(size))
    with pytest.raises(ParameterError, match="at least one each"):
        multibox_prior(2, 2, [0.0], [1])


def test_assignment_of_the_book():
    wanted = assign(ANCHORS, TRUTHS[None])
    assert wanted.classes.tolist() == [[0, 1, 2, 0, 2]]
    offsets = [[0.0] * 4, [1.40, 10.0, 2.59, 7.18], [-1.20, 0.269, 1.68, -1.57], [0.0] * 4, [-0.571, -1.0, 0.0, 0.626]]
    assert torch.allclose(wanted.offsets[0], torch.tensor(offsets), atol=5e-3)


def test_two_objects_with_the_same_best_anchor_get_two():
    anchors = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]])
    truths = torch.tensor([[[0, 0.0, 0.0, 0.4, 0.5], [1, 0.0, 0.0, 0.5, 0.5]]])
    assert assign(anchors, truths).classes.tolist() == [[2, 1]]


def test_padding_and_pictures_without_objects_are_background():
    nothing = torch.full((1, 2, 5), -1.0)
    assert assign(ANCHORS, nothing).classes.tolist() == [[0] * 5]
    assert assign(ANCHORS, torch.zeros(1, 0, 5)).classes.tolist() == [[0] * 5]
    padded = torch.cat([TRUTHS[None], nothing], 1)
    both = torch.cat([padded, torch.cat([nothing, nothing], 1)])
    assert assign(ANCHORS, both).classes.tolist() == [[0, 1, 2, 0, 2], [0] * 5]


def test_hard_negatives_have_the_largest_losses():
    loss = torch.tensor([[0.1, 5.0, 0.3, 0.2, 0.4, 0.0]])
    positive = torch.tensor([[False, True, False, False, False, False]])
    assert hard_negatives(loss, positive, 2.0, least=1).nonzero()[:, 1].tolist() == [2, 4]


def test_suppression_of_the_book():
    boxes = torch.tensor(
        [[0.1, 0.08, 0.52, 0.92], [0.08, 0.2, 0.56, 0.95], [0.15, 0.3, 0.62, 0.91], [0.55, 0.2, 0.9, 0.88]]
    )
    scores, classes = torch.tensor([0.9, 0.8, 0.7, 0.9]), torch.tensor([0, 0, 0, 1])
    assert nms(boxes, scores, 0.5, groups=classes).tolist() == [0, 3]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("count", [0, 1, 300, 900])
def test_suppression_equals_a_plain_loop(count, threshold):
    boxes = random_boxes(count)
    # Rounded scores, so that there are equal ones.
    scores = (torch.rand(count, generator=torch.Generator().manual_seed(3)) * 50).round() / 50
    expected = loop_nms(boxes, scores, threshold)
    assert nms(boxes, scores, threshold).tolist() == expected
    assert nms(boxes, scores, threshold, most=7).tolist() == expected[:7]
    order = scores.argsort(descending=True, stable=True)
    assert order[keep_by_rank(boxes[order], threshold)].tolist() == expected


def test_soft_suppression_lowers_the_scores_of_neighbors():
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.5], [2.0, 2.0, 3.0, 3.0]])
    found, scores = soft_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), sigma=0.5)
    assert found.tolist() == [0, 2, 1]
    assert scores.tolist() == pytest.approx([0.9, 0.7, 0.8 * float(torch.exp(torch.tensor(-0.5)))])


def test_pooling_of_regions_of_the_book():
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    # Given there in pixels of a picture ten times as large.
    regions = torch.tensor([[[0, 0, 20, 20], [0, 10, 30, 30]]]) / 40
    assert roi_pool(features, regions, 2)[0, :, 0].tolist() == [[[5, 6], [9, 10]], [[9, 11], [13, 15]]]


def test_aligned_pooling_reads_a_plane_exactly():
    y, x = torch.meshgrid(torch.arange(8.0) + 0.5, torch.arange(8.0) + 0.5, indexing="ij")
    found = roi_align(torch.stack([x, y])[None] / 8, torch.tensor([[[0.25, 0.125, 0.75, 0.625]]]), 2)[0, 0]
    # The mean of a plane over a cell is its value at the cell's center.
    assert torch.allclose(found[0], torch.tensor([[0.375, 0.625]] * 2), atol=1e-6)
    assert torch.allclose(found[1], torch.tensor([[0.25, 0.25], [0.5, 0.5]]), atol=1e-6)


def test_bilinear_kernel_doubles_a_picture_smoothly():
    weights = bilinear_kernel(1, 4)
    assert weights[0, 0, 0].tolist() == [0.0625, 0.1875, 0.1875, 0.0625]
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    larger = torch.nn.functional.conv_transpose2d(picture, weights, stride=2, padding=1)
    expected = torch.nn.functional.interpolate(picture, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(larger[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


def test_detections_are_suppressed_within_a_class_only():
    anchors = torch.tensor([[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.52], [0.6, 0.6, 0.9, 0.9]])
    logits = torch.tensor([[[0.0, 8.0, 0.0], [0.0, 7.0, 7.0], [9.0, 0.0, 0.0]]])
    found = detections(pack(logits, torch.zeros(1, 3, 4), anchors, classes=2), least=0.1)
    assert found.classes[0, :2].tolist() == [0, 1]
    assert (found.classes[0, 2:] == -1).all()
    assert torch.allclose(found.boxes[0, :2], anchors[:2])
