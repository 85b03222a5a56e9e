"""Random corner crops of the training pictures as a background class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lab_vision.pictures import WHOLE, Picture, Square, cut

__all__ = ["BACKGROUND", "Cuttings", "cut_corners"]

BACKGROUND = "background"
CORNER_EDGE = (0.22, 0.36)
MIDDLE_EDGE = (0.45, 0.75)


class Cuttings(NamedTuple):
    """Crops of pictures.

    Attributes:
        pixels: (N, C, size, size) uint8.
        row: (N,) index of the picture that each was cropped from.
        is_corner: (N,) True for corners, False for centers and whole pictures.
    """

    pixels: np.ndarray
    row: np.ndarray
    is_corner: np.ndarray


def cut_corners(pictures: Sequence[Picture], corners: int, size: int, *, gray: bool = False) -> Cuttings:
    """Crop random corners of each picture, and for each corner but one its center or the whole picture.

    Together with the original pictures, there are as many corners as pictures of objects.

    Args:
        pictures: pictures that can be read.
        corners: corners per picture, 1 to 4, drawn at random. The edge of a corner is 0.22 to 0.36 of the shorter edge
            of the picture, that of a center 0.45 to 0.75.
        size: edge of the crops in pixels.
        gray: one channel instead of three.
    """
    # A fixed seed, not the run's: the crops are part of the data, which all runs of a study share.
    generator = np.random.default_rng(0)
    pixels, rows, is_corner = [], [], []
    for row, picture in enumerate(pictures):
        squares = [*_corners(corners, generator), *_things(corners - 1, generator)]
        pixels += cut(picture.read(), size, squares, gray=gray)
        rows += [row] * len(squares)
        is_corner += [number < corners for number in range(len(squares))]
    return Cuttings(np.stack(pixels), np.array(rows), np.array(is_corner))


def _corners(count: int, generator: np.random.Generator) -> Iterator[Square]:
    for corner in generator.permutation(4)[:count].tolist():
        yield Square(generator.uniform(*CORNER_EDGE), corner % 2, corner // 2)


def _things(count: int, generator: np.random.Generator) -> Iterator[Square]:
    """Yield centers and whole pictures in turn."""
    for number in range(count):
        is_whole = number % 2
        yield WHOLE if is_whole else Square(generator.uniform(*MIDDLE_EDGE), *generator.uniform(0.35, 0.65, 2))
