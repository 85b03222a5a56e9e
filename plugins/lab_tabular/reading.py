"""Reading tables from files, with clear words about files that are none."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import DataError
from lab_tabular.columns import GAPS, refuse_twins

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_table"]


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a ``.csv``, ``.csv.gz`` or ``.parquet`` file; of a CSV file, texts, with their lines as index.

    Raises:
        DataError: the file is not there, is empty, or a row has more values than there are columns.
    """
    if not path.is_file():
        raise DataError("the table's file is not there", where=str(path), hint="check the path")
    return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise DataError("reading Parquet needs pyarrow", where=str(path), hint="pip install 'lab[parquet]'") from error
    except (ValueError, OSError) as error:
        raise DataError("this is no Parquet file", where=f"{path}: {error}") from error


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=list(GAPS), skipinitialspace=True)
        header = _header(path)
    except pd.errors.EmptyDataError as error:
        raise DataError("the file is empty", where=str(path), hint="give it a header and rows") from error
    except pd.errors.ParserError as error:
        raise DataError(
            f"a row does not fit the header: {str(error).strip().removeprefix('Error tokenizing data. C error: ')}",
            where=str(path),
            hint="mend the line; texts with commas stand in quotation marks",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte {error.start:,} is not UTF-8", where=str(path), hint=f"iconv -f latin1 -t utf-8 {path.name}"
        ) from error
    refuse_twins(header, str(path))
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise DataError("the columns are not separated by commas", where=str(path), hint="write it with commas")
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError("the rows have more values than the header has columns", where=str(path), hint="name them all")
    if not len(frame):
        raise DataError("the file has a header, but no rows", where=str(path))
    frame.index = pd.RangeIndex(2, len(frame) + 2, name="line")
    return frame


def _header(path: Path) -> list[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig") as file:
        return [name.strip() for name in next(csv.reader(file, skipinitialspace=True), [])]
