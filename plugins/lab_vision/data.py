"""Image data: pixels stored as bytes and scaled when a batch is built."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import attrs
import numpy as np
import torch
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "ImageBatch",
    "ImageData",
    "Images",
    "check_scale",
    "image_data",
    "kept_data",
    "require_count",
    "require_size",
]


class ImageBatch(NamedTuple):
    """A batch of pictures.

    Attributes:
        images: (B, C, H, W) float, with mean 0 and standard deviation 1 over the training pictures.
        target: (B,) class numbers; or (B, K) float, 0 or 1 for each class, of pictures with several.
    """

    images: Tensor
    target: Tensor


class Images:
    """Dataset of pixels (N, C, H, W) uint8 and classes (N,) or (N, K) that scales the pixels of a batch."""

    def __init__(self, pixels: Tensor, target: Tensor, mean: Sequence[float], std: Sequence[float]) -> None:
        self.pixels, self.target = pixels, target
        self._shift = 255 * torch.tensor(mean)[:, None, None]
        self._scale = 1 / (255 * torch.tensor(std))[:, None, None]

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> ImageBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        # Pixels stay bytes until here: as floats, a dataset would need four times the memory.
        chosen = torch.as_tensor(indices)
        return ImageBatch(self.scaled(self.pixels.index_select(0, chosen)), self.target.index_select(0, chosen))

    def __add__(self, other: Images) -> Images:
        """Return the images of both, scaled as these are."""
        both = copy.copy(self)
        both.pixels, both.target = torch.cat([self.pixels, other.pixels]), torch.cat([self.target, other.target])
        return both

    def scaled(self, pixels: Tensor) -> Tensor:
        """Scale pixels (B, C, H, W) uint8 to the input of a model."""
        # In place: a batch of floats is allocated once instead of three times.
        return pixels.float().sub_(self._shift).mul_(self._scale)


@attrs.define(eq=False, kw_only=True)
class ImageData(Data):
    """Pictures with classes.

    Attributes:
        channels: 1 for gray, 3 for color.
        image_size: height and width in pixels.
        input_size: channels × height × width.
        output_size: number of classes.
        class_names: names of the classes by number.
        channel_mean, channel_std: mean and standard deviation of the training pixels, between 0 and 1.
        skipped: (name, reason) of pictures that could not be read.
        picture_fit: how the training pictures were fitted to their size, and files for prediction are too.
        several: whether a picture may have several classes, or none, each with a probability of its own.
    """

    channels: int
    image_size: tuple[int, int]
    input_size: int
    output_size: int
    class_names: tuple[str, ...]
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    picture_fit: Literal["crop", "squish"] = "crop"
    several: bool = False

    def split_facts(self, split: Any) -> dict[str, Any]:
        """Return ``targets``, the class number of each picture, unless it may have several."""
        return {} if self.several else {"targets": split.target}

    def probabilities(self, output: Tensor) -> Tensor:
        """Return the probability (B, K) of each class from logits."""
        return output.sigmoid() if self.several else output.softmax(-1)

    def predict(self, apply: Callable[..., Any], *inputs: Any) -> Any:
        """Predict the class probabilities of picture files, or the output for a batch as it is.

        ``learner.predict(["a.jpg", "b.png"])`` returns a list of dictionaries, class → probability, the most likely
        first.
        """
        if not (len(inputs) == 1 and isinstance(inputs[0], (list, tuple)) and _are_paths(inputs[0])):
            return super().predict(apply, *inputs)
        probabilities = self.probabilities(apply(self.prepared(inputs[0])).float().cpu())
        found = []
        for row in probabilities:
            order = row.argsort(descending=True).tolist()
            found.append({self.class_names[number]: float(row[number]) for number in order})
        return found

    def prepared(self, paths: Sequence[Path | str]) -> Tensor:
        """Read picture files (B, C, H, W), fitted to the size of the training pictures and scaled like them.

        Raises:
            DataError: a file cannot be read; it is named.
        """
        split: Images = self.train
        return split.scaled(torch.from_numpy(np.stack([self._pixels_of_file(Path(path)) for path in paths])))

    def _pixels_of_file(self, path: Path) -> np.ndarray:
        from lab_vision.pictures import decode

        height, width = self.image_size
        try:
            content = path.read_bytes()
            # Only squares can be cropped and resized to; other sizes must match exactly.
            is_square = height == width
            pixels = decode(content, height if is_square else None, gray=self.channels == 1, fit=self.picture_fit)
        except OSError as error:
            raise DataError(f"the picture cannot be opened: {error.strerror}", where=str(path)) from error
        except DataError as error:
            raise DataError(error.what, where=str(path), hint=error.hint) from error
        if pixels.shape[1:] != (height, width):
            raise DataError(
                f"the picture has {pixels.shape[2]} × {pixels.shape[1]} pixels, in training {width} × {height}",
                where=str(path),
                hint="only square pictures are resized: resize it, or pass a batch of pixels",
            )
        return pixels

    def draw_batch(self, batch: ImageBatch, *, count: int = 24) -> Figure:
        """Plot the first pictures of a batch with their classes, for ``lab show FILE --batch``."""
        from lab_vision.plots import plot_sheet

        titles = [self._title(target) for target in batch[1][:count]]
        return plot_sheet(self.pixels_of(batch[0][:count]), titles)

    def _title(self, target: Tensor) -> str:
        if not self.several:
            return self.class_names[int(target)]
        return ", ".join(name for name, is_there in zip(self.class_names, target, strict=True) if is_there)

    def pixels_of(self, images: Tensor) -> Tensor:
        """Return scaled pictures (B, C, H, W) as pixels between 0 and 1, for plots."""
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
    fit: Literal["crop", "squish"] = "crop",
    notes: Sequence[str] = (),
) -> ImageData:
    """Build the data of decoded pictures.

    Args:
        splits: pixels (N, C, H, W) uint8 and class numbers (N,), or 0 and 1 (N, K) of pictures with several classes,
            for training, validation and optionally testing.
        class_names: names of the classes by number.
        mean, std: per channel, of pixels between 0 and 1; None computes them from the training pictures.
        skipped: (name, reason) of pictures that could not be read.
        name: the name of the data in messages.
        each_shown: raise if a class has no training picture.
        fit: how files for prediction are fitted.
        notes: sentences on what was read.

    Raises:
        DataError: there is only one class, or a class without a training picture.
        ParameterError: only one of mean and std is given, or they do not match the channels.
    """
    check_scale(mean, std, splits[0][0].shape[1], name)
    if len(class_names) < 2:
        raise DataError(
            f"there is only one class: {class_names[0] if class_names else 'none'}",
            where=name,
            hint="at least two are needed",
        )
    pixels, target = splits[0]
    several = target.ndim == 2
    counts = target.sum(0) if several else np.bincount(target, minlength=len(class_names))
    if each_shown and not counts.all():
        empty = [class_names[number] for number in np.flatnonzero(counts == 0)]
        raise DataError(
            f"class '{empty[0]}' has no training picture", where=name, hint="remove the class, or add pictures"
        )
    if mean is None or std is None:
        mean, std = _statistics(pixels)
    kind = np.float32 if several else np.int64
    parts = [Images(torch.from_numpy(np.array(p)), torch.from_numpy(t.astype(kind)), mean, std) for p, t in splits]
    train, valid, test = [*parts, None][:3]
    channels, *size = pixels.shape[1:]
    # Names and scaling too: the same pixels with other class numbers are other data.
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
        picture_fit=fit,
        several=several,
        notes=tuple(notes),
    )


def kept_data(
    class_names: tuple[str, ...],
    *,
    channels: int,
    image_size: tuple[int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    fit: Literal["crop", "squish"],
    fingerprint: str,
    several: bool = False,
) -> ImageData:
    """Return data without pictures, which can only predict; the parameters are those of training."""
    empty = Images(
        torch.zeros(0, channels, *image_size, dtype=torch.uint8), torch.zeros(0, dtype=torch.long), mean, std
    )
    return ImageData(
        train=empty,
        valid=None,
        collate=_as_it_is,
        fingerprint=fingerprint,
        channels=channels,
        image_size=image_size,
        input_size=channels * image_size[0] * image_size[1],
        output_size=len(class_names),
        class_names=class_names,
        channel_mean=mean,
        channel_std=std,
        picture_fit=fit,
        several=several,
    )


def check_scale(mean: Sequence[float] | None, std: Sequence[float] | None, channels: int, where: str) -> None:
    """Raise a ParameterError unless mean and std are both None, or both one finite number per channel."""
    if mean is None and std is None:
        return
    if mean is None or std is None:
        given, lacking = ("std", "mean") if mean is None else ("mean", "std")
        raise ParameterError(
            f"{given} is given without {lacking}", where=where, hint="set both, or neither to compute them"
        )
    for label, values in (("mean", mean), ("std", std)):
        if isinstance(values, (str, int, float)) or len(values) != channels:
            raise ParameterError(f"{label}={values} for {channels} channels", where=where, hint="one number each")
        if not all(math.isfinite(value) for value in values):
            raise ParameterError(f"{label}={values} is not finite", where=where)
    if min(std) <= 0:
        raise ParameterError(f"std={std} must be positive", where=where)


def require_count(label: str, value: int | None, least: int, where: str) -> None:
    """Raise a ParameterError if a number is below ``least``; None is allowed."""
    if value is not None and value < least:
        raise ParameterError(f"{label} must be at least {least}, got {value}", where=where)


def require_size(size: int | None, where: str) -> None:
    """Raise a ParameterError if a size is below 1 or too large; None is allowed."""
    from lab_vision.pictures import MAX_PIXELS

    require_count("size", size, 1, where)
    if size is not None and size * size > MAX_PIXELS:
        raise ParameterError(f"size={size} is too large", where=where, hint=f"at most {math.isqrt(MAX_PIXELS):,}")


def _statistics(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per channel, of pixels between 0 and 1."""
    # From a histogram of the 256 values: converting all pixels to float would take eight times their memory.
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
