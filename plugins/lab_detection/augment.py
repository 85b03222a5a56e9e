"""Augmentation that moves boxes and masks with the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from lab import Callback
from lab.errors import LabError, ParameterError
from lab_detection.data import IGNORED
from lab_detection.output import masks_of

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["AugmentObjects", "flip", "mosaic", "window"]

LEAST_LEFT = 0.3
"""Objects of which less is left inside of a window are dropped."""


class AugmentObjects(Callback):
    """Augment every training batch together with its boxes, proposals or masks; validation batches are unchanged.

    Args:
        flips: mirror half of the pictures.
        zoom: least and largest magnification of a random window; below 1, the picture is surrounded by its mean color.
        mosaic: fraction of pictures that are replaced by four, each at half its size (Bochkovskiy et al. 2020).
    """

    reads_metrics = False

    def __init__(self, *, flips: bool = True, zoom: Sequence[float] = (0.8, 1.5), mosaic: float = 0.0) -> None:
        if len(zoom) != 2 or not 0 < zoom[0] <= zoom[1] or not 0 <= mosaic <= 1:
            raise ParameterError(
                f"zoom={list(zoom)}, mosaic={mosaic}",
                where="callback 'augment_objects'",
                hint="the least and the largest magnification, and a fraction",
            )
        self.flips, self.zoom, self.mosaic = flips, (float(zoom[0]), float(zoom[1])), mosaic

    def check(self, learner: Learner) -> None:
        batch = learner.data.train[0]
        if not {"images", "target"} <= set(getattr(batch, "_fields", ())) or batch.target.dim() != 3:
            raise LabError(
                "the callback 'augment_objects' needs pictures with boxes or masks", where=type(learner.data).__name__
            )

    def before_batch(self, learner: Learner) -> None:
        images, *given, target = learner.batch
        objects = target.shape[1]
        if given:
            # Regions move as objects do.
            target = torch.cat([target, _as_objects(given[0], target.shape[2])], 1)
        generator = learner.streams.generator("augment")
        if self.flips:
            images, target = flip(images, target, generator)
        if self.zoom != (1.0, 1.0):
            images, target = window(images, target, self.zoom, generator)
        if self.mosaic:
            images, target = mosaic(images, target, self.mosaic, generator)
        if given:
            target, regions = _apart(target, objects, given[0].shape[1])
            given = [regions]
        learner.batch = type(learner.batch)(images, *given, target)


def _as_objects(regions: Tensor, columns: int) -> Tensor:
    """Return regions (B, R, 4) as objects (B, R, columns) of class 0 without masks."""
    rows = regions.new_zeros(*regions.shape[:2], columns)
    rows[..., 1:5] = regions
    return rows


def _apart(target: Tensor, objects: int, count: int) -> tuple[Tensor, Tensor]:
    """Return objects and regions (B, R, 4) of rows in which every ``objects`` rows are followed by ``count`` regions.

    Regions that were left out of a window are replaced by others of the picture, or by all of it.
    """
    # A mosaic has the rows of four pictures, one after the other.
    parts = target.unflatten(1, (-1, objects + count))
    # The best regions of each first.
    rows = parts[:, :, objects:, :5].transpose(1, 2).flatten(1, 2)
    present = rows[..., 0] >= 0
    order = present.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    there = present.sum(1, keepdim=True)
    place = torch.arange(count, device=target.device) % there.clamp(min=1)
    chosen = order.gather(1, place).unsqueeze(-1).expand(-1, -1, 4)
    regions = rows[..., 1:].gather(1, chosen)
    whole = regions.new_tensor([0.0, 0.0, 1.0, 1.0]).expand_as(regions)
    return parts[:, :, :objects].flatten(1, 2), torch.where(there.unsqueeze(-1) > 0, regions, whole)


def _is_mask(target: Tensor) -> bool:
    return not target.is_floating_point()


def flip(images: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror each picture (B, C, H, W) with probability one half, and its boxes (B, M, 5) or mask (B, H, W)."""
    chosen = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    images = torch.where(chosen[:, None, None, None], images.flip(-1), images)
    if _is_mask(target):
        return images, torch.where(chosen[:, None, None], target.flip(-1), target)
    kind, left, top, right, bottom = target[..., :5].unbind(-1)
    mirrored = torch.stack([kind, 1 - right, top, 1 - left, bottom], -1)
    masks = masks_of(target)
    if masks is not None:
        mirrored = torch.cat([mirrored, masks.flip(-1).flatten(2)], -1)
    moved = chosen[:, None, None] & (kind >= 0).unsqueeze(-1)
    return images, torch.where(moved, mirrored, target)


def window(
    images: Tensor, target: Tensor, zoom: tuple[float, float], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Show a random window of each picture at the picture's size, and move its boxes or mask.

    Boxes are clipped at the window's border. Objects of which less than 30 % is left become padding.
    """
    draws = torch.rand(3, len(images), generator=generator).to(images)
    # Even in the logarithm, so that halving is as likely as doubling.
    scale = (zoom[0] * (zoom[1] / zoom[0]) ** draws[0]).reciprocal()
    # A window that is larger than the picture contains all of it.
    left, top = (each * (1 - scale) for each in draws[1:])
    zero = torch.zeros_like(scale)
    shift_x, shift_y = 2 * left + scale - 1, 2 * top + scale - 1
    matrix = torch.stack([torch.stack([scale, zero, shift_x], 1), torch.stack([zero, scale, shift_y], 1)], 1)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    seen = functional.grid_sample(images, grid, align_corners=False)
    if _is_mask(target):
        # Shifted by one, so that pixels from outside, which are 0, can be told from class 0.
        moved = functional.grid_sample((target + 1.0).unsqueeze(1), grid, mode="nearest", align_corners=False)
        classes = moved.squeeze(1).round().long() - 1
        return seen, torch.where(classes < 0, IGNORED, classes)
    boxes = target[..., 1:5]
    start = torch.stack([left, top, left, top], -1)[:, None]
    moved = (boxes - start) / scale[:, None, None]
    clipped = moved.clamp(0, 1)
    masks = masks_of(target)
    if masks is not None:
        shown = functional.affine_grid(matrix, list(masks.shape), align_corners=False)
        masks = functional.grid_sample(masks, shown, mode="nearest", align_corners=False)
    return seen, _kept(target, moved, clipped, masks)


def _kept(target: Tensor, moved: Tensor, clipped: Tensor, masks: Tensor | None) -> Tensor:
    before, after = ((each[..., 2:] - each[..., :2]).clamp(min=0).prod(-1) for each in (moved, clipped))
    there = (target[..., 0] >= 0) & (after >= LEAST_LEFT * before) & (after > 0)
    rows = torch.cat([target[..., :1], clipped], -1)
    rows = torch.where(there.unsqueeze(-1), rows, -torch.ones_like(rows))
    return rows if masks is None else torch.cat([rows, (masks * there[..., None, None]).flatten(2)], -1)


def mosaic(images: Tensor, target: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Replace a fraction of pictures by four of the batch, each at half its size."""
    count, _, height, width = images.shape
    chosen = (torch.rand(count, generator=generator) < share).to(images.device)
    others = torch.stack([torch.randperm(count, generator=generator) for _ in range(4)]).to(images.device)
    top, left = (height + 1) // 2, (width + 1) // 2
    joined, rows = torch.empty_like(images), []
    mask = torch.empty_like(target) if _is_mask(target) else None
    for number, order in enumerate(others):
        down, across = divmod(number, 2)
        place = (slice(top, None) if down else slice(top), slice(left, None) if across else slice(left))
        size = joined[(..., *place)].shape[2:]
        joined[(..., *place)] = functional.interpolate(images[order], size=size, mode="bilinear", antialias=True)
        if mask is not None:
            small = functional.interpolate(target[order].unsqueeze(1).float(), size=size, mode="nearest")
            mask[(..., *place)] = small.squeeze(1).long()
        else:
            start = target.new_tensor([0, *[across * left / width, down * top / height] * 2])
            factor = target.new_tensor([1, *[size[1] / width, size[0] / height] * 2])
            given = target[order]
            part = torch.cat([given[..., :5] * factor + start, _quarter(given, down, across)], -1)
            rows.append(torch.where(given[..., :1] >= 0, part, given))
    images = torch.where(chosen[:, None, None, None], joined, images)
    if mask is not None:
        return images, torch.where(chosen[:, None, None], mask, target)
    four = torch.cat(rows, 1)
    padding = target.new_full((count, four.shape[1] - target.shape[1], target.shape[2]), -1)
    padding[..., 5:] = 0
    return images, torch.where(chosen[:, None, None], four, torch.cat([target, padding], 1))


def _quarter(target: Tensor, down: int, across: int) -> Tensor:
    """Return the masks (B, M, S²) of objects at half their size in a quarter of the picture; (B, M, 0) without."""
    masks = masks_of(target)
    if masks is None:
        return target[..., 5:]
    edge = masks.shape[-1]
    half = (edge + 1) // 2
    place = (slice(half, None) if down else slice(half), slice(half, None) if across else slice(half))
    placed = torch.zeros_like(masks)
    size = placed[(..., *place)].shape[2:]
    placed[(..., *place)] = functional.interpolate(masks, size=size, mode="nearest")
    return placed.flatten(2)
