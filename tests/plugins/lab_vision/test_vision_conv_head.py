"""A convolution as the head of an image model, and its class maps."""

from __future__ import annotations

import pytest
import torch
from lab_vision.conv_head import ConvHead, class_maps
from lab_vision.models import CourseNet
from lab_vision.sources import digits
from torch.nn import functional

from lab import Learner
from lab.errors import LabError


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


def test_another_head_has_no_class_maps():
    learner = Learner(CourseNet(1, 10, widths=(4,)), digits(), functional.cross_entropy, progress=False)
    with pytest.raises(LabError, match="class maps need the architecture 'conv_head'"):
        class_maps(learner, torch.randn(1, 1, 8, 8))
