"""Text files: encodings, and detection of files of other kinds before they are read."""

from __future__ import annotations

import codecs
import gzip
import io
import logging
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lab.errors import DataError, ParameterError

__all__ = [
    "check_encoding",
    "check_text_file",
    "decoded",
    "is_gzip",
    "is_utf8",
    "not_encoded",
    "open_bytes",
    "read_text",
    "recoded_lines",
]

log = logging.getLogger("lab")

HEAD_BYTES = 1 << 16
MAX_SHOWN = 60

_STARTS = {
    b"\xd0\xcf\x11\xe0": "an old Word or Excel document",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF document",
    b"{\\rtf": "an RTF document",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x93NUMPY": "an array of NumPy",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x80\x04\x95": "a pickle",
}
_ZIP = b"PK\x03\x04"
_GZIP = b"\x1f\x8b"
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_AGAIN = "fetch or write it again"


_NOT_OF_FILES = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"})


def check_encoding(encoding: str, where: str) -> None:
    """Raise a ParameterError if Python has no such encoding of text."""
    try:
        codec = codecs.lookup(encoding)
        # codecs.lookup also knows base64, zip and other transformations.
        is_text = codec._is_text_encoding and codec.name not in _NOT_OF_FILES
    except (LookupError, ValueError, TypeError):
        is_text = False
    if not is_text:
        raise ParameterError(
            f"unknown encoding {encoding!r}", where=where, hint="for example: utf-8, cp1252, latin-1, utf-16"
        )


def is_utf8(encoding: str) -> bool:
    """Return True for UTF-8, with or without a byte-order mark."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def without_mark(encoding: str) -> str:
    """Return the encoding that skips a byte-order mark."""
    return "utf-8-sig" if is_utf8(encoding) else encoding


def is_gzip(path: Path) -> bool:
    """Return True for a file compressed with gzip, by its first bytes and not by its name."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def open_bytes(path: Path) -> IO[bytes]:
    """Return the content of a file, plain or gzip."""
    return gzip.open(path) if is_gzip(path) else path.open("rb")  # type: ignore[return-value]


def check_text_file(
    path: Path, encoding: str = "utf-8", *, noun: str = "corpus file", empty: str = "", pages: bool = False
) -> None:
    """Raise unless a file exists and its first bytes look like text in this encoding.

    Args:
        path: the file, plain or gzip.
        encoding: expected encoding.
        noun: name of the file in messages.
        empty: message for an empty file.
        pages: accept web pages.

    Raises:
        DataError: it is missing, a folder, empty, not text, or in another encoding, judging by its beginning.
        ParameterError: the encoding is unknown.
    """
    check_encoding(encoding, str(path))
    if not path.is_file():
        hint = "this is a folder; name a file in it" if path.is_dir() else "check the path, or see `lab data`"
        what = f"{noun} is neither a file nor a folder" if path.exists() and not path.is_dir() else f"{noun} not found"
        raise DataError(what, where=str(path), hint=hint)
    try:
        if path.stat().st_size == 0:
            raise DataError(empty or f"{noun} is empty", where=str(path), hint=_AGAIN)
        head = _head(path)
    except PermissionError as error:
        raise DataError(f"{noun} cannot be opened: permission denied", where=str(path), hint="chmod +r") from error
    _refuse_other_kinds(path, head, pages=pages)
    _refuse_other_encodings(path, head, encoding)


def _head(path: Path) -> bytes:
    """Return the first bytes; nothing for a damaged gzip file, which is reported when it is read."""
    try:
        with open_bytes(path) as file:
            return file.read(HEAD_BYTES)
    # The full read reports the damage with its line.
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""


def _refuse_other_kinds(path: Path, head: bytes, *, pages: bool) -> None:
    if head.startswith(_ZIP):
        raise DataError("this is a zip archive, not a text file", where=str(path), hint=_zip_hint(path))
    for start, kind in _STARTS.items():
        if head.startswith(start):
            raise DataError(
                f"this is {kind}, not a text file", where=str(path), hint="unpack it, or save it as plain text"
            )
    # The only format here whose mark is not at the beginning.
    if head[257:262] == b"ustar":
        raise DataError("this is a tar archive, not a text file", where=str(path), hint="unpack it, and name one file")
    # Login and error pages get saved under the name of the file that was asked for.
    if not pages and re.match(rb"\s*(\xef\xbb\xbf)?\s*<(!doctype html|html)\b", head, re.IGNORECASE):
        raise DataError("this is a web page, not a text file", where=str(path), hint="fetch the file itself")


def _zip_hint(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            files = [each for each in archive.infolist() if not each.is_dir()]
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        return "unpack it, and name a file in it"
    shown = ", ".join(each.filename for each in files[:5]) + (" …" if len(files) > 5 else "")
    secret = "; it is encrypted" if any(each.flag_bits & 1 for each in files) else ""
    return f"unpack it, and name a file in it: {shown}{secret}"


def _refuse_other_encodings(path: Path, head: bytes, encoding: str) -> None:
    # UTF-16 and UTF-32 report a missing mark themselves when they are read.
    name = codecs.lookup(encoding).name
    if name.startswith(("utf-16", "utf-32")):
        return
    for mark, other in _BOMS.items():
        if head.startswith(mark):
            raise DataError(
                f"the file is {other.upper()}, not {encoding.upper()}", where=str(path), hint=f"encoding='{other}'"
            )
    # A few zero bytes are reported by the readers, with their line.
    if head.count(0) * 50 > len(head):
        # Western text in UTF-16 has a zero in every second byte.
        even, odd = head[::2].count(0), head[1::2].count(0)
        wide = max(even, odd) > len(head) // 8 and min(even, odd) < max(even, odd) // 8
        hint = f"encoding='utf-16-{'le' if odd > even else 'be'}'" if wide else "give a text file"
        place = "" if wide else f" (the first in line {head.count(10, 0, head.index(0)) + 1:,})"
        raise DataError(f"the file has zero bytes{place}, so it is not text in {encoding}", where=str(path), hint=hint)
    if not is_utf8(encoding):
        if head.startswith(codecs.BOM_UTF8):
            raise DataError(
                f"the file begins with the mark of UTF-8, and is read as {encoding}",
                where=str(path),
                hint="encoding='utf-8'",
            )
        _tell_utf8(path, head, encoding)


def _tell_utf8(path: Path, head: bytes, encoding: str) -> None:
    """Warn if the text is valid UTF-8: text of another encoding hardly ever is."""
    try:
        # Incremental: the head may end within a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
        letters = next((sign for sign in text if not sign.isascii()), "")
        other = letters.encode().decode(encoding, "replace")
    except UnicodeError:
        return
    if letters and other != letters:
        log.warning("%s is UTF-8, it seems, and is read as %s: '%s' becomes '%s'", path, encoding, letters, other)


def not_encoded(path: Path, encoding: str, line: bytes, number: int, error: UnicodeDecodeError) -> DataError:
    """Return the line that is not of this encoding, as the likely one would read it."""
    column = error.start + 1
    # cp1252 is the most likely encoding of a Western text that is not UTF-8.
    shown = line[max(0, error.start - MAX_SHOWN // 2) : error.start + MAX_SHOWN // 2].decode("cp1252", "replace")
    other = f"encoding='cp1252' reads '{' '.join(shown.split())}'"
    hint = f"{other}\nor convert the file, for example: iconv -f latin1 -t utf-8 {path.name}"
    return DataError(
        f"line {number:,} is not {encoding.upper()} (byte 0x{line[error.start]:02x} at column {column})",
        where=str(path),
        hint=hint if is_utf8(encoding) else "encoding='utf-8', 'cp1252', 'utf-16', …",
    )


def decoded(path: Path, content: bytes, encoding: str) -> str:
    """Return the content of a file as text, without a byte-order mark.

    Raises:
        DataError: a byte is not of this encoding; byte and line are given.
    """
    try:
        return content.decode(without_mark(encoding)).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        first = content.rfind(b"\n", 0, error.start) + 1
        shown = content[max(first, error.start - MAX_SHOWN // 2) : error.start + MAX_SHOWN // 2]
        shown = shown.partition(b"\n")[0]
        other = f"encoding='cp1252' reads '{' '.join(shown.decode('cp1252', 'replace').split())}'"
        raise DataError(
            f"byte {error.start:,} (line {number:,}) is not {encoding.upper()}: 0x{content[error.start]:02x}",
            where=str(path),
            hint=f"{other}\nor convert the file, for example: iconv -f latin1 -t utf-8 {path.name}"
            if is_utf8(encoding)
            else "encoding='utf-8', 'cp1252', 'utf-16', …",
        ) from error
    except UnicodeError as error:  # of UTF-16 without its mark
        raise DataError(f"the file is not {encoding.upper()}: {error}", where=str(path), hint="encoding=…") from error


def read_text(
    path: Path, encoding: str = "utf-8", *, noun: str = "text file", empty: str = "", pages: bool = False
) -> str:
    """Return the content of a text file, plain or gzip, without a byte-order mark.

    Raises:
        DataError: see :func:`check_text_file` and :func:`decoded`.
    """
    check_text_file(path, encoding, noun=noun, empty=empty, pages=pages)
    try:
        with open_bytes(path) as file:
            content = file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError("the compressed file is damaged or cut short", where=str(path), hint=_AGAIN) from error
    text = decoded(path, content, encoding)
    if not text:
        raise DataError(empty or f"{noun} is empty", where=str(path), hint=_AGAIN)
    if (place := text.find("\0")) >= 0:
        line = text.count("\n", 0, place) + 1
        raise DataError(
            f"line {line:,} has a zero byte, so the file is not text", where=str(path), hint="give a text file"
        )
    return text


def recoded_lines(file: IO[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the lines of an open file in UTF-8; only ``\\n`` separates them."""
    text = io.TextIOWrapper(file, encoding, newline="\n")
    try:
        for line in text:
            yield line.encode()
    finally:
        # Otherwise the wrapper would close the file of the caller.
        text.detach()
