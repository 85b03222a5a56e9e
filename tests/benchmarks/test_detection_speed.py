"""Overlaps and suppression of 5,000 boxes beside plain Python; assignment of a batch; training beside a plain loop.

The plain loops compare pairs of boxes as tuples of Python floats, which is several times as fast as reading the rows of
tensors, and pass over a pair as soon as it does not touch.
"""

from __future__ import annotations

import pytest
import torch
from lab_detection.anchors import assign, multibox_prior
from lab_detection.boxes import iou, nms
from lab_detection.losses import detection_loss
from lab_detection.models import SSD
from lab_detection.sources import drawn_boxes

from lab.training import Checkpoint, Learner
from lab.training.cpu import configured_cpu
from tests.benchmarks.turns import in_turns_anew, seconds, typical_speeds

BOXES, THRESHOLD, PICTURES, ANCHOR_MAP, BATCH, ROUNDS = 5000, 0.5, 32, 32, 20, 3
LOOP_BOUND, TRAINING_BOUND = 50, 0.95

pytestmark = pytest.mark.usefixtures("one_thread")


def test_overlaps_of_all_pairs_are_faster_than_a_loop_over_them(figure, short):
    boxes = _boxes(500 if short else BOXES)
    pairs = len(boxes) ** 2
    rows = boxes.tolist()
    with configured_cpu():
        ours = _best(lambda: iou(boxes, boxes))
    peer = seconds(lambda: _loop_iou(rows, rows))
    assert torch.allclose(iou(boxes[:50], boxes), torch.tensor(_loop_iou(rows[:50], rows)), atol=1e-5)
    figure.ratio(
        f"IoU of {len(boxes):,} × {len(boxes):,} boxes", lab=pairs / ours, peer=pairs / peer, unit="pairs/s",
        beside="a Python loop", at_least=None if short else LOOP_BOUND,
    )  # fmt: skip


def test_suppression_is_faster_than_a_loop(figure, short):
    boxes = _boxes(500 if short else BOXES)
    scores = torch.rand(len(boxes), generator=torch.Generator().manual_seed(1))
    kept = []
    with configured_cpu():
        ours = _best(lambda: nms(boxes, scores, THRESHOLD))
    peer = seconds(lambda: kept.extend(_loop_nms(boxes.tolist(), scores, THRESHOLD)))
    assert nms(boxes, scores, THRESHOLD).tolist() == kept
    figure.ratio(
        f"NMS of {len(boxes):,} boxes, {len(kept):,} of which stay", lab=len(boxes) / ours, peer=len(boxes) / peer,
        unit="boxes/s", beside="a Python loop", at_least=None if short else LOOP_BOUND,
    )  # fmt: skip


def test_anchors_of_a_batch_are_assigned_at_once(figure, short):
    edge = 8 if short else ANCHOR_MAP
    anchors = multibox_prior(edge, edge, [0.2, 0.3], [1.0, 2.0, 0.5])
    classes = torch.arange(PICTURES * 4).reshape(PICTURES, 4, 1) % 5
    target = torch.cat([classes.float(), _boxes(PICTURES * 4).reshape(PICTURES, 4, 4)], -1)
    with configured_cpu():
        ours = _best(lambda: assign(anchors, target))
        peer = _best(lambda: [assign(anchors, each[None]) for each in target])
    figure.ratio(
        f"assignment of {len(anchors):,} anchors in {PICTURES} pictures", lab=PICTURES / ours, peer=PICTURES / peer,
        unit="pictures/s", beside="a loop over pictures",
    )  # fmt: skip


def test_an_epoch_of_a_detector_costs_little_more_than_a_plain_loop(figure, short, tmp_path):
    count = 60 if short else 200
    data = drawn_boxes(train=count, valid=4)
    data.valid = None
    with configured_cpu():
        bare, ours = in_turns_anew(lambda: [_plain(data.train), _lab(data, tmp_path)], 1 if short else ROUNDS)
    speeds = typical_speeds(count, ours, bare)
    bound = None if short else TRAINING_BOUND
    figure.ratio("a single-shot detector", **speeds, unit="pictures/s", beside="a plain loop", at_least=bound)


def _boxes(count):
    generator = torch.Generator().manual_seed(0)
    low = 0.8 * torch.rand(count, 2, generator=generator)
    return torch.cat([low, low + 0.02 + 0.2 * torch.rand(count, 2, generator=generator)], 1)


def _best(action, rounds=5):
    action()
    return min(seconds(action) for _ in range(rounds))


def _loop_iou(boxes, others):
    found = []
    for left, top, right, bottom in boxes:
        area, line = (right - left) * (bottom - top), []
        for other_left, other_top, other_right, other_bottom in others:
            width = min(right, other_right) - max(left, other_left)
            height = min(bottom, other_bottom) - max(top, other_top)
            if width <= 0 or height <= 0:
                line.append(0.0)
                continue
            common = width * height
            line.append(common / (area + (other_right - other_left) * (other_bottom - other_top) - common))
        found.append(line)
    return found


def _loop_nms(boxes, scores, threshold):
    waiting = scores.argsort(descending=True, stable=True).tolist()
    kept = []
    while waiting:
        best, *others = waiting
        kept.append(best)
        overlaps = _loop_iou([boxes[best]], [boxes[each] for each in others])[0]
        waiting = [each for each, overlap in zip(others, overlaps, strict=True) if overlap <= threshold]
    return kept


def _model():
    torch.manual_seed(0)
    return SSD(3, (64, 64), 5, widths=(12, 24, 48), width=64, sizes=((0.1, 0.2, 0.3), (0.4, 0.5), (0.65, 0.8)))


def _lab(data, folder):
    learner = Learner(
        _model(), data, detection_loss, batch_size=BATCH, callbacks=[Checkpoint()], folder=folder, progress=False
    )
    return lambda: learner.fit(1)


def _plain(split):
    model = _model()
    optimizer = torch.optim.Adam(model.parameters())

    def epoch():
        model.train()
        for rows in torch.randperm(len(split)).split(BATCH):
            images, target = split.__getitems__(rows)
            detection_loss(model(images), target).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return epoch
