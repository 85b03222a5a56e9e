"""Body of an image model with a convolution as its head, whose maps show what speaks for which class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import part
from lab.errors import LabError
from lab_vision.transfer import _width, _without_output

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["ConvHead", "class_maps"]


class ConvHead(nn.Module):
    """Body of a model without its last layer, a convolution with one map per class, and average pooling.

    Lesson 7 of fast.ai 2018, for class activation maps: ResNet-34 without its last two layers, ``Conv2d(512, 2, 3,
    padding=1)``, average pooling. Differs from it: logits are returned, not log-probabilities.

    Args:
        channels, output_size: facts of the data.
        body: a model with ``features(images)`` and their ``width``: any ``resnet`` or ``course_net``.

    Shapes:
        (B, C, H, W) -> (B, K)
    """

    def __init__(self, channels: int, output_size: int, *, body: nn.Module | None = None) -> None:
        super().__init__()
        if body is None:
            from lab_vision.resnet import ResNet

            body = ResNet(channels, output_size)
        width = _width(body)
        self.body = _without_output(body)
        with part("head"):
            self.head = nn.Conv2d(width, output_size, 3, padding=1)

    def maps(self, images: Tensor) -> Tensor:
        """Return one map per class (B, K, h, w)."""
        body: Any = self.body
        found: Tensor = self.head(body.features(images))
        return found

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(images).mean((2, 3))

    def layer_groups(self) -> list[Any]:
        """Return the layer groups of the body without its last layer, and the head."""
        body: Any = self.body
        groups = body.layer_groups()[:-1] if hasattr(body, "layer_groups") else [self.body]
        return [*groups, self.head]


def class_maps(learner: Learner, images: Tensor) -> Tensor:
    """Return maps (B, H, W) of what speaks for the predicted classes, of a model with the architecture ``conv_head``.

    As in the lesson, the sum of the class maps, weighted by the probabilities of the classes. Values are scaled to lie
    between 0 and 1 for each picture, and enlarged to the size of the pictures.

    Args:
        learner: a learner trained on pictures.
        images: (B, C, H, W), scaled as in training.

    Raises:
        LabError: the model has another head.
    """
    model = learner.model
    if not isinstance(model, ConvHead):
        raise LabError("class maps need the architecture 'conv_head'", where=type(model).__name__, hint="use grad_cam")
    with learner.evaluating():
        maps = model.maps(images.to(learner.device))
        weights = maps.mean((2, 3)).softmax(-1)
        summed = torch.einsum("bkhw,bk->bhw", maps, weights)
    low, high = summed.amin((1, 2), keepdim=True), summed.amax((1, 2), keepdim=True)
    scaled = (summed - low) / (high - low).clamp(min=1e-12)
    size = tuple(images.shape[2:])
    return functional.interpolate(scaled[:, None], size, mode="bilinear", align_corners=False)[:, 0].cpu()
