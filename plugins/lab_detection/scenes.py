"""Drawn pictures: shapes and digits on cluttered backgrounds, with their boxes and masks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lab.errors import ParameterError

__all__ = ["DIGITS", "SHAPES", "Scenes", "draw"]

SHAPES = ("disk", "square", "triangle", "ring", "cross")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

TRIES = 20
MAX_OVERLAP = 0.2
"""Largest share of an object that a later one may cover, so that every object can be seen."""


class Scenes(NamedTuple):
    """Drawn pictures.

    Attributes:
        pixels: (N, 3, H, W) uint8.
        objects: (N, M, 5) float32, rows (class number, left, top, right, bottom) in fractions of the picture; -1 pads.
        masks: (N, H, W) uint8, 0 for background, otherwise class number + 1.
        instances: (N, H, W) uint8, 0 for background, otherwise the row of the object + 1.
    """

    pixels: np.ndarray
    objects: np.ndarray
    masks: np.ndarray
    instances: np.ndarray


def draw(
    count: int,
    edge: int,
    classes: tuple[str, ...],
    *,
    objects: tuple[int, int],
    sizes: tuple[float, float],
    generator: np.random.Generator,
    part: int = 0,
) -> Scenes:
    """Draw pictures.

    The background is smooth color noise with lines; an object has one color that differs from what lies below it. A box
    is the smallest that holds all pixels of its object, those that a later object covers included; a mask has what can
    be seen.

    Args:
        count: number of pictures.
        edge: height and width in pixels.
        classes: names from ``SHAPES`` and ``DIGITS``.
        objects: least and largest number of objects.
        sizes: least and largest edge of an object, as a fraction of the picture's.
        generator: source of all randomness.
        part: part of scikit-learn's written digits to draw from: 0 is two thirds, 1 and 2 a sixth each; no digit is in
            two of them.
    """
    unknown = [name for name in classes if name not in (*SHAPES, *DIGITS)]
    if unknown or not classes:
        raise ParameterError(f"unknown class '{unknown[0]}'" if unknown else "no class", hint=", ".join(SHAPES))
    stencils = _digits(part) if any(name in DIGITS for name in classes) else {}
    pixels = _backgrounds(count, edge, generator)
    found = np.full((count, objects[1], 5), -1, np.float32)
    masks, instances = np.zeros((2, count, edge, edge), np.uint8)
    for number in range(count):
        boxes: list[tuple[int, int, int, int]] = []
        wanted = int(generator.integers(objects[0], objects[1] + 1))
        for _ in range(TRIES * wanted):
            if len(boxes) == wanted:
                break
            height, width = _size(edge, sizes, generator)
            top, left = (int(generator.integers(0, edge - each + 1)) for each in (height, width))
            box = (left, top, left + width, top + height)
            if any(_covered(each, box) > MAX_OVERLAP for each in boxes):
                continue
            kind = int(generator.integers(len(classes)))
            shape = _stencil(classes[kind], height, width, stencils, generator)
            rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
            inside = (slice(top, top + height), slice(left, left + width))
            _paint(pixels[number][:, inside[0], inside[1]], shape, generator)
            masks[number][inside][shape] = kind + 1
            instances[number][inside][shape] = len(boxes) + 1
            tight = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
            found[number, len(boxes)] = (kind, *(each / edge for each in tight))
            boxes.append(box)
    noisy = pixels + generator.normal(0, 6, pixels.shape).astype(np.float32)
    return Scenes(noisy.clip(0, 255).astype(np.uint8), found, masks, instances)


def _size(edge: int, sizes: tuple[float, float], generator: np.random.Generator) -> tuple[int, int]:
    low, high = sizes
    size = edge * (low + (high - low) * generator.random())
    stretch = np.exp(generator.uniform(-0.35, 0.35))
    height, width = (round(min(max(each, 4), high * edge)) for each in (size / stretch, size * stretch))
    return max(height, 4), max(width, 4)


def _covered(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Return the share of the smaller of two boxes that the other covers."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    least = min((each[2] - each[0]) * (each[3] - each[1]) for each in (one, other))
    return max(width, 0) * max(height, 0) / least


def _backgrounds(count: int, edge: int, generator: np.random.Generator) -> np.ndarray:
    """Return smooth color noise with a few lines (N, 3, H, W) float32."""
    cells = 5
    coarse = generator.uniform(30, 225, (count, 3, cells, cells)).astype(np.float32)
    # Bilinear interpolation as two small matrix products.
    position = np.linspace(0, cells - 1, edge)
    weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells)[None])).astype(np.float32)
    pixels = np.einsum("hi,ncij,wj->nchw", weights, coarse, weights, optimize=True)
    for number in range(count):
        for _ in range(int(generator.integers(2, 6))):
            place, thickness = int(generator.integers(edge)), int(generator.integers(1, max(2, edge // 24) + 1))
            color = generator.uniform(0, 255, 3).astype(np.float32)[:, None, None]
            band = slice(place, place + thickness)
            start, stop = sorted(generator.integers(0, edge + 1, 2).tolist())
            if generator.random() < 0.5:
                pixels[number][:, band, start:stop] = color
            else:
                pixels[number][:, start:stop, band] = color
    return pixels


def _paint(area: np.ndarray, shape: np.ndarray, generator: np.random.Generator) -> None:
    """Fill a shape in place with a color that differs from the mean below it."""
    below = area[:, shape].mean(1)
    for _ in range(TRIES):
        color = generator.uniform(0, 255, 3)
        if np.abs(color - below).max() > 90:
            break
    area[:, shape] = color[:, None]


def _stencil(
    name: str, height: int, width: int, digits: dict[int, np.ndarray], generator: np.random.Generator
) -> np.ndarray:
    """Return the pixels (height, width) bool that an object covers."""
    y = ((np.arange(height) + 0.5) / height * 2 - 1)[:, None]
    x = ((np.arange(width) + 0.5) / width * 2 - 1)[None]
    if name == "disk":
        return x**2 + y**2 <= 1
    if name == "square":
        return np.ones((height, width), bool)
    if name == "triangle":
        # Pointing upwards; the least half-width keeps its tip one pixel wide.
        return np.abs(x) <= np.maximum((y + 1) / 2, 1 / width)
    if name == "ring":
        distance = x**2 + y**2
        return (distance <= 1) & (distance >= 0.3)
    if name == "cross":
        return (np.abs(x) <= 0.34) | (np.abs(y) <= 0.34)
    written = digits[DIGITS.index(name)]
    return _enlarged(written[int(generator.integers(len(written)))], height, width)


def _digits(part: int) -> dict[int, np.ndarray]:
    """Return the written digits (N, 8, 8) of each class that part 0, 1 or 2 has."""
    from sklearn.datasets import load_digits

    content = load_digits()
    found = {}
    for number in range(10):
        rows = content.images[content.target == number]
        cuts = [0, 2 * len(rows) // 3, 5 * len(rows) // 6, len(rows)]
        found[number] = rows[cuts[part] : cuts[part + 1]]
    return found


def _enlarged(digit: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a digit, without its empty border, as pixels (height, width) bool."""
    inked = digit > 4
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    digit = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def weights(size: int, cells: int) -> np.ndarray:
        position = ((np.arange(size) + 0.5) / size * cells - 0.5).clip(0, cells - 1)
        return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells)[None]))

    drawn: np.ndarray = weights(height, digit.shape[0]) @ digit @ weights(width, digit.shape[1]).T > 6
    return drawn if drawn.any() else np.ones((height, width), bool)
