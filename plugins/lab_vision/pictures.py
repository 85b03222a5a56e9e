"""Pictures from folders and archives, decoded once, with limits that files from elsewhere cannot break."""

from __future__ import annotations

import io
import posixpath
import stat
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from lab.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SUFFIXES", "WHOLE", "Decoded", "Picture", "Square", "cut", "decode", "pictures_in", "read_pictures"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
MOST_PIXELS = 50_000_000
"""A picture with more is refused: 50 million pixels take 150 MB."""

MANY = 2000
MOST_BYTES = 100_000_000
"""A member of an archive with more is refused before it is unpacked."""

Fit = Literal["crop", "squish"]


class Square(NamedTuple):
    """A square part of a picture.

    Attributes:
        edge: as a share of the shorter edge of the picture, in (0, 1].
        across, down: shares of what is free that lie to its left and above it; 0.5 is the middle.
    """

    edge: float
    across: float = 0.5
    down: float = 0.5


WHOLE = Square(1.0)
"""As much of a picture as a square can show."""


class Picture(NamedTuple):
    """A picture that can be read: its path inside the folder or archive, and how its bytes are had."""

    name: str
    read: Callable[[], bytes]


class Decoded(NamedTuple):
    """Pictures, decoded.

    Attributes:
        names: of those that could be read.
        pixels: (N, C, H, W) uint8.
        skipped: (name, reason) of those that could not.
    """

    names: list[str]
    pixels: np.ndarray
    skipped: list[tuple[str, str]]


def pictures_in(path: Path) -> list[Picture]:
    """The pictures of a folder or a ``.zip``, sorted by name; nothing is unpacked to the disk.

    Raises:
        DataError: there is no such file, it is no archive, or a member's path climbs out of it, is a link, or is
            absurdly large.
    """
    if path.is_dir():
        root = path.resolve()
        files = [each for each in sorted(path.rglob("*")) if each.suffix.lower() in SUFFIXES and each.is_file()]
        for each in files:
            if not each.resolve().is_relative_to(root):
                raise DataError("a link leads out of the folder of pictures", where=str(each), hint="remove it")
        return [Picture(each.relative_to(path).as_posix(), each.read_bytes) for each in files]
    if not path.is_file():
        raise DataError("there is no folder or archive of pictures", where=str(path), hint="check the path")
    return list(_members(path))


def _members(path: Path) -> Iterator[Picture]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError("this is no zip archive", where=str(path), hint="give a folder or a .zip") from error
    for member in sorted(archive.infolist(), key=lambda each: each.filename):
        _check_member(member, path)
        if not member.is_dir() and posixpath.splitext(member.filename)[1].lower() in SUFFIXES:
            yield Picture(member.filename, lambda member=member: archive.read(member))  # type: ignore[misc]


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    inside = member.filename.replace("\\", "/")
    where = f"{path}: {member.filename[:80]}"
    if inside.startswith("/") or ".." in inside.split("/"):
        raise DataError("a path in the archive climbs out of it", where=where, hint="do not trust this archive")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DataError("the archive holds a link", where=where, hint="do not trust this archive")
    if member.file_size > MOST_BYTES:
        raise DataError(
            f"a member of the archive would be {member.file_size:,} bytes", where=where, hint=f"at most {MOST_BYTES:,}"
        )


def read_pictures(
    pictures: Sequence[Picture], size: int | None, *, grey: bool = False, fit: Fit = "crop", progress: bool = True
) -> Decoded:
    """Decode pictures to one size; those that cannot be read are listed, not fatal.

    Args:
        pictures: what to read.
        size: edge of the square in pixels; None leaves pictures as they are, and then all must be of one size.
        grey: one channel instead of three; colour is taken away, and given to grey pictures otherwise.
        fit: ``crop`` scales the shorter edge and cuts the middle out, ``squish`` scales both.
        progress: whether a bar is shown while many pictures are read.

    Raises:
        DataError: no picture can be read, or they differ in size and ``size`` is None.
    """
    from tqdm.auto import tqdm

    watched = progress and len(pictures) > MANY and sys.stderr.isatty()
    names, pixels, skipped = [], [], []
    for picture in tqdm(pictures, "reading pictures", unit="picture", leave=False, disable=not watched):
        try:
            pixels.append(decode(picture.read(), size, grey=grey, fit=fit))
            names.append(picture.name)
        except (DataError, OSError, zipfile.BadZipFile) as error:
            skipped.append((picture.name, error.what if isinstance(error, DataError) else str(error)))
    if not pixels:
        told = "\n".join(f"{name}: {reason}" for name, reason in skipped[:5])
        raise DataError("no picture can be read", where=told or "there is none", hint=f"files: {', '.join(SUFFIXES)}")
    shapes = {each.shape for each in pixels}
    if len(shapes) > 1:
        raise DataError(f"the pictures have {len(shapes)} sizes", hint="give one: size=64")
    return Decoded(names, np.stack(pixels), skipped)


def decode(content: bytes, size: int | None, *, grey: bool = False, fit: Fit = "crop") -> np.ndarray:
    """The pixels (C, H, W) of an encoded picture, uint8; transparent parts become white.

    Raises:
        DataError: it is no picture, is truncated, or has too many pixels.
    """
    with _opened(content) as picture:
        if size is not None and fit == "crop":
            picture.draft(None, (2 * size, 2 * size))  # a JPEG need not be decoded larger than that
        coloured = _coloured(picture, grey)
        return _pixels(coloured if size is None else _resized(coloured, size, WHOLE if fit == "crop" else None))


def cut(content: bytes, size: int, squares: Iterable[Square], *, grey: bool = False) -> list[np.ndarray]:
    """Squares of an encoded picture, each scaled to pixels (C, size, size), uint8; errors as in ``decode``."""
    with _opened(content) as picture:
        coloured = _coloured(picture, grey)
        return [_pixels(_resized(coloured, size, square)) for square in squares]


@contextmanager
def _opened(content: bytes) -> Iterator[Image]:
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content)) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise DataError(f"{picture.width} × {picture.height} pixels; at most {MOST_PIXELS:,} are read")
                yield picture
        except UnidentifiedImageError as error:
            raise DataError("this is no picture") from error
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"the picture cannot be decoded: {error}") from error


def _coloured(picture: Image, grey: bool) -> Image:
    from PIL import Image

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture.convert("L" if grey else "RGB")


def _resized(picture: Image, size: int, square: Square | None) -> Image:
    """The whole picture, or a square of it, with edges of ``size`` pixels."""
    from PIL import Image

    if picture.size == (size, size) and square in (None, WHOLE):
        return picture
    box = None
    if square is not None:
        edge = square.edge * min(picture.size)
        left, top = square.across * (picture.width - edge), square.down * (picture.height - edge)
        box = (left, top, left + edge, top + edge)
    return picture.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)


def _pixels(picture: Image) -> np.ndarray:
    pixels = np.asarray(picture)
    return pixels[None] if picture.mode == "L" else pixels.transpose(2, 0, 1)
