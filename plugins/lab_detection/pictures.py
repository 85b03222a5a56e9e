"""Reading of picture and mask files."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["decode_mask", "decode_picture", "read_bytes", "read_picture", "resized"]

MAX_PIXELS = 40_000_000
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def read_picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return a picture file as pixels (3, height, width) uint8, upright and resized to ``size`` (height, width).

    Raises:
        DataError: it cannot be opened or decoded.
    """
    return decode_picture(read_bytes(path), size, str(path), upright=True)[0]


def read_bytes(path: Path) -> bytes:
    """Return the content of a picture file.

    Raises:
        DataError: it cannot be opened.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"the picture cannot be opened: {error.strerror}", where=str(path)) from error


def decode_picture(
    content: bytes, size: tuple[int, int] | None, where: str, *, upright: bool = False
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return pixels (3, height, width) uint8 of an encoded picture, and its own height and width.

    Args:
        content: the bytes of a file.
        size: height and width that it is resized to, without keeping the aspect ratio; None keeps its own.
        where: its name in messages.
        upright: apply the EXIF orientation. Not for pictures with boxes, which are given in the coordinates of the
            stored pixels.

    Raises:
        DataError: it is not a picture, is damaged, or has too many pixels.
    """
    return resized(_opened(content, where, upright=upright), size)


def resized(picture: Image.Image, size: tuple[int, int] | None) -> tuple[np.ndarray, tuple[int, int]]:
    """Return pixels (3, height, width) uint8 of a picture, resized if a size is given, and its own size."""
    picture = picture.convert("RGB")
    own = (picture.height, picture.width)
    if size is not None and own != size:
        picture = picture.resize((size[1], size[0]), 2, reducing_gap=2.0)
    return np.asarray(picture).transpose(2, 0, 1), own


def decode_mask(content: bytes, size: tuple[int, int] | None, where: str) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the class numbers (height, width) uint8 of a mask with a palette or gray values, and its own size.

    A mask in color is returned as (height, width, 3). Pixels are taken from the nearest place, never mixed.

    Raises:
        DataError: it is not a picture, is damaged, has too many pixels, or class numbers above 255.
    """
    picture = _opened(content, where)
    if picture.mode == "1" or picture.mode.startswith("I"):
        picture = _in_bytes(picture, where)
    elif picture.mode not in ("P", "L"):
        picture = picture.convert("RGB")
    own = (picture.height, picture.width)
    if size is not None and own != size:
        picture = picture.resize((size[1], size[0]), 0)
    return np.asarray(picture), own


def _in_bytes(picture, where: str):  # type: ignore[no-untyped-def]
    """Return a mask of one, 16 or 32 bits with 8; Pillow's own conversion would scale its values."""
    from PIL import Image

    values = np.asarray(picture)
    if values.max(initial=0) > 255:
        raise DataError(f"the mask has the value {values.max()}; class numbers are at most 255", where=where)
    return Image.fromarray(values.astype(np.uint8))


def _opened(content: bytes, where: str, *, upright: bool = False):  # type: ignore[no-untyped-def]
    from PIL import Image, ImageOps, UnidentifiedImageError

    with warnings.catch_warnings():
        # Pillow warns of odd metadata, and of large pictures, for which there is a limit of our own.
        warnings.simplefilter("ignore")
        try:
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(
                    f"{picture.width} × {picture.height} pixels; at most {MAX_PIXELS:,} are read", where=where
                )
            picture.load()
            if upright:
                ImageOps.exif_transpose(picture, in_place=True)
        except DataError:
            raise
        except UnidentifiedImageError:
            # Pillow's message names an object in memory.
            known = ", ".join(FORMATS)
            raise DataError("not a picture, or of an unknown format", where=where, hint=f"known: {known}") from None
        except Exception as error:
            # Pillow's decoders raise many kinds on damaged files, struct.error and IndexError too.
            raise DataError(f"the picture cannot be decoded: {error}", where=where) from error
    return picture
