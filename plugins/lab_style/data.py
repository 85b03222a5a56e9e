"""A picture of content and one of style: a dataset of one example."""

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
from lab.errors import DataError, LabError, ParameterError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["StyleBatch", "StyleData", "two_pictures"]

MAX_PIXELS = 40_000_000
LEAST_CONTRAST = 1e-3
"""Smallest difference of pixels between 0 and 1 that is not 0: a quarter of what 8 bits can show."""
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


class StyleBatch(NamedTuple):
    """A batch of the only example.

    Attributes:
        content: (B, 3, H, W) the content picture, scaled.
        target: (B, 3) zeros: distances of content, of style, and roughness, as they should be.
    """

    content: Tensor
    target: Tensor


class _Repeated:
    """Dataset with one example, ``count`` times, so that an epoch has as many steps."""

    def __init__(self, content: Tensor, count: int) -> None:
        self.content, self.count = content, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> StyleBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Any) -> StyleBatch:
        return StyleBatch(self.content.expand(len(indices), -1, -1, -1), torch.zeros(len(indices), 3))


@attrs.define(eq=False, kw_only=True)
class StyleData(Data):
    """Two pictures of one size.

    Attributes:
        channels: 3.
        content, style: (1, 3, H, W) scaled pixels, by default with mean 0 and standard deviation 1 over the content.
        channel_mean, channel_std: what they are scaled by, of pixels between 0 and 1.
    """

    channels: int
    content: Tensor
    style: Tensor
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]

    def draw_batch(self, batch: StyleBatch) -> Figure:
        """Plot both pictures, for ``lab show FILE --batch``."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3.2), layout="constrained")
        for axes, picture, title in zip(
            figure.subplots(1, 2), (batch.content[:1], self.style), ("content", "style"), strict=True
        ):
            axes.imshow(self.pixels_of(picture)[0].permute(1, 2, 0).numpy())
            axes.set_axis_off()
            axes.set_title(title)
        return figure

    def pixels_of(self, images: Tensor) -> Tensor:
        """Return scaled pictures (B, 3, H, W) as pixels between 0 and 1."""
        mean, std = (
            torch.tensor(each, device=images.device)[:, None, None] for each in (self.channel_mean, self.channel_std)
        )
        return (images * std + mean).clamp(0, 1)


def two_pictures(
    *,
    content: Path | None = None,
    style: Path | None = None,
    height: int = 96,
    width: int = 128,
    steps: int = 50,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> StyleData:
    """A content picture and a style picture; by default both are drawn by code.

    Args:
        content: file of the picture whose objects are kept; None draws hills, a house and the sun.
        style: file of the picture whose colors and textures are taken; None draws curved stripes and spots.
        height, width: size in pixels that both are resized to.
        steps: optimizer steps of an epoch.
        mean, std: per channel, that pixels between 0 and 1 are scaled by; None takes the content picture's. Published
            networks expect (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225).

    Raises:
        DataError: a file cannot be read, or the content has one color.
        ParameterError: a number is out of range. All problems are told at once.
    """
    where = "dataset 'two_pictures'"
    problems: list[LabError] = []
    sized = min(height, width) >= 16 and max(height, width) <= 4096
    if not sized or steps < 1:
        problems.append(
            ParameterError(
                f"height={height}, width={width}, steps={steps}",
                where=where,
                hint="16 to 4096 pixels, and at least one step",
            )
        )
    given = [None if each is None else np.asarray(each, np.float64) for each in (mean, std)]
    if (
        (mean is None) != (std is None)
        or not all(each is None or each.shape == (3,) for each in given)
        or not (given[1] is None or given[1].min() > 0)
    ):
        problems.append(
            ParameterError(
                f"mean={mean}, std={std}",
                where=where,
                hint="neither, or both with three numbers, those of std above 0",
            )
        )
    drawn = {"content": _hills, "style": _stripes}
    # Files are tried at any size, so that those that cannot be read are told together with numbers out of range.
    size = (height, width) if sized else (16, 16)
    made = []
    for name, path in (("content", content), ("style", style)):
        try:
            made.append(drawn[name](*size) if path is None else _read(Path(path), *size))
        except DataError as error:
            problems.append(error)
    _raise_all(problems, where)
    first, second = made
    shift = first.mean((1, 2)) if given[0] is None else given[0]
    if np.abs(first - shift[:, None, None]).max() < LEAST_CONTRAST:
        # Scaled, it is 0 everywhere: so are features and gradients, and no distance can be relative to it.
        raise DataError(
            "the content picture has one color, the mean that is subtracted: it has no content, and its pixels "
            "could not move",
            where=f"{where}, content={content}",
            hint="another picture, or mean and std: mean=[0.485, 0.456, 0.406] and std=[0.229, 0.224, 0.225]",
        )
    spread = first.std((1, 2))
    # A channel of one value would be scaled so much that a step could not change its color; it gets the largest scale.
    flat = np.maximum(spread.max(), LEAST_CONTRAST)
    scale = np.where(spread < LEAST_CONTRAST, flat, spread) if given[1] is None else given[1]
    scaled = [
        torch.from_numpy(np.ascontiguousarray((each - shift[:, None, None]) / scale[:, None, None], np.float32))[None]
        for each in (first, second)
    ]
    digest = hashlib.sha256(repr((height, width, steps)).encode())
    for each in scaled:
        digest.update(each.numpy())
    return StyleData(
        train=_Repeated(scaled[0], steps),
        valid=_Repeated(scaled[0], 1),
        collate=_as_it_is,
        fingerprint=digest.hexdigest(),
        channels=3,
        content=scaled[0],
        style=scaled[1],
        channel_mean=tuple(map(float, shift)),
        channel_std=tuple(map(float, scale)),
    )


def _raise_all(problems: Sequence[LabError], where: str) -> None:
    """Raise the only problem, or one error that lists all."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        lines = ["; ".join(each for each in (f"{error.where}: {error.what}", error.hint) if each) for error in problems]
        kind = DataError if any(isinstance(each, DataError) for each in problems) else ParameterError
        raise kind(f"{len(problems)} problems", where=where, hint="\n".join(lines))


def _read(path: Path, height: int, width: int) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(f"more than {MAX_PIXELS:,} pixels", where=str(path))
            if min(picture.size) < 2:
                raise DataError(f"the picture has only {picture.width} × {picture.height} pixels", where=str(path))
            # The center, at the wanted aspect ratio.
            fitted = ImageOps.fit(picture.convert("RGB"), (width, height))
    except DataError:
        raise
    except Exception as error:
        # Pillow's decoders raise many kinds on damaged files, struct.error and IndexError too.
        raise DataError(f"the picture cannot be read: {error}", where=str(path)) from error
    return np.asarray(fitted).transpose(2, 0, 1) / 255


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]  # type: ignore[no-any-return]


def _filled(pixels: np.ndarray, where: np.ndarray, color: tuple[float, float, float]) -> None:
    pixels[:, where] = np.array(color)[:, None]


def _hills(height: int, width: int) -> np.ndarray:
    """Draw hills below a sky, with a sun and a house (3, H, W) between 0 and 1."""
    y, x = _grid(height, width)
    pixels = np.stack([0.55 + 0.3 * y, 0.7 + 0.2 * y, 0.95 - 0.1 * y])
    _filled(pixels, (x - 0.8) ** 2 + ((y - 0.2) * height / width) ** 2 < 0.006, (1.0, 0.9, 0.4))
    for level, color in ((0.55, (0.45, 0.6, 0.5)), (0.68, (0.3, 0.55, 0.3)), (0.8, (0.2, 0.4, 0.2))):
        _filled(pixels, y > level + 0.07 * np.sin(9 * x + 20 * level) + 0.02 * np.cos(31 * x), color)
    _filled(pixels, (np.abs(x - 0.35) < 0.1) & (y > 0.5) & (y < 0.75), (0.85, 0.75, 0.6))
    _filled(pixels, (y > 0.36) & (y < 0.5) & (np.abs(x - 0.35) < 0.9 * (y - 0.36)), (0.6, 0.2, 0.15))
    _filled(pixels, (np.abs(x - 0.38) < 0.02) & (y > 0.62) & (y < 0.75), (0.3, 0.2, 0.15))
    _filled(pixels, (np.abs(x - 0.3) < 0.02) & (y > 0.55) & (y < 0.61), (0.4, 0.6, 0.8))
    return pixels


def _stripes(height: int, width: int) -> np.ndarray:
    """Draw curved stripes in warm and dark colors with spots (3, H, W) between 0 and 1."""
    y, x = _grid(height, width)
    phase = 10 * x + 6 * y + 1.3 * np.sin(7 * y + 3 * x)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * phase / 1.6)
    pixels = np.stack([0.9 * wave + 0.1, 0.25 + 0.45 * wave**2, 0.5 - 0.35 * wave])
    spots = np.sin(16 * np.pi * (x + 0.1 * np.sin(6 * y))) * np.sin(12 * np.pi * y) > 0.82
    _filled(pixels, spots, (0.05, 0.1, 0.3))
    return pixels


def _as_it_is(batch: Any) -> Any:
    return batch
