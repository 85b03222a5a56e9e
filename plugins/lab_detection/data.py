"""Pictures with boxes, and pictures with masks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np
import torch
from torch import Tensor

from lab import Data
from lab_detection.output import IGNORED, masks_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "IGNORED",
    "BoxBatch",
    "BoxData",
    "Boxes",
    "ClassBatch",
    "ClassData",
    "Classes",
    "Instances",
    "MaskBatch",
    "MaskData",
    "Masks",
    "ProposalBatch",
    "box_data",
    "class_data",
    "mask_data",
]


class BoxBatch(NamedTuple):
    """A batch of pictures with boxes, and maybe masks.

    Attributes:
        images: (B, C, H, W) float, with mean 0 and standard deviation 1 over the training pictures.
        target: (B, M, 5) float, rows (class number, left, top, right, bottom) in fractions of the picture; rows of -1
            pad pictures with fewer objects than M. With masks (B, M, 5 + S²): the visible pixels of each object, on a
            grid of S × S cells over the picture.
    """

    images: Tensor
    target: Tensor


class ProposalBatch(NamedTuple):
    """A batch of pictures with boxes, and with regions to classify.

    Attributes:
        images: (B, C, H, W) float, as in ``BoxBatch``.
        proposals: (B, R, 4) regions (left, top, right, bottom) in fractions of the picture, the best first; those of
            pictures that have fewer than R begin again.
        target: (B, M, 5) or (B, M, 5 + S²), as in ``BoxBatch``.
    """

    images: Tensor
    proposals: Tensor
    target: Tensor


class MaskBatch(NamedTuple):
    """A batch of pictures with a class for every pixel.

    Attributes:
        images: (B, C, H, W) float, with mean 0 and standard deviation 1 over the training pictures.
        target: (B, H, W) class numbers, 0 for background, 255 for pixels that count for nothing.
    """

    images: Tensor
    target: Tensor


class ClassBatch(NamedTuple):
    """A batch of pictures with one class each.

    Attributes:
        images: (B, C, H, W) float, with mean 0 and standard deviation 1 over the training pictures.
        target: (B,) class numbers.
    """

    images: Tensor
    target: Tensor


class _Pictures:
    """Base class: a dataset of pixels (N, C, H, W) uint8 that are scaled when a batch is built."""

    def __init__(self, pixels: Tensor, target: Tensor, mean: Sequence[float], std: Sequence[float]) -> None:
        self.pixels, self.target = pixels, target
        self._shift = 255 * torch.tensor(mean)[:, None, None]
        self._scale = 1 / (255 * torch.tensor(std))[:, None, None]

    def __len__(self) -> int:
        return len(self.target)

    def scaled(self, pixels: Tensor) -> Tensor:
        """Scale pixels (B, C, H, W) uint8 to the input of a model."""
        return pixels.float().sub_(self._shift).mul_(self._scale)


class Boxes(_Pictures):
    """Dataset of pictures with objects (N, M, 5), and maybe ``proposals`` (N, R, 4)."""

    proposals: Tensor | None = None

    def __getitem__(self, index: int) -> BoxBatch | ProposalBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> BoxBatch | ProposalBatch:
        chosen = torch.as_tensor(indices)
        images, target = self.scaled(self.pixels.index_select(0, chosen)), self.objects(chosen)
        if self.proposals is None:
            return BoxBatch(images, target)
        return ProposalBatch(images, self.proposals.index_select(0, chosen), target)

    def objects(self, chosen: Tensor) -> Tensor:
        """Return the objects (B, M, 5) of pictures (B,)."""
        return self.target.index_select(0, chosen)


class Instances(Boxes):
    """Dataset of square pictures with objects (N, M, 5) and the object of every pixel (N, S, S) uint8."""

    def __init__(
        self, pixels: Tensor, target: Tensor, instances: Tensor, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__(pixels, target, mean, std)
        self.instances = instances

    def objects(self, chosen: Tensor) -> Tensor:
        """Return the objects (B, M, 5 + S²) of pictures (B,)."""
        objects = super().objects(chosen)
        # One picture of row numbers is kept, and a mask per object made of it for a batch, which takes M times as much.
        rows = torch.arange(1, objects.shape[1] + 1, dtype=torch.uint8)[:, None, None]
        masks = self.instances.index_select(0, chosen).unsqueeze(1) == rows
        return torch.cat([objects, masks.flatten(2).to(objects.dtype)], -1)


class Masks(_Pictures):
    """Dataset of pictures with masks (N, H, W) uint8."""

    def __getitem__(self, index: int) -> MaskBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> MaskBatch:
        chosen = torch.as_tensor(indices)
        images = self.scaled(self.pixels.index_select(0, chosen))
        return MaskBatch(images, self.target.index_select(0, chosen).long())


class Classes(_Pictures):
    """Dataset of pictures with class numbers (N,)."""

    def __getitem__(self, index: int) -> ClassBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ClassBatch:
        chosen = torch.as_tensor(indices)
        return ClassBatch(self.scaled(self.pixels.index_select(0, chosen)), self.target.index_select(0, chosen))


@attrs.define(eq=False, kw_only=True)
class _PictureData(Data):
    """Base class of pictures with classes.

    Attributes:
        channels: 1 for gray, 3 for color.
        image_size: height and width in pixels.
        class_count: number of classes that a model tells apart.
        class_names: their names by number.
        channel_mean, channel_std: mean and standard deviation of the training pixels, between 0 and 1.
    """

    channels: int
    image_size: tuple[int, int]
    class_count: int
    class_names: tuple[str, ...]
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]

    def pixels_of(self, images: Tensor) -> Tensor:
        """Return scaled pictures (B, C, H, W) as pixels between 0 and 1, for plots."""
        mean, std = (
            torch.tensor(each, device=images.device)[:, None, None] for each in (self.channel_mean, self.channel_std)
        )
        return (images * std + mean).clamp(0, 1)

    def prepared(self, paths: Sequence[Path | str]) -> Tensor:
        """Read picture files (B, C, H, W), resized to the training pictures' size and scaled like them.

        Raises:
            DataError: a file cannot be read; it is named.
        """
        from lab_detection.pictures import read_picture

        pixels = np.stack([read_picture(Path(path), self.image_size) for path in paths])
        split: _Pictures = self.train
        return split.scaled(torch.from_numpy(pixels))


@attrs.define(eq=False, kw_only=True)
class BoxData(_PictureData):
    """Pictures with boxes; classes are numbered from 0, and background is no class.

    Attributes:
        proposals_from: where proposals are from: a file, ``regions``, or empty without any.
    """

    proposals_from: str = ""

    def draw_batch(self, batch: BoxBatch | ProposalBatch, *, count: int = 16) -> Figure:
        """Plot the first pictures of a batch with their boxes and masks, for ``lab show FILE --batch``."""
        from lab_detection.plots import Shown, plot_boxes

        images, target = batch[0][:count], batch[-1][:count]
        masks = masks_of(target)
        pictures = []
        for row, pixels in enumerate(self.pixels_of(images)):
            present = target[row, :, 0] >= 0
            objects = target[row][present].numpy()
            kinds, boxes, scores = objects[:, 0].astype(int), objects[:, 1:5], np.full(len(objects), np.nan)
            drawn = None if masks is None else (masks[row][present] > 0.5).numpy()
            pictures.append(Shown(pixels, np.zeros((0, 5)), kinds, scores, boxes, masks=drawn))
        return plot_boxes(pictures, self.class_names, edge=2.6)


@attrs.define(eq=False, kw_only=True)
class MaskData(_PictureData):
    """Pictures with masks; class 0 is background."""

    def draw_batch(self, batch: MaskBatch, *, count: int = 8) -> Figure:
        """Plot the first pictures of a batch and their masks, for ``lab show FILE --batch``."""
        from lab_detection.plots import plot_masks

        return plot_masks(self.pixels_of(batch[0][:count]), batch[1][:count], None, self.class_names)


@attrs.define(eq=False, kw_only=True)
class ClassData(_PictureData):
    """Pictures with one class each.

    Attributes:
        output_size: number of classes, under the name that image classifiers ask for.
    """

    output_size: int


def box_data(
    splits: Sequence[tuple[np.ndarray, ...]],
    class_names: Sequence[str],
    *,
    notes: Sequence[str] = (),
    proposals: Sequence[np.ndarray] | None = None,
    proposals_from: str = "",
) -> BoxData:
    """Build the data of pictures with boxes.

    Args:
        splits: pixels (N, C, H, W) uint8 and objects (N, M, 5) float32 for training, validation and optionally testing;
            with masks, also the row of the object + 1 of every pixel (N, S, S) uint8, 0 for background.
        class_names: names of the classes by number.
        notes: sentences on what was read.
        proposals: (N, R, 4) float32 regions of the pictures of each split, in fractions of them.
        proposals_from: where they are from: a file, or ``regions``.
    """
    kind = Instances if len(splits[0]) > 2 else Boxes
    data: BoxData = _built(BoxData, kind, splits, class_names, notes, proposals_from=proposals_from)
    if proposals is None:
        return data
    digest = hashlib.sha256(data.fingerprint.encode())
    for split, regions in zip((data.train, data.valid, data.test), proposals, strict=False):
        split.proposals = torch.from_numpy(regions)
        digest.update(np.ascontiguousarray(regions))
    return attrs.evolve(data, fingerprint=digest.hexdigest())


def mask_data(
    splits: Sequence[tuple[np.ndarray, np.ndarray]], class_names: Sequence[str], *, notes: Sequence[str] = ()
) -> MaskData:
    """Build the data of pictures with masks.

    Args:
        splits: pixels (N, C, H, W) uint8 and masks (N, H, W) uint8 for training, validation and optionally testing.
        class_names: names of the classes by number, background first.
        notes: sentences on what was read.
    """
    return _built(MaskData, Masks, splits, class_names, notes)


def class_data(splits: Sequence[tuple[np.ndarray, np.ndarray]], class_names: Sequence[str]) -> ClassData:
    """Build the data of pictures with one class each.

    Args:
        splits: pixels (N, C, H, W) uint8 and class numbers (N,) int64 for training, validation and optionally testing.
        class_names: names of the classes by number.
    """
    return _built(ClassData, Classes, splits, class_names, (), output_size=len(class_names))


def _built(
    kind: Any,
    split_kind: Any,
    splits: Sequence[tuple[np.ndarray, ...]],
    class_names: Sequence[str],
    notes: Sequence[str],
    **facts: Any,
) -> Any:
    pixels = splits[0][0]
    mean, std = _statistics(pixels)
    parts = [split_kind(*map(torch.from_numpy, arrays), mean, std) for arrays in splits]
    digest = hashlib.sha256(repr((kind.__name__, tuple(class_names), mean, std)).encode())
    for arrays in splits:
        for array in arrays:
            digest.update(np.ascontiguousarray(array))
    train, valid, test = [*parts, None][:3]
    return kind(
        train=train,
        valid=valid,
        test=test,
        collate=_as_it_is,
        fingerprint=digest.hexdigest(),
        channels=int(pixels.shape[1]),
        image_size=(int(pixels.shape[2]), int(pixels.shape[3])),
        class_count=len(class_names),
        class_names=tuple(class_names),
        channel_mean=tuple(mean),
        channel_std=tuple(std),
        notes=tuple(notes),
        **facts,
    )


def _statistics(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per channel, of pixels between 0 and 1."""
    # From a histogram of the 256 values: as floats, all pixels would take eight times their memory.
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        shares = np.bincount(pixels[:, channel].reshape(-1), minlength=256) / pixels[:, channel].size
        mean = float(shares @ values)
        means.append(mean)
        deviations.append(float(np.sqrt(shares @ (values - mean) ** 2)) or 1.0)
    return means, deviations


def _as_it_is(batch: Any) -> Any:
    return batch
