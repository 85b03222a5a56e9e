"""A convolution as the head of an image model, and its class maps."""

from __future__ import annotations

import pytest
import torch
from lab_vision.conv_head import ConvHead, class_maps
from lab_vision.models import CourseNet
from lab_vision.sources import digits
from lab_vision.transfer import LogitsHead
from torch.nn import functional

from lab import Learner
from lab.errors import LabError, ShapeError


def small():
    torch.manual_seed(0)
    return ConvHead(1, 10, body=CourseNet(1, 10, widths=(8,), stem=3))


def test_logits_are_the_means_of_the_class_maps():
    model, images = small(), torch.randn(3, 1, 8, 8)
    assert model.maps(images).shape == (3, 10, 8, 8)
    torch.testing.assert_close(model(images), model.maps(images).flatten(2).mean(2))


def test_the_head_is_a_layer_group_of_its_own():
    model = small()
    assert model.layer_groups()[-1] is model.head
    assert not any(module.out_features == 10 for module in model.body.modules() if hasattr(module, "out_features"))


def test_class_maps_weight_the_maps_by_the_probabilities():
    learner = Learner(small(), digits(), functional.cross_entropy, progress=False)
    images = torch.randn(2, 1, 8, 8)
    found = class_maps(learner, images)
    with torch.no_grad():
        maps = learner.model.maps(images)
    expected = (maps * learner.model(images).detach().softmax(-1)[:, :, None, None]).sum(1)
    low, high = expected.amin((1, 2), keepdim=True), expected.amax((1, 2), keepdim=True)
    torch.testing.assert_close(found, (expected - low) / (high - low))


def test_a_head_on_logits_reads_the_whole_model_and_is_a_group_of_its_own():
    body = CourseNet(1, 7, widths=(4,))
    model, images = LogitsHead(3, body=body, body_size=7, hidden=(5,)), torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(model(images), model.head(body(images)))
    assert model.layer_groups()[-1] is model.head
    assert [layer.out_features for layer in model.head if hasattr(layer, "out_features")] == [5, 3]


def test_a_head_on_logits_says_how_many_there_are():
    model = LogitsHead(3, body=CourseNet(1, 7, widths=(4,)), hidden=(5,))
    with pytest.raises(ShapeError, match="the body has 7 logits, body_size=1000"):
        model(torch.randn(1, 1, 8, 8))


def test_another_head_has_no_class_maps():
    learner = Learner(CourseNet(1, 10, widths=(4,)), digits(), functional.cross_entropy, progress=False)
    with pytest.raises(LabError, match="class maps need the architecture 'conv_head'"):
        class_maps(learner, torch.randn(1, 1, 8, 8))
