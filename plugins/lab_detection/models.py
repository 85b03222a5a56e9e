"""Detectors: single shot, and in two stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lab import part
from lab.errors import ParameterError, ShapeError
from lab_detection.anchors import multibox_prior
from lab_detection.boxes import decode, keep_by_rank
from lab_detection.layers import ConvBody, check_images, conv_block, foreign_body, map_size, roi_align, roi_pool
from lab_detection.output import pack

__all__ = ["SSD", "FasterRCNN"]

BOOK_SIZES = ((0.2, 0.272), (0.37, 0.447), (0.54, 0.619), (0.71, 0.79), (0.88, 0.961))

Pool = Literal["align", "pool"]
Proposals = Literal["network", "grid", "given"]


class SSD(nn.Module):
    """Single-shot detector (Liu et al. 2016): classes and offsets of anchors on feature maps of several scales.

    A body makes the first map; further ones come from blocks of two convolutions and pooling, and the last from global
    max pooling. Each map has a convolution for classes and one for offsets. With the default widths and five pairs of
    sizes this is TinySSD of *Dive into Deep Learning*, 13.7 (5,444 anchors at 256 × 256).

    Args:
        channels, image_size, class_count: facts of the data.
        body: a model with ``features(images)`` and their ``width``, such as ``resnet18``; None is a body of
            convolutions.
        widths: channels of that body's stages, each of which halves the size.
        width: channels of the further maps.
        sizes: sizes of the anchors of each map, as fractions of the picture's height; as many as there are maps.
        ratios: ratios of the anchors, width by height.

    Shapes:
        (B, C, H, W) -> (B, A, K + 10); see ``lab_detection.output``
    """

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        class_count: int,
        *,
        body: Callable[..., nn.Module] | None = None,
        widths: Sequence[int] = (16, 32, 64),
        width: int = 128,
        sizes: Sequence[Sequence[float]] = BOOK_SIZES,
        ratios: Sequence[float] = (1.0, 2.0, 0.5),
    ) -> None:
        super().__init__()
        if not sizes:
            raise ParameterError("sizes is empty", where="architecture 'ssd'", hint="sizes of at least one map")
        self.channels, self.class_count = channels, class_count
        self.sizes, self.ratios = [tuple(each) for each in sizes], tuple(ratios)
        if body is None:
            with part("body"):
                self.body: Any = ConvBody(channels, widths=widths)
        else:
            self.body = foreign_body(body, channels, class_count, "architecture 'ssd'")
        height, across = map_size(self.body, channels, image_size)
        # Each block between the first map and the pooled one halves the size.
        if min(height, across) >> max(0, len(self.sizes) - 2) < 1:
            raise ShapeError(
                f"{len(self.sizes)} maps need more than the {height} × {across} pixels that the body leaves",
                where="architecture 'ssd'",
                hint="fewer sizes, fewer widths, or larger pictures",
            )
        maps = [self.body.width, *[width] * (len(self.sizes) - 1)]
        self.blocks = nn.ModuleList()
        for number in range(len(self.sizes) - 1):
            with part(f"block{number}"):
                is_last = number == len(self.sizes) - 2
                block = (
                    nn.AdaptiveMaxPool2d(1)
                    if is_last and number
                    else nn.Sequential(conv_block(maps[number], width), nn.MaxPool2d(2))
                )
                self.blocks.append(block)
        self.classes, self.offsets = nn.ModuleList(), nn.ModuleList()
        for number, (channels_in, own) in enumerate(zip(maps, self.sizes, strict=True)):
            count = len(own) + len(self.ratios) - 1
            with part(f"head{number}"):
                self.classes.append(nn.Conv2d(channels_in, count * (class_count + 1), 3, padding=1))
                self.offsets.append(nn.Conv2d(channels_in, count * 4, 3, padding=1))

    def forward(self, images: Tensor, proposals: Tensor | None = None) -> Tensor:
        # Regions that the data has for other detectors are not needed here.
        check_images(images, self.channels)
        aspect = images.shape[2] / images.shape[3]
        x = self.body.features(images)
        logits, offsets, anchors = [], [], []
        for number, sizes in enumerate(self.sizes):
            if number:
                x = self.blocks[number - 1](x)
            logits.append(_by_anchor(self.classes[number](x), self.class_count + 1))
            offsets.append(_by_anchor(self.offsets[number](x), 4))
            anchors.append(
                multibox_prior(*x.shape[2:], sizes, self.ratios, aspect=aspect, device=x.device, dtype=x.dtype)
            )
        return pack(torch.cat(logits, 1), torch.cat(offsets, 1), torch.cat(anchors), classes=self.class_count)

    def layer_groups(self) -> list[nn.Module | list[nn.Module]]:
        """Return the body, and everything that was made for boxes."""
        return [self.body, [self.blocks, self.classes, self.offsets]]


def _by_anchor(maps: Tensor, columns: int) -> Tensor:
    """Return maps (B, n · columns, h, w) as rows (B, h · w · n, columns)."""
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1, columns)


class FasterRCNN(nn.Module):
    """Detector in two stages (Ren et al. 2015, arXiv:1506.01497), in small.

    A network on the body's map says of anchors whether they show an object, and moves them; the best, after suppression
    of duplicates, become proposals. Features of each proposal, pooled to one size, are classified and move it again.
    Both stages are trained together, proposals without gradient. Differs from the paper: one size of map, offsets of
    the second stage that all classes share, and losses on hard negatives instead of random ones.

    With ``mask_size`` it is Mask R-CNN (He et al. 2017, arXiv:1703.06870): convolutions on the features of the box that
    the second stage predicts draw the object's mask in it. Differs from the paper: one mask for all classes, which it
    found nearly as good, and predicted boxes instead of proposals in training, too.

    Args:
        channels, image_size, class_count: facts of the data.
        body: a model with ``features(images)`` and their ``width``; None is a body of convolutions.
        widths: channels of that body's stages, each of which halves the size.
        sizes: sizes of anchors, as fractions of the picture's height.
        ratios: ratios of anchors, width by height.
        proposals: ``network`` is the region proposal network of Faster R-CNN; ``given`` takes the regions of the data,
            as Fast R-CNN does (Girshick 2015, arXiv:1504.08083); ``grid`` the anchors of an even grid.
        proposal_count: number of proposals per picture, the first of those that are given.
        overlap: threshold of non-maximum suppression among proposals.
        pool: ``align`` interpolates (RoIAlign), ``pool`` takes maxima with rounded borders (RoI pooling).
        pool_size: edge of the features of a proposal.
        head_width: width of the hidden layer of the second stage.
        mask_size: edge of masks in cells, an even number; 0 predicts none.

    Shapes:
        (B, C, H, W) -> (B, A + R, K + 10 + m²): the rows of the first stage, then those of R proposals; with
        ``proposals="given"``, (B, C, H, W) and regions (B, R', 4), R' at least R -> (B, R, K + 10 + m²)
    """

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        class_count: int,
        *,
        body: Callable[..., nn.Module] | None = None,
        widths: Sequence[int] = (16, 32, 64),
        sizes: Sequence[float] = (0.1, 0.2, 0.3, 0.45),
        ratios: Sequence[float] = (1.0, 2.0, 0.5),
        proposals: Proposals = "network",
        proposal_count: int = 48,
        overlap: float = 0.7,
        pool: Pool = "align",
        pool_size: int = 5,
        head_width: int = 128,
        mask_size: int = 0,
    ) -> None:
        super().__init__()
        where = "architecture 'faster_rcnn'"
        if pool not in ("align", "pool") or proposals not in ("network", "grid", "given"):
            raise ParameterError(
                f"pool='{pool}', proposals='{proposals}'", where=where, hint="align or pool; network, grid or given"
            )
        if proposal_count < 1 or pool_size < 1:
            raise ParameterError(
                f"proposal_count={proposal_count}, pool_size={pool_size}", where=where, hint="at least 1"
            )
        if mask_size < 0 or mask_size % 2:
            raise ParameterError(f"mask_size={mask_size}", where=where, hint="an even number of cells, or 0")
        self.channels, self.class_count, self.mask_size = channels, class_count, mask_size
        self.sizes, self.ratios, self.proposals = tuple(sizes), tuple(ratios), proposals
        self.proposal_count, self.overlap, self.pool, self.pool_size = proposal_count, overlap, pool, pool_size
        if body is None:
            with part("body"):
                self.body: Any = ConvBody(channels, widths=widths)
        else:
            self.body = foreign_body(body, channels, class_count, where)
        map_size(self.body, channels, image_size)
        width = self.body.width
        if proposals == "network":
            count = len(self.sizes) + len(self.ratios) - 1
            with part("proposals"):
                self.rpn = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
                self.objectness = nn.Conv2d(width, 2 * count, 1)
                self.moves = nn.Conv2d(width, 4 * count, 1)
        with part("head"):
            self.head = nn.Sequential(
                nn.Flatten(), nn.Linear(width * pool_size**2, head_width), nn.ReLU(),
                nn.Linear(head_width, head_width), nn.ReLU(),
            )  # fmt: skip
            self.classes = nn.Linear(head_width, class_count + 1)
            self.offsets = nn.Linear(head_width, 4)
        if mask_size:
            with part("masks"):
                # The last two layers double the size of what is pooled.
                self.masks = nn.Sequential(
                    conv_block(width, width), nn.ConvTranspose2d(width, width, 2, stride=2), nn.ReLU(),
                    nn.Conv2d(width, 1, 1),
                )  # fmt: skip

    def forward(self, images: Tensor, proposals: Tensor | None = None) -> Tensor:
        check_images(images, self.channels)
        features = self.body.features(images)
        anchors = multibox_prior(
            *features.shape[2:],
            self.sizes,
            self.ratios,
            aspect=images.shape[2] / images.shape[3],
            device=features.device,
            dtype=features.dtype,
        )
        stages = []
        packing: Any = {"classes": self.class_count, "mask_size": self.mask_size}
        if self.proposals == "network":
            hidden = self.rpn(features)
            logits, moves = _by_anchor(self.objectness(hidden), 2), _by_anchor(self.moves(hidden), 4)
            stages.append(pack(logits, moves, anchors, proposes=True, **packing))
            regions = self._best(logits.detach(), moves.detach(), anchors)
        elif self.proposals == "given":
            _check_regions(proposals, images)
            assert proposals is not None
            regions = proposals[:, : self.proposal_count].to(features.dtype)
        else:
            # Evenly spread over places, sizes and ratios.
            rows = torch.linspace(0, len(anchors) - 1, min(self.proposal_count, len(anchors)), device=anchors.device)
            regions = anchors[rows.round().long()].clamp(0, 1).expand(len(images), -1, 4)
        pooled = (roi_align if self.pool == "align" else roi_pool)(features, regions, self.pool_size)
        hidden = self.head(pooled.flatten(0, 1)).unflatten(0, pooled.shape[:2])
        offsets = self.offsets(hidden)
        masks = self._masks(features, decode(offsets.detach(), regions)) if self.mask_size else None
        stages.append(pack(self.classes(hidden), offsets, regions, masks=masks, **packing))
        return torch.cat(stages, 1)

    def _masks(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Return the logits (B, R, m, m) of masks in boxes (B, R, 4)."""
        pooled = roi_align(features, boxes.clamp(0, 1), self.mask_size // 2)
        drawn: Tensor = self.masks(pooled.flatten(0, 1)).squeeze(1)
        return drawn.unflatten(0, pooled.shape[:2])

    def _best(self, logits: Tensor, moves: Tensor, anchors: Tensor) -> Tensor:
        """Return the proposals (B, R, 4) with the highest scores that do not overlap too much."""
        scores = logits[..., 1] - logits[..., 0]
        # Four times as many as are wanted leave enough after suppression.
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        order = order[:, : 4 * self.proposal_count]
        boxes = decode(moves, anchors).clamp(0, 1)
        # A side of no length has no features, and no logarithm of its scale.
        low = boxes[..., :2].clamp(max=0.98)
        boxes = torch.cat([low, torch.maximum(boxes[..., 2:], low + 0.02)], -1)
        boxes = boxes.gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
        kept = keep_by_rank(boxes, self.overlap)
        # Those that are kept first; suppressed ones fill up, so that every picture has as many.
        ranked = kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : self.proposal_count]
        return boxes.gather(1, ranked.unsqueeze(-1).expand(-1, -1, 4))

    def layer_groups(self) -> list[nn.Module | list[nn.Module]]:
        """Return the body, and everything that was made for boxes."""
        made: list[nn.Module] = [self.head, self.classes, self.offsets, *([self.masks] if self.mask_size else [])]
        return [self.body, [self.rpn, self.objectness, self.moves, *made] if self.proposals == "network" else made]


def _check_regions(proposals: Tensor | None, images: Tensor) -> None:
    """Raise a ShapeError unless proposals are (B, R, 4), R at least 1."""
    if proposals is None:
        raise ShapeError(
            "the batch has no proposals, which this detector classifies",
            where="architecture 'faster_rcnn', proposals='given'",
            hint="a dataset with proposals, such as use('voc_boxes', proposals='boxes.json'); or proposals='network'",
        )
    if proposals.dim() != 3 or len(proposals) != len(images) or proposals.shape[2] != 4 or not proposals.shape[1]:
        raise ShapeError(
            f"proposals have the shape {tuple(proposals.shape)}, expected ({len(images)}, R, 4) with R of at least 1"
        )
