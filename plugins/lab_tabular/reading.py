"""Readers of tables from CSV, Parquet and Excel files, with errors that say what else a file is."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import logging
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
READ_BYTES = 1 << 20

_STARTS = {
    # Other kinds of files by their first bytes; their suffix may be wrong.
    b"PK\x03\x04": "a zip archive or an Excel workbook (.xlsx)",
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
BOMS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
         codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip


def read_table(path: Path, *, separator: str = ",", encoding: str = "utf-8") -> pd.DataFrame:
    """Read the rows of a ``.csv``, ``.csv.gz``, ``.parquet`` or ``.xlsx`` file.

    A CSV file gives strings, with line numbers as index; a quoted value may contain line ends, and its row has the line
    in which it begins. Of a workbook, the first sheet is read; its index is the row of the sheet.

    Args:
        path: the file.
        separator: column separator of a CSV file: one character, or ``tab``.
        encoding: encoding of a CSV file.

    Raises:
        DataError: the file does not exist, is empty, damaged, of another kind or encoding, or a row has more or fewer
            values than there are columns.
        ParameterError: there is no such encoding or separator.
    """
    separator = "\t" if separator in ("tab", "\\t") else separator
    if len(separator) != 1 or separator in '"\r\n':
        raise ParameterError(
            f"separator='{separator}' is not one character", where=str(path), hint="',', ';', '|' or 'tab'"
        )
    try:
        codecs.lookup(encoding)
    except (LookupError, ValueError) as error:
        raise ParameterError(
            f"there is no encoding '{encoding}'", where=str(path), hint="utf-8, cp1252, utf-16"
        ) from error
    if path.is_dir():
        raise DataError("this is a folder, not a table", where=str(path), hint="name a .csv, .parquet or .xlsx file")
    if not path.exists():
        raise DataError("table file not found", where=str(path), hint="check the path")
    if not path.is_file():
        raise DataError(
            "this is neither a file nor a folder", where=str(path), hint="name a .csv, .parquet or .xlsx file"
        )
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(path)
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            return _read_excel(path)
        return _read_csv(path, separator, encoding)
    except PermissionError as error:
        raise DataError("the file cannot be opened: permission denied", where=str(path)) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise DataError(
            "reading Parquet needs pyarrow", where=str(path), hint="pip install 'lab-ablation[parquet]'"
        ) from error
    except Exception as error:
        # Pyarrow has errors of its own for damaged files, besides ValueError and OSError.
        raise DataError("this is not a Parquet file, or a damaged one", where=f"{path}: {error}") from error
    refuse_twins([str(name) for name in frame.columns], str(path))
    if not len(frame):
        raise DataError("the file has columns, but no rows", where=str(path))
    return frame


def _read_excel(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheet, *others = book.sheet_names
            # Read once for the names: pandas would rename a second column 'a' to 'a.1' without a word.
            header = pd.read_excel(book, sheet_name=sheet, header=None, nrows=1, dtype=object)
            frame = pd.read_excel(book, sheet_name=sheet, keep_default_na=False, na_values=list(MISSING_STRINGS))
    except ImportError as error:
        raise DataError(
            "reading Excel needs openpyxl", where=str(path), hint="pip install 'lab-ablation[excel]'"
        ) from error
    except Exception as error:
        # Openpyxl has errors of its own, besides those of zip and XML.
        raise DataError("this is not an Excel workbook, or a damaged one", where=f"{path}: {error}") from error
    if header.empty:
        raise DataError(f"the sheet '{sheet}' is empty", where=str(path), hint="the first sheet is read")
    refuse_twins([str(name).strip() for name in header.iloc[0].dropna()], str(path))
    if not len(frame):
        raise DataError(f"the sheet '{sheet}' has a header, but no rows", where=str(path))
    if others:
        logging.getLogger("lab").warning("%s: read sheet '%s', not: %s", path, sheet, ", ".join(map(str, others)))
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    frame.index = pd.RangeIndex(2, len(frame) + 2, name="row")
    return frame


def _read_csv(path: Path, separator: str, encoding: str) -> pd.DataFrame:
    import pandas as pd

    _refuse_other_kinds(path, encoding)
    _refuse_utf8(path, encoding)
    header = _header(path, separator, encoding)
    # Checked on the header itself, since pandas renames a second column 'a' to 'a.1'.
    refuse_twins([name for name in header if name], str(path))
    try:
        frame = pd.read_csv(
            path,
            # Strings: pandas would infer the types of a file, and differently for the file to predict.
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
        raise DataError("the file is empty", where=str(path), hint="a header and rows are needed") from error
    except pd.errors.ParserError as error:
        raise _parser_error(error, path) from error
    except UnicodeError as error:
        raise _not_encoded(path, encoding) from error
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    # With one value too many in every row, pandas silently takes the first column as the index.
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(
            "the rows have more values than the header has columns", where=str(path), hint="name every column"
        )
    if len(header) < frame.shape[1]:
        raise DataError(
            f"the first line names {len(header)} columns, and the rows have {frame.shape[1]}",
            where=str(path),
            hint="fix the first line",
        )
    frame.columns = pd.Index([name or f"Unnamed: {number}" for number, name in enumerate(header)][: frame.shape[1]])
    if not len(frame):
        raise DataError("the file has a header, but no rows", where=str(path))
    frame.index = _lines(path, frame, separator, encoding)
    return frame


def open_file(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _without_bom(encoding: str) -> str:
    """Return the encoding that skips a byte-order mark, which the csv module would take for part of the first name."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _damaged(path: Path, error: BaseException) -> DataError:
    what = "the compressed file is damaged or cut short" if path.suffix.lower() == ".gz" else "the file cannot be read"
    return DataError(what, where=f"{path}: {error}", hint="download or write it again")


def _refuse_other_kinds(path: Path, encoding: str) -> None:
    """Raise if the first bytes are of another kind of file or encoding."""
    try:
        with open_file(path) as file:
            head = file.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, PermissionError):
            raise
        if isinstance(error, gzip.BadGzipFile):
            raise DataError("the file is named .gz but not compressed", where=str(path), hint="rename it") from error
        raise _damaged(path, error) from error
    if head.startswith(b"\x1f\x8b"):
        raise DataError("the file is compressed with gzip", where=str(path), hint=f"rename it to {path.name}.gz")
    for start, kind in _STARTS.items():
        if head.startswith(start):
            raise DataError(f"this is {kind}, not a CSV file", where=str(path), hint="save it as CSV, or unpack it")
    if re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        raise DataError(
            "this is a web page (HTML or XML), not a CSV file", where=str(path), hint="download the table itself"
        )
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        for mark, name in BOMS.items():
            if head.startswith(mark):
                raise DataError(f"the file is {name.upper()}, not UTF-8", where=str(path), hint=f"encoding='{name}'")
        if b"\0" in head:
            even, odd = head[::2].count(0), head[1::2].count(0)
            hint = f"encoding='utf-16-{'le' if odd > even else 'be'}'" if max(even, odd) > len(head) // 8 else "fix it"
            raise DataError("the file has zero bytes, so it is not UTF-8 text", where=str(path), hint=hint)


def _refuse_utf8(path: Path, encoding: str) -> None:
    """Raise if a file that is read with one byte a letter is valid UTF-8: such text hardly ever is by chance."""
    # every byte has a letter, or nearly, so nothing else would tell that all accents are wrong
    if codecs.lookup(encoding).name.startswith("utf") or len("é".encode(encoding, "replace")) > 1:
        return
    decoder, has_letters = codecs.getincrementaldecoder("utf-8")(), False
    try:
        with open_file(path) as file:
            while block := file.read(READ_BYTES):
                has_letters |= not block.isascii()
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except (UnicodeError, OSError, EOFError, zlib.error):
        return
    if has_letters:
        raise DataError(
            f"the file is UTF-8, and read as {encoding.upper()} its letters outside of ASCII would be others",
            where=str(path),
            hint="encoding='utf-8', or in lab predict --encoding utf-8",
        )


def _header(path: Path, separator: str, encoding: str) -> list[str]:
    """Return the names of the columns, stripped."""
    try:
        with open_file(path) as raw, io.TextIOWrapper(raw, _without_bom(encoding), newline="") as file:
            rows = csv.reader(file, delimiter=separator, skipinitialspace=True)
            # pandas takes a line of white space for an empty one and goes on to the next
            header = next((row for row in rows if len(row) > 1 or any(map(str.strip, row))), [])
    except UnicodeError as error:
        raise _not_encoded(path, encoding) from error
    except csv.Error as error:
        raise DataError(f"the header cannot be read: {error}", where=str(path), hint="fix the first line") from error
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    header = [name.strip() for name in header]
    if len(header) == 1:
        other = next((sign for sign in SEPARATORS if sign != separator and sign in header[0]), None)
        if other is not None:
            shown = "tab" if other == "\t" else other
            raise DataError(
                f"the columns are not separated by {SEPARATORS.get(separator, repr(separator))}; "
                f"they seem to be separated by {SEPARATORS[other]}",
                where=str(path),
                hint=f"separator='{shown}'",
            )
    return header


def _parser_error(error: Exception, path: Path) -> DataError:
    said = str(error).strip().removeprefix("Error tokenizing data. C error: ")
    if inside := re.search(r"EOF inside string starting at row (\d+)", said):
        return DataError(
            f"a quotation mark opened in row {int(inside[1]):,} is not closed",
            where=str(path),
            hint='close it; write " inside a quoted value as ""',
        )
    return DataError(
        f"a row does not fit the header: {said}",
        where=str(path),
        hint="fix the line; quote values that contain the separator",
    )


def _not_encoded(path: Path, encoding: str) -> DataError:
    """Return the error for the first line that is not in this encoding, with a likely encoding."""
    with open_file(path) as file:
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
    """Return the line in which each row begins.

    Without line ends in values and without empty lines these are consecutive. Otherwise, and if the last column has
    missing values, which too short rows also look like, the file is read again by a reader that counts lines.
    """
    import pandas as pd

    simple = pd.RangeIndex(2, len(frame) + 2, name="line")
    if not frame.iloc[:, -1].isna().any() and _count_lines(path) == len(frame) + 1:
        return simple
    starts: list[int] = []
    try:
        with open_file(path) as raw, io.TextIOWrapper(raw, _without_bom(encoding), newline="") as file:
            reader, before, width = csv.reader(file, delimiter=separator, skipinitialspace=True), 0, 0
            for row in reader:
                start, before = before + 1, reader.line_num
                if not row or (len(row) == 1 and not row[0].strip() and frame.shape[1] > 1):
                    continue
                width = width or len(row)
                if len(row) < width:
                    raise DataError(
                        f"line {start:,} has {len(row)} values, the header {width} columns",
                        where=str(path),
                        hint="fix the line; a missing value is nothing between two separators",
                    )
                starts.append(start)
    except csv.Error:
        # A value is longer than 131,072 characters; raising the limit would change it for the process.
        starts = []
    if len(starts) != len(frame) + 1:
        return pd.RangeIndex(1, len(frame) + 1, name="row")
    return pd.Index(starts[1:], name="line")


def _count_lines(path: Path) -> int:
    count, last = 0, b"\n"
    with open_file(path) as file:
        while block := file.read(1 << 20):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")
