"""Listing and decoding of pictures in folders and archives, with limits that protect against hostile files."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
import sys
import unicodedata
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import attrs
import numpy as np

from lab.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "WHOLE",
    "Decoded",
    "Listing",
    "Picture",
    "Square",
    "cut",
    "decode",
    "list_pictures",
    "pictures_in",
    "read_pictures",
]

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM")
"""Formats that Pillow may open. Others, such as EPS, start programs or read other files."""

HIDDEN = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "__pycache__", "lost+found"})
"""Files that operating systems leave in folders, in lower case; names that start with a dot are hidden too."""

MAX_PIXELS = 50_000_000
"""Limit of pixels of a picture: 50 million take 150 MB."""

MANY = 2000
MAX_BYTES = 100_000_000
"""Limit of the size of a file or archive member, checked before it is read."""

Fit = Literal["crop", "squish"]


class Square(NamedTuple):
    """A square crop of a picture.

    Attributes:
        edge: edge as a fraction of the shorter edge of the picture, in (0, 1].
        across, down: fractions of the remaining width and height to its left and above it; 0.5 is centered.
    """

    edge: float
    across: float = 0.5
    down: float = 0.5


WHOLE = Square(1.0)
"""The largest centered square."""


class Picture(NamedTuple):
    """A picture by its path inside the folder or archive, with a function that reads its bytes."""

    name: str
    read: Callable[[], bytes]


@attrs.define
class Listing:
    """The content of a folder or an archive.

    Attributes:
        pictures: pictures, sorted by folder and name.
        folders: every folder that is not hidden, with or without pictures.
        passed_over: suffix of files that are not read → their number.
        hidden: number of hidden files and folders, which are skipped.
        remarks: warnings, such as of links that lead in circles.
    """

    pictures: list[Picture] = attrs.field(factory=list)
    folders: set[str] = attrs.field(factory=set)
    passed_over: Counter[str] = attrs.field(factory=Counter)
    hidden: int = 0
    remarks: list[str] = attrs.field(factory=list)


class Decoded(NamedTuple):
    """Decoded pictures.

    Attributes:
        names: names of those that could be read.
        pixels: (N, C, H, W) uint8.
        skipped: (name, reason) of those that could not.
        digests: hash of the bytes of each file that could be read.
        traits: ``frames`` (more than one; the first is read), ``gray``, ``exif`` (damaged) → rows.
    """

    names: list[str]
    pixels: np.ndarray
    skipped: list[tuple[str, str]]
    digests: list[str]
    traits: dict[str, list[int]]


def pictures_in(path: Path) -> list[Picture]:
    """Return the pictures of a folder or a ``.zip``, sorted by name; see ``list_pictures``."""
    return list_pictures(path).pictures


def list_pictures(path: Path) -> Listing:
    """List a folder or a ``.zip``; archives are not unpacked to disk.

    Links are followed inside the folder. Bytes of names that are not UTF-8 are written as ``\\x``, and accents are
    composed (NFC), so that a name does not depend on the system that wrote it.

    Raises:
        DataError: there is no such file, it is not an archive or an encrypted one, a link leads out of the folder, or a
            member has a path outside the archive, is a link, or is too large.
    """
    if path.is_dir():
        listing = _list_folder(path)
    elif path.is_file():
        listing = _list_archive(path)
    else:
        raise DataError("folder or archive of pictures not found", where=str(path), hint="check the path")
    # By folder and name, so that ids and splits do not depend on the order of the file system.
    listing.pictures.sort(key=lambda picture: picture.name.split("/"))
    return listing


# --- folders ----------------------------------------------------------------------------------------------------------


def _list_folder(path: Path) -> Listing:
    root = path.resolve()
    found = Listing()
    waiting: list[tuple[Path, str, tuple[Path, ...]]] = [(path, "", (root,))]
    while waiting:
        folder, prefix, above = waiting.pop()
        for each in _entries(folder):
            name = prefix + _clean(each.name)
            if _is_hidden(each.name):
                found.hidden += 1
                continue
            is_picture = _suffix(name) in SUFFIXES
            if each.is_symlink():
                _check_link(each, root, is_picture)
            kind = _kind(each)
            if kind == "folder":
                # Compared with all folders around it, since links may form a circle over several folders.
                real = Path(each.path).resolve()
                # Following a link to a folder around it would never end.
                if real in above:
                    found.remarks.append(f"the link '{name}' leads back to a parent folder and was not followed")
                    continue
                found.folders.add(name)
                waiting.append((Path(each.path), name + "/", (*above, real)))
            elif kind != "file":
                found.passed_over[kind] += 1
            elif is_picture:
                found.pictures.append(Picture(name, lambda file=Path(each.path): _read_file(file)))  # type: ignore[misc]
            else:
                found.passed_over[_suffix(name) or "without suffix"] += 1
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda each: each.name)
    except OSError as error:
        raise DataError(
            f"a folder cannot be read: {error.strerror}",
            where=_clean(str(folder)),
            hint="change its permissions, or remove it",
        ) from error


def _kind(each: os.DirEntry[str]) -> str:
    try:
        if each.is_dir():
            return "folder"
        if each.is_file():
            return "file"
    except OSError:
        # Links in a circle.
        pass
    return "broken links" if each.is_symlink() else "neither file nor folder"


def _check_link(link: os.DirEntry[str], root: Path, is_picture: bool) -> None:
    try:
        target = Path(link.path).resolve()
        leads_out = not target.is_relative_to(root) and (is_picture or target.is_dir())
    except (OSError, RuntimeError):
        # Links in a circle; Python 3.11 raises RuntimeError.
        return
    if leads_out:
        raise DataError(
            "a link leads out of the folder of pictures",
            where=_clean(link.path),
            hint="remove it, or use the folder that contains both",
        )


def _read_file(path: Path) -> bytes:
    # Before reading: a file of many gigabytes would fill the memory.
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read")
    return path.read_bytes()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in HIDDEN


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _clean(name: str) -> str:
    """Return a file name that can be printed and hashed: bytes that are not UTF-8 as ``\\x``, accents composed."""
    if name.isascii():
        return name
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))


# --- archives ---------------------------------------------------------------------------------------------------------


def _list_archive(path: Path) -> Listing:
    try:
        archive = zipfile.ZipFile(path)
        members = archive.infolist()
    except OSError as error:
        raise DataError(f"the archive cannot be opened: {error.strerror}", where=str(path)) from error
    except Exception as error:
        # Damaged directories raise many kinds: BadZipFile, struct.error, NotImplementedError …
        raise DataError("this is not a zip archive", where=f"{path}: {error}", hint="use a folder or a .zip") from error
    found = Listing()
    for member in members:
        name = _member_name(member)
        _check_member(member, name, path)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if any(_is_hidden(part) for part in parts):
            found.hidden += 1
            continue
        found.folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + member.is_dir())}
        if member.is_dir():
            continue
        if _suffix(name) in SUFFIXES:
            found.pictures.append(
                Picture("/".join(parts), lambda member=member: _read_member(archive, member))  # type: ignore[misc]
            )
        else:
            found.passed_over[_suffix(name) or "without suffix"] += 1
    return found


def _member_name(member: zipfile.ZipInfo) -> str:
    """Return the path of a member with slashes."""
    name = member.filename
    # Names without the flag for UTF-8 are CP437 by the standard, but macOS writes UTF-8 without the flag.
    if not (member.flag_bits & 0x800 or name.isascii()):
        # Not UTF-8 either, so it is CP437, as zipfile has decoded it.
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _check_member(member: zipfile.ZipInfo, inside: str, path: Path) -> None:
    where = f"{path}: {inside[:80]}"
    if inside.startswith("/") or inside[1:3] == ":/" or ".." in inside.split("/"):
        raise DataError("the archive contains a path outside itself", where=where, hint="do not trust this archive")
    # The upper 16 bits hold the Unix mode.
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DataError("the archive contains a link", where=where, hint="do not trust this archive")
    if member.flag_bits & 0x1:
        raise DataError("the archive is encrypted", where=where, hint="unpack it, and use the folder")
    if member.file_size > MAX_BYTES:
        raise DataError(
            f"a member of the archive would be {member.file_size:,} bytes", where=where, hint=f"at most {MAX_BYTES:,}"
        )


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except Exception as error:
        # BadZipFile, zlib.error, EOFError, NotImplementedError for unknown compressions …
        raise DataError(f"the archive is damaged: {error}") from error


# --- decoding ---------------------------------------------------------------------------------------------------------


def read_pictures(
    pictures: Sequence[Picture], size: int | None, *, gray: bool = False, fit: Fit = "crop", progress: bool = True
) -> Decoded:
    """Decode pictures to one size; those that cannot be read are listed in the result.

    Args:
        pictures: the pictures.
        size: edge of the square in pixels; None keeps the size, which must be the same for all.
        gray: convert to one channel; otherwise all pictures have three.
        fit: ``crop`` scales the shorter edge and crops the center, ``squish`` scales both edges.
        progress: show a progress bar for many pictures.

    Raises:
        DataError: no picture can be read, or they differ in size and ``size`` is None.
    """
    from tqdm.auto import tqdm

    watched = progress and len(pictures) > MANY and sys.stderr.isatty()
    names, pixels, skipped, digests = [], [], [], []
    traits: dict[str, list[int]] = {}
    for picture in tqdm(pictures, "reading pictures", unit="picture", leave=False, disable=not watched):
        own: list[str] = []
        try:
            content = picture.read()
            pixels.append(decode(content, size, gray=gray, fit=fit, traits=own))
        except (DataError, OSError) as error:
            skipped.append((picture.name, error.what if isinstance(error, DataError) else str(error.strerror)))
            continue
        for trait in own:
            traits.setdefault(trait, []).append(len(names))
        names.append(picture.name)
        digests.append(hashlib.sha256(content).hexdigest()[:32])
    if not pixels:
        reasons = "\n".join(f"{name}: {reason}" for name, reason in skipped[:5])
        raise DataError(
            "no picture can be read", where=reasons or "there is none", hint=f"files: {', '.join(SUFFIXES)}"
        )
    if size is None:
        _require_one_size(names, pixels)
    return Decoded(names, np.stack(pixels), skipped, digests, traits)


def _require_one_size(names: Sequence[str], pixels: Sequence[np.ndarray]) -> None:
    # The most common size, so that the message names the exception and not the rule.
    sizes = Counter(each.shape[1:] for each in pixels)
    if len(sizes) == 1:
        return
    usual = sizes.most_common(1)[0][0]
    other = next(row for row, each in enumerate(pixels) if each.shape[1:] != usual)
    height, width = pixels[other].shape[1:]
    raise DataError(
        f"the pictures have {len(sizes)} sizes: most are {usual[1]} × {usual[0]}, '{names[other]}' is "
        f"{width} × {height}",
        hint="set one size: size=64",
    )


def decode(
    content: bytes, size: int | None, *, gray: bool = False, fit: Fit = "crop", traits: list[str] | None = None
) -> np.ndarray:
    """Decode a picture to pixels (C, H, W) uint8, with its EXIF orientation applied and transparency on white.

    Gray values of 16 bits are scaled from the range of their type, floats from 0 to 1. Of several frames or pages, the
    first is read.

    Args:
        content: the bytes of the file.
        size, gray, fit: as in ``read_pictures``.
        traits: list to which ``frames``, ``gray`` and ``exif`` are added if they apply; see ``Decoded``.

    Raises:
        DataError: it is not a picture, is truncated, has too many pixels, or values of an unknown range.
    """
    with _opened(content) as picture:
        if size is not None and fit == "crop":
            # Libjpeg then decodes at a fraction of the size, and faster.
            picture.draft(None, (2 * size, 2 * size))
        converted = _converted(picture, gray, traits)
        return _pixels(converted if size is None else _resized(converted, size, WHOLE if fit == "crop" else None))


def cut(content: bytes, size: int, squares: Iterable[Square], *, gray: bool = False) -> list[np.ndarray]:
    """Crop squares of an encoded picture, each scaled to pixels (C, size, size) uint8; errors as in ``decode``."""
    with _opened(content) as picture:
        converted = _converted(picture, gray)
        return [_pixels(_resized(converted, size, square)) for square in squares]


@contextmanager
def _opened(content: bytes) -> Iterator[Image]:
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise DataError("the file is empty")
    with warnings.catch_warnings():
        # Pillow warns of odd metadata, and of large pictures, for which there is a limit of our own.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise DataError(f"{picture.width} × {picture.height} pixels; at most {MAX_PIXELS:,} are read")
                yield picture
        except DataError:
            raise
        except UnidentifiedImageError as error:
            is_tiff = content[:4] in (b"II*\0", b"MM\0*")
            raise DataError("this kind of TIFF cannot be read" if is_tiff else "this is not a picture") from error
        except Image.DecompressionBombError as error:
            raise DataError(f"too many pixels; at most {MAX_PIXELS:,} are read") from error
        except (
            Exception
            # Pillow's decoders raise many kinds on damaged files, struct.error and IndexError too.
        ) as error:
            raise DataError(f"the picture cannot be decoded: {error}") from error


def _converted(picture: Image, gray: bool, traits: list[str] | None = None) -> Image:
    from PIL import Image

    traits = [] if traits is None else traits
    # MPO: a photograph with its preview.
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        traits.append("frames")
    if picture.mode in ("1", "L", "LA", "La", "I", "F") or picture.mode.startswith("I;"):
        traits.append("gray")
    _turn_upright(picture, traits)
    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        picture = _eight_bits(picture)
    if picture.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in picture.info:
        # Dropping the alpha channel would show whatever color transparent pixels happen to have.
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture.convert("L" if gray else "RGB")


def _turn_upright(picture: Image, traits: list[str]) -> None:
    """Apply the EXIF orientation, all eight of them, in place, which keeps the tags."""
    from PIL import ImageOps

    picture.load()
    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except Exception:
        # Damaged EXIF data raise struct.error, SyntaxError, KeyError …; the pixels are good.
        traits.append("exif")


def _eight_bits(picture: Image) -> Image:
    """Scale gray values of more than 8 bits from the range of their type."""
    from PIL import Image

    # Pillow's own conversion clips 16-bit values at 255 and leaves floats between 0 and 1 black.
    values = np.asarray(picture).astype(np.float64)
    if picture.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise DataError(f"floats from {low:g} to {high:g}; only those from 0 (black) to 1 (white) are read")
        full = 1.0
    else:
        full = float(_full_scale(picture))
    shares = values / full
    tags = getattr(picture, "tag_v2", {})
    # PhotometricInterpretation: WhiteIsZero, which Pillow honors for 8 bits only.
    if tags.get(262) == 0:
        shares = 1 - shares
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        shares[values == transparent] = 1
    return Image.fromarray(np.round(255 * shares.clip(0, 1)).astype(np.uint8))


def _full_scale(picture: Image) -> int:
    """Return the largest gray value of the picture's type."""
    if picture.mode == "I" and picture.format not in ("PNG", "PPM"):
        raise DataError("gray values of 32 bits have no known range; save the picture with 8 or 16 bits")
    # BitsPerSample of a TIFF.
    bits = getattr(picture, "tag_v2", {}).get(258, (16,))
    return int(2 ** int(bits[0] if isinstance(bits, tuple) else bits) - 1)


def _resized(picture: Image, size: int, square: Square | None) -> Image:
    """Resize the whole picture, or a square of it, to edges of ``size`` pixels."""
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
