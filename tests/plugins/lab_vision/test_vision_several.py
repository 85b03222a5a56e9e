"""Pictures with several classes, metrics of them, and the second look at the hottest region."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lab_basics.scores import MultilabelAccuracy, MultilabelF1
from lab_vision.augment import tta
from lab_vision.callbacks import LookInside
from lab_vision.conv_head import ConvHead
from lab_vision.models import CourseNet
from lab_vision.sources import digit_sets, digits
from lab_vision.zoom import hottest_windows, look_again, zoom
from torch.nn import functional

from lab import Learner
from lab.errors import LabError, ParameterError

LOGITS = torch.tensor([[2.0, -1.0, -3.0], [1.0, 0.5, -2.0], [-2.0, -2.0, -2.0]])
TARGET = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def score(metric):
    metric.update(LOGITS, TARGET)
    return metric.compute()


def test_pictures_hold_the_digits_that_they_name():
    data = digit_sets(cells=2, most=4, train=50, valid=20)
    assert data.several
    images, target = data.train.__getitems__(range(50))
    assert (images.shape, target.shape) == ((50, 1, 16, 16), (50, 10))
    assert set(target.unique().tolist()) == {0.0, 1.0}
    assert 1 <= int(target.sum(1).min()) <= int(target.sum(1).max()) <= 4
    # a picture of one digit is that digit of scikit-learn's, in one cell
    single = digit_sets(cells=1, most=1, train=30, valid=10)
    known = digits()
    pixels = torch.cat([known.train.pixels, known.valid.pixels])
    classes = torch.cat([known.train.target, known.valid.target])
    for picture, marks in zip(single.train.pixels, single.train.target, strict=True):
        same = (pixels == picture).flatten(1).all(1)
        assert int(marks.argmax()) in classes[same].tolist()


def test_more_digits_than_cells_are_refused():
    with pytest.raises(ParameterError, match="most=5 digits do not fit into 2 × 2 cells"):
        digit_sets(cells=2, most=5)


def test_each_class_has_a_probability_of_its_own_and_a_sheet_names_all():
    data = digit_sets(train=20, valid=10)
    torch.testing.assert_close(data.probabilities(torch.zeros(1, 10)), torch.full((1, 10), 0.5))
    assert data._title(torch.tensor([0.0, 1.0, 0, 0, 0, 0, 0, 1.0, 0, 0])) == "one, seven"
    assert data.split_facts(data.train) == {}


def test_fbeta_of_examples_has_the_worked_values():
    # example 1: precision 1, recall 1/2, F1 2/3, F2 5/9; example 2: 1/2, 1, 2/3, 5/6; example 3: nothing, right
    assert score(MultilabelF1(average="examples")) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert score(MultilabelF1(average="examples", beta=2.0)) == pytest.approx((5 / 9 + 5 / 6 + 1) / 3)
    # class 0: 1; class 1: no hit; class 2 is neither there nor predicted
    assert score(MultilabelF1()) == pytest.approx(0.5)


def test_a_lower_threshold_predicts_more_classes():
    # the logit -1 has a probability of 0.27
    assert score(MultilabelF1(average="examples", threshold=0.2)) == pytest.approx((1 + 2 / 3 + 1) / 3)
    with pytest.raises(ParameterError, match="threshold must lie in"):
        MultilabelF1(threshold=1.0)


def test_decisions_or_whole_examples_are_right():
    assert score(MultilabelAccuracy()) == pytest.approx(7 / 9)
    assert score(MultilabelAccuracy(exact=True)) == pytest.approx(1 / 3)


def test_the_hottest_window_is_where_the_map_is_largest():
    maps = torch.zeros(2, 10, 10)
    maps[0, 2:5, 6:9] = 1.0
    maps[1, 9, 0] = 1.0
    found = hottest_windows(maps, 0.3)
    assert found[0].tolist() == [6, 2, 9, 5]
    left, top, right, bottom = found[1].tolist()
    assert (left, bottom, right - left, bottom - top) == (0, 10, 3, 3)
    with pytest.raises(ParameterError, match=r"share must lie in \(0, 1\]"):
        hottest_windows(maps, 0.0)


def learner_of(data):
    torch.manual_seed(0)
    model = ConvHead(1, 10, body=CourseNet(1, 10, widths=(8,), stem=3))
    return Learner(model, data, functional.cross_entropy, progress=False, valid_batch_size=100)


def test_a_region_as_large_as_the_picture_is_the_picture():
    learner = learner_of(digits())
    images = learner.data.valid.__getitems__(range(5))[0]
    found = look_again(learner, images, share=1.0)
    torch.testing.assert_close(found.whole, found.region)
    scores = zoom(learner, share=1.0)
    assert scores["accuracy"] == scores["plain_accuracy"] == scores["region_accuracy"]


def test_the_second_look_predicts_the_enlarged_region():
    learner = learner_of(digits())
    images = learner.data.valid.__getitems__(range(2))[0]
    found = look_again(learner, images, share=0.5)
    left, top, right, bottom = found.windows[1].tolist()
    part = functional.interpolate(images[1:2, :, top:bottom, left:right], (8, 8), mode="bilinear")
    with torch.no_grad():
        torch.testing.assert_close(found.region[1:2], learner.model.eval()(part).softmax(-1))


def test_pictures_with_several_classes_are_no_case_for_one_class_tools():
    learner = learner_of(digit_sets(cells=1, most=1, train=20, valid=10))
    with pytest.raises(LabError, match="zoom needs pictures with one class each"):
        zoom(learner)
    with pytest.raises(LabError, match="tta needs pictures with one class each"):
        tta(learner)
    with pytest.raises(LabError, match="'look_inside' needs pictures with one class each"):
        LookInside().check(learner)


def test_validation_digits_are_in_no_training_picture():
    data = digit_sets(cells=1, most=1, train=300, valid=100)
    seen = {picture.tobytes() for picture in data.train.pixels.numpy()}
    known = np.array([picture.tobytes() in seen for picture in data.valid.pixels.numpy()])
    assert not known.any()
