"""Reading tables from files, with clear words about files that are none."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lab.errors import DataError, ParameterError
from lab_tabular.columns import MISSING_STRINGS, refuse_twins

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_table"]

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
HEAD_BYTES = 1 << 16

_STARTS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file (.parquet)",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF document",
    b"ARROW1": "a Feather file",
    b"\x89HDF": "an HDF5 file",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\x80\x04\x95": "a pickle",
}
_BOMS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
         codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip


def read_table(path: Path, *, separator: str = ",", encoding: str = "utf-8") -> pd.DataFrame:
    """The rows of a ``.csv``, ``.csv.gz`` or ``.parquet`` file; of a CSV file, texts, with their lines as index.

    A value in quotation marks may have line ends; its row has the line in which it begins.

    Args:
        path: the file.
        separator: of columns of a CSV file: one sign, or ``tab``.
        encoding: of a CSV file.

    Raises:
        DataError: the file is not there, is empty, damaged, of another kind or encoding, or a row has more or fewer
            values than there are columns.
        ParameterError: there is no such encoding or separator.
    """
    separator = "\t" if separator in ("tab", "\\t") else separator
    if len(separator) != 1 or separator in '"\r\n':
        raise ParameterError(f"separator='{separator}' is not one sign", where=str(path), hint="',', ';', '|' or 'tab'")
    try:
        codecs.lookup(encoding)
    except (LookupError, ValueError) as error:
        raise ParameterError(
            f"there is no encoding '{encoding}'", where=str(path), hint="utf-8, cp1252, utf-16"
        ) from error
    if path.is_dir():
        raise DataError(
            "this is a folder, not the file of a table", where=str(path), hint="give a .csv or .parquet file"
        )
    if not path.exists():
        raise DataError("the table's file is not there", where=str(path), hint="check the path")
    if not path.is_file():
        raise DataError("this is neither a file nor a folder", where=str(path), hint="give a .csv or .parquet file")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(path)
        return _read_csv(path, separator, encoding)
    except PermissionError as error:
        raise DataError("the file cannot be opened: permission denied", where=str(path)) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise DataError("reading Parquet needs pyarrow", where=str(path), hint="pip install 'lab[parquet]'") from error
    except Exception as error:  # pyarrow's own errors on damaged files, beside ValueError and OSError
        raise DataError("this is no Parquet file, or a damaged one", where=f"{path}: {error}") from error
    refuse_twins([str(name) for name in frame.columns], str(path))
    if not len(frame):
        raise DataError("the file has columns, but no rows", where=str(path))
    return frame


def _read_csv(path: Path, separator: str, encoding: str) -> pd.DataFrame:
    import pandas as pd

    _refuse_other_kinds(path, encoding)
    header = _header(path, separator, encoding)
    refuse_twins([name for name in header if name], str(path))
    try:
        frame = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            na_values=list(MISSING_STRINGS),
            skipinitialspace=separator != " ",
            sep=separator,
            encoding=encoding,
            compression="gzip" if path.suffix.lower() == ".gz" else None,
            low_memory=False,
        )
    except pd.errors.EmptyDataError as error:
        raise DataError("the file is empty", where=str(path), hint="give it a header and rows") from error
    except pd.errors.ParserError as error:
        raise _parser_error(error, path) from error
    except UnicodeError as error:
        raise _not_encoded(path, encoding) from error
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError("the rows have more values than the header has columns", where=str(path), hint="name them all")
    frame.columns = pd.Index([name or f"Unnamed: {number}" for number, name in enumerate(header)][: frame.shape[1]])
    if not len(frame):
        raise DataError("the file has a header, but no rows", where=str(path))
    frame.index = _lines(path, frame, separator, encoding)
    return frame


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _without_bom(encoding: str) -> str:
    """The encoding that skips a byte-order mark: before a quotation mark the csv module would not see the mark."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _damaged(path: Path, error: BaseException) -> DataError:
    what = "the compressed file is damaged or cut short" if path.suffix.lower() == ".gz" else "the file cannot be read"
    return DataError(what, where=f"{path}: {error}", hint="fetch or write it again")


def _refuse_other_kinds(path: Path, encoding: str) -> None:
    """Files that are no text, or of another encoding, by their first bytes."""
    try:
        with _open(path) as file:
            head = file.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, PermissionError):
            raise
        if isinstance(error, gzip.BadGzipFile):
            raise DataError(
                "the file is called .gz and is not compressed", where=str(path), hint="rename it"
            ) from error
        raise _damaged(path, error) from error
    if head.startswith(b"\x1f\x8b"):
        raise DataError("the file is compressed with gzip", where=str(path), hint=f"call it {path.name}.gz")
    for start, kind in _STARTS.items():
        if head.startswith(start):
            raise DataError(f"this is {kind}, not a CSV file", where=str(path), hint="save it as CSV, or unpack it")
    if re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        raise DataError(
            "this is a web page (HTML or XML), not a CSV file", where=str(path), hint="fetch the table itself"
        )
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        for mark, name in _BOMS.items():
            if head.startswith(mark):
                raise DataError(f"the file is {name.upper()}, not UTF-8", where=str(path), hint=f"encoding='{name}'")
        if b"\0" in head:
            even, odd = head[::2].count(0), head[1::2].count(0)
            hint = f"encoding='utf-16-{'le' if odd > even else 'be'}'" if max(even, odd) > len(head) // 8 else "mend it"
            raise DataError("the file has zero bytes, so it is not a text in UTF-8", where=str(path), hint=hint)


def _header(path: Path, separator: str, encoding: str) -> list[str]:
    """Names of the columns, without blanks around them."""
    try:
        with _open(path) as raw, io.TextIOWrapper(raw, _without_bom(encoding), newline="") as file:
            header = next((row for row in csv.reader(file, delimiter=separator, skipinitialspace=True) if row), [])
    except UnicodeError as error:
        raise _not_encoded(path, encoding) from error
    except csv.Error as error:
        raise DataError(f"the header cannot be read: {error}", where=str(path), hint="mend the first line") from error
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    header = [name.strip() for name in header]
    if len(header) == 1:
        other = next((sign for sign in SEPARATORS if sign != separator and sign in header[0]), None)
        if other is not None:
            shown = "tab" if other == "\t" else other
            raise DataError(
                f"the columns are not separated by {SEPARATORS.get(separator, repr(separator))}, "
                f"but by {SEPARATORS[other]}, it seems",
                where=str(path),
                hint=f"separator='{shown}'",
            )
    return header


def _parser_error(error: Exception, path: Path) -> DataError:
    said = str(error).strip().removeprefix("Error tokenizing data. C error: ")
    if inside := re.search(r"EOF inside string starting at row (\d+)", said):
        return DataError(
            f"a quotation mark that opens in row {int(inside[1]):,} is not closed",
            where=str(path),
            hint="close it; a quotation mark inside of a quoted text is written twice",
        )
    return DataError(
        f"a row does not fit the header: {said}",
        where=str(path),
        hint="mend the line; texts with commas stand in quotation marks",
    )


def _not_encoded(path: Path, encoding: str) -> DataError:
    """The first line that is not of this encoding, and the encoding that it seems to have."""
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeError:
                shown = line.rstrip(b"\r\n")[:60].decode("cp1252", "replace")
                return DataError(
                    f"line {number:,} is not {encoding.upper()}: read as cp1252 it says '{shown}'",
                    where=str(path),
                    hint="encoding='cp1252' for Latin letters, or: "
                    f"iconv -f latin1 -t utf-8 {path.name} > {path.stem}-utf8.csv",
                )
    return DataError(
        f"the file is not {encoding.upper()}", where=str(path), hint="encoding='utf-8', 'cp1252', 'utf-16'"
    )


def _lines(path: Path, frame: pd.DataFrame, separator: str, encoding: str) -> pd.Index:
    """The line in which each row begins.

    Without line ends in texts and without empty lines these follow each other. Otherwise, and where the last column has
    gaps, which short rows also make, the file is read once more by a reader that counts lines.
    """
    import pandas as pd

    simple = pd.RangeIndex(2, len(frame) + 2, name="line")
    if not frame.iloc[:, -1].isna().any() and _count_lines(path) == len(frame) + 1:
        return simple
    starts: list[int] = []
    try:
        with _open(path) as raw, io.TextIOWrapper(raw, _without_bom(encoding), newline="") as file:
            reader, before, width = csv.reader(file, delimiter=separator, skipinitialspace=True), 0, 0
            for row in reader:
                start, before = before + 1, reader.line_num
                if not row or (len(row) == 1 and not row[0].strip() and frame.shape[1] > 1):
                    continue
                width = width or len(row)
                if len(row) < width:
                    raise DataError(
                        f"line {start:,} has {len(row)} values, and the header {width} columns",
                        where=str(path),
                        hint="mend the line; a missing value stands as nothing between two separators",
                    )
                starts.append(start)
    except csv.Error:  # a value of more than 131,072 signs: the limit is global, so it is not raised here
        starts = []
    if len(starts) != len(frame) + 1:
        return pd.RangeIndex(1, len(frame) + 1, name="row")
    return pd.Index(starts[1:], name="line")


def _count_lines(path: Path) -> int:
    count, last = 0, b"\n"
    with _open(path) as file:
        while block := file.read(1 << 20):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")
