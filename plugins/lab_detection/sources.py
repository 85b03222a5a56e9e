"""Datasets of pictures with boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from lab.errors import ParameterError
from lab_detection.data import BoxData, ClassData, MaskData, box_data, class_data, mask_data
from lab_detection.proposals import REGIONS, from_colors, padded
from lab_detection.scenes import DIGITS, SHAPES, Scenes, draw

__all__ = ["drawn_boxes", "drawn_classes", "drawn_masks"]

Things = Literal["shapes", "digits", "both"]
THINGS = {"shapes": SHAPES, "digits": DIGITS, "both": (*SHAPES, *DIGITS)}


def drawn_boxes(
    *,
    size: int = 64,
    train: int = 1000,
    valid: int = 250,
    test: int = 0,
    things: Things = "shapes",
    objects: Sequence[int] = (1, 4),
    sizes: Sequence[float] = (0.2, 0.5),
    merged: bool = False,
    instances: bool = False,
    proposals: Literal["regions"] | None = None,
    seed: int = 0,
) -> BoxData:
    """Shapes or digits on cluttered backgrounds, with their boxes; drawn by code, so that nothing is downloaded.

    Written digits are scikit-learn's; training, validation and testing have none in common.

    Args:
        size: height and width of the pictures in pixels.
        train, valid, test: number of training, validation and test pictures; without test pictures, none are scored.
        things: ``shapes`` (five classes), ``digits`` (ten), or ``both``.
        objects: least and largest number of objects of a picture; 0 allows pictures without any.
        sizes: least and largest edge of an object, as a fraction of the picture's.
        merged: count all objects as one class, ``object``.
        instances: give each object its mask, too, for ``mask_rcnn``.
        proposals: ``regions`` gives every picture the boxes of its regions of similar color, for
            ``use("fast_rcnn", proposals="given")``; see ``lab_detection.proposals``.
        seed: seed of the drawing; not that of a run, since all runs share the data.
    """
    if proposals not in (None, REGIONS):
        raise ParameterError(f"unknown proposals '{proposals}'", where="dataset 'drawn_boxes'", hint=REGIONS)
    scenes, classes = _drawn("drawn_boxes", size, (train, valid, test), things, objects, sizes, seed)
    if merged:
        classes = ("object",)
        for each in scenes:
            # Padding stays -1.
            each.objects[..., 0] = each.objects[..., 0].clip(max=0)
    parts = [(each.pixels, each.objects, *([each.instances] if instances else [])) for each in scenes]
    regions = None if proposals is None else [padded(from_colors(each.pixels)) for each in scenes]
    return box_data(parts, classes, proposals=regions, proposals_from=proposals or "")


def drawn_classes(
    *,
    size: int = 32,
    train: int = 2000,
    valid: int = 250,
    test: int = 0,
    things: Things = "shapes",
    sizes: Sequence[float] = (0.4, 0.9),
    seed: int = 0,
) -> ClassData:
    """Pictures in color of one shape or digit each, with its class; drawn by code.

    Args:
        size: height and width of the pictures in pixels.
        train, valid, test: number of training, validation and test pictures; without test pictures, none are scored.
        things: ``shapes`` (five classes), ``digits`` (ten), or ``both``.
        sizes: least and largest edge of the object, as a fraction of the picture's.
        seed: seed of the drawing; not that of a run, since all runs share the data.
    """
    scenes, classes = _drawn("drawn_classes", size, (train, valid, test), things, (1, 1), sizes, seed)
    return class_data([(each.pixels, each.objects[:, 0, 0].astype(np.int64)) for each in scenes], classes)


def drawn_masks(
    *,
    size: int = 64,
    train: int = 600,
    valid: int = 200,
    test: int = 0,
    things: Things = "shapes",
    objects: Sequence[int] = (1, 4),
    sizes: Sequence[float] = (0.2, 0.5),
    seed: int = 0,
) -> MaskData:
    """Shapes or digits on cluttered backgrounds, with the class of every pixel; the pictures of ``drawn_boxes``.

    Args:
        size: height and width of the pictures in pixels.
        train, valid, test: number of training, validation and test pictures; without test pictures, none are scored.
        things: ``shapes`` (five classes), ``digits`` (ten), or ``both``; background is one more.
        objects: least and largest number of objects of a picture.
        sizes: least and largest edge of an object, as a fraction of the picture's.
        seed: seed of the drawing.
    """
    scenes, classes = _drawn("drawn_masks", size, (train, valid, test), things, objects, sizes, seed)
    return mask_data([(each.pixels, each.masks) for each in scenes], ("background", *classes))


def _drawn(
    name: str,
    size: int,
    counts: tuple[int, int, int],
    things: Things,
    objects: Sequence[int],
    sizes: Sequence[float],
    seed: int,
) -> tuple[list[Scenes], tuple[str, ...]]:
    where = f"dataset '{name}'"
    train, valid, test = counts
    if size < 16 or train < 1 or valid < 1 or test < 0 or seed < 0:
        raise ParameterError(
            f"size={size}, train={train}, valid={valid}, test={test}, seed={seed}",
            where=where,
            hint="at least 16 pixels, one picture for training and for validation, and a seed of at least 0",
        )
    if things not in THINGS:
        raise ParameterError(f"unknown things '{things}'", where=where, hint=", ".join(THINGS))
    if len(objects) != 2 or not 0 <= objects[0] <= objects[1] or objects[1] < 1:
        raise ParameterError(f"objects={list(objects)}", where=where, hint="the least and the largest number: (1, 4)")
    if len(sizes) != 2 or not 0 < sizes[0] <= sizes[1] <= 1:
        raise ParameterError(f"sizes={list(sizes)}", where=where, hint="two fractions of the picture: (0.2, 0.5)")
    classes = THINGS[things]
    parts = [
        draw(
            count,
            size,
            classes,
            objects=(int(objects[0]), int(objects[1])),
            sizes=(float(sizes[0]), float(sizes[1])),
            generator=np.random.default_rng([seed, number]),
            part=number,
        )
        for number, count in enumerate(counts)
        if count
    ]
    return parts, classes
