"""Pictures as data: pixels kept as bytes, cut into batches, scaled as they leave."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import numpy as np
import torch
from torch import Tensor

from lab import Data
from lab.errors import DataError

__all__ = ["ImageBatch", "ImageData", "Images", "image_data"]


class ImageBatch(NamedTuple):
    """Some pictures.

    Attributes:
        images: (B, C, H, W) float, with mean 0 and deviation 1 over the training pictures.
        target: (B,) class numbers.
    """

    images: Tensor
    target: Tensor


class Images:
    """A split: pixels (N, C, H, W) uint8, their classes (N,), and how pixels are scaled."""

    def __init__(self, pixels: Tensor, target: Tensor, mean: Sequence[float], std: Sequence[float]) -> None:
        self.pixels, self.target = pixels, target
        self._shift = 255 * torch.tensor(mean)[:, None, None]
        self._scale = 1 / (255 * torch.tensor(std))[:, None, None]

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> ImageBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        chosen = torch.as_tensor(indices)
        return ImageBatch(self.scaled(self.pixels.index_select(0, chosen)), self.target.index_select(0, chosen))

    def scaled(self, pixels: Tensor) -> Tensor:
        """Pixels (B, C, H, W) uint8 as a model sees them."""
        return pixels.float().sub_(self._shift).mul_(self._scale)


@attrs.define(eq=False, kw_only=True)
class ImageData(Data):
    """Pictures of classes.

    Attributes:
        channels: 1 for grey, 3 for colour.
        image_size: height and width in pixels.
        input_size: numbers of a picture, channels × height × width.
        output_size: number of classes.
        class_names: in the order of their numbers.
        channel_mean, channel_std: of the training pictures, pixels between 0 and 1; what they are scaled by.
        skipped: (name, reason) of pictures that could not be read.
    """

    channels: int
    image_size: tuple[int, int]
    input_size: int
    output_size: int
    class_names: tuple[str, ...]
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def predict(self, apply: Callable[..., Any], *inputs: Any) -> Any:
        """Batches are taken as they are; of a list of picture files, the classes with their probabilities.

        ``learner.predict(["a.jpg", "b.png"])`` gives a list of dictionaries, class → probability, the likeliest first.
        """
        if not (len(inputs) == 1 and isinstance(inputs[0], (list, tuple)) and _are_paths(inputs[0])):
            return super().predict(apply, *inputs)
        shares = apply(self.prepared(inputs[0])).float().cpu().softmax(-1)
        found = []
        for row in shares:
            order = row.argsort(descending=True).tolist()
            found.append({self.class_names[number]: float(row[number]) for number in order})
        return found

    def prepared(self, paths: Sequence[Path | str]) -> Tensor:
        """Picture files (B, C, H, W), fitted to the size of the training pictures and scaled like them."""
        from lab_vision.pictures import decode

        if self.image_size[0] != self.image_size[1]:
            raise DataError("only square pictures are fitted", hint="give a batch of pixels")
        pixels = [decode(Path(path).read_bytes(), self.image_size[0], grey=self.channels == 1) for path in paths]
        split: Images = self.train
        return split.scaled(torch.from_numpy(np.stack(pixels)))

    def pixels_of(self, images: Tensor) -> Tensor:
        """Scaled pictures (B, C, H, W) back between 0 and 1, for looking at."""
        mean, std = (
            torch.tensor(each, device=images.device)[:, None, None] for each in (self.channel_mean, self.channel_std)
        )
        return (images * std + mean).clamp(0, 1)


def _are_paths(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, (str, Path)) for value in values)


def image_data(
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    class_names: Sequence[str],
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    skipped: Sequence[tuple[str, str]] = (),
    name: str = "pictures",
    each_shown: bool = True,
) -> ImageData:
    """Data of decoded pictures.

    Args:
        splits: for training, validation and perhaps testing, pixels (N, C, H, W) uint8 and class numbers (N,).
        class_names: in the order of their numbers.
        mean, std: per channel, of pixels between 0 and 1; None computes them of the training pictures.
        skipped: what could not be read.
        name: how messages call it.
        each_shown: whether a class that no training picture shows is an error.

    Raises:
        DataError: there is one class only, or a class without a training picture.
    """
    if len(class_names) < 2:
        raise DataError(
            f"there is one class only: {class_names[0] if class_names else 'none'}", where=name, hint="two are needed"
        )
    pixels, target = splits[0]
    counts = np.bincount(target, minlength=len(class_names))
    if each_shown and not counts.all():
        empty = [class_names[number] for number in np.flatnonzero(counts == 0)]
        raise DataError(f"no training picture shows '{empty[0]}'", where=name, hint="remove the class, or give it some")
    if mean is None or std is None:
        mean, std = _statistics(pixels)
    parts = [Images(torch.from_numpy(np.array(p)), torch.from_numpy(t.astype(np.int64)), mean, std) for p, t in splits]
    train, valid, test = [*parts, None][:3]
    channels, *size = pixels.shape[1:]
    digest = hashlib.sha256(repr((tuple(class_names), tuple(mean), tuple(std))).encode())
    for part in parts:
        digest.update(part.pixels.contiguous().numpy())
        digest.update(part.target.numpy())
    return ImageData(
        train=train,
        valid=valid,
        test=test,
        collate=_as_it_is,
        fingerprint=digest.hexdigest(),
        channels=int(channels),
        image_size=(int(size[0]), int(size[1])),
        input_size=int(np.prod(pixels.shape[1:])),
        output_size=len(class_names),
        class_names=tuple(class_names),
        channel_mean=tuple(map(float, mean)),
        channel_std=tuple(map(float, std)),
        skipped=tuple(skipped),
    )


def _statistics(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel, of pixels between 0 and 1, by counting how often each value occurs."""
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        counts = np.bincount(pixels[:, channel].reshape(-1), minlength=256)
        mean = float((counts * values).sum() / counts.sum())
        means.append(mean)
        deviations.append(float(np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum())) or 1.0)
    return means, deviations


def _as_it_is(batch: Any) -> Any:
    return batch
