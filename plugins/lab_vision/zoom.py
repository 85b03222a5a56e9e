"""A second look: the region that speaks most for the predicted class, cut out, enlarged and predicted again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import LabError, ParameterError
from lab_vision.conv_head import ConvHead, class_maps
from lab_vision.inside import cam, grad_cam

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["SecondLook", "hottest_windows", "look_again", "zoom"]


class SecondLook(NamedTuple):
    """Probabilities of whole pictures and of their hottest regions.

    Attributes:
        windows: (B, 4) long: left, top, right, bottom in pixels, ends excluded.
        whole, region: (B, K) probabilities.
    """

    windows: Tensor
    whole: Tensor
    region: Tensor


def hottest_windows(maps: Tensor, share: float) -> Tensor:
    """Return the windows (B, 4) with the largest sums of maps (B, H, W): left, top, right, bottom, ends excluded.

    Args:
        maps: activation maps.
        share: edge of the windows relative to that of the maps, in (0, 1]; at least one pixel.

    Raises:
        ParameterError: ``share`` is out of range.
    """
    if not 0 < share <= 1:
        raise ParameterError(f"share must lie in (0, 1], got {share}", where="zoom")
    height, width = (max(1, round(share * size)) for size in maps.shape[1:])
    sums = functional.avg_pool2d(maps[:, None].double(), (height, width), stride=1)[:, 0]
    best = sums.flatten(1).argmax(1)
    top, left = best // sums.shape[2], best % sums.shape[2]
    return torch.stack([left, top, left + width, top + height], 1)


def look_again(learner: Learner, images: Tensor, *, share: float = 0.6, layer: str = "") -> SecondLook:
    """Predict pictures, and their hottest regions enlarged to the size of the pictures.

    Lesson 7 of fast.ai 2018 on class activation maps: "zoom into the hottest region and run again".

    Args:
        learner: a learner trained on pictures with one class each.
        images: (B, C, H, W), scaled as in training.
        share: edge of the regions relative to that of the pictures.
        layer: the layer of Grad-CAM; empty takes the class maps of ``conv_head``, or CAM.

    Raises:
        LabError: the model has no such maps; ``layer`` works for all.
    """
    if learner.data.facts().get("several"):
        raise LabError("zoom needs pictures with one class each", where=type(learner.data).__name__)
    if layer:
        maps = grad_cam(learner, images, layer)
    else:
        maps = class_maps(learner, images) if isinstance(learner.model, ConvHead) else cam(learner, images)
    windows = hottest_windows(maps, share)
    size = tuple(images.shape[2:])
    parts = [
        functional.interpolate(image[None, :, top:bottom, left:right], size, mode="bilinear", align_corners=False)
        for image, (left, top, right, bottom) in zip(images, windows.tolist(), strict=True)
    ]
    with learner.evaluating():
        whole, region = (
            learner.model(each.to(learner.device)).softmax(-1).cpu() for each in (images, torch.cat(parts))
        )
    return SecondLook(windows, whole, region)


def zoom(learner: Learner, split: str = "valid", *, share: float = 0.6, layer: str = "") -> dict[str, float]:
    """Evaluate the mean of the probabilities of whole pictures and of their hottest regions; see ``look_again``.

    Returns:
        ``{"accuracy": …, "plain_accuracy": …, "region_accuracy": …}``: of the mean, of the whole pictures, of the
        regions alone.
    """
    right = {"accuracy": 0.0, "plain_accuracy": 0.0, "region_accuracy": 0.0}
    total = 0
    for images, target in learner.valid_loader(split):
        _, whole, region = look_again(learner, images, share=share, layer=layer)
        for name, each in zip(right, ((whole + region) / 2, whole, region), strict=True):
            right[name] += float((each.argmax(-1) == target.cpu()).sum())
        total += len(target)
    return {name: value / total for name, value in right.items()}
