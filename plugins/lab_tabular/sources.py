"""Named tables: public ones in the data directory, scikit-learn's bundled ones, and a generated one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np
from lab_text.corpora import Corpus, Download, find_corpus

from lab.errors import ParameterError
from lab_tabular.data import Scale, TableData, table_of_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["adult", "adult_corpus", "bundled_table", "house_prices", "house_prices_corpus", "towns", "towns_frame"]

# --- Adult ------------------------------------------------------------------------------------------------------------

ADULT_NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
ADULT_EXACT = ("age", "capital_gain", "capital_loss", "hours_per_week")
ADULT_COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship"),
    *("race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income"),
)
ADULT_LESSON = (
    *("workclass", "education", "marital_status", "occupation", "relationship", "race"),
    *("age", "fnlwgt", "education_num"),
)
"""Columns of fast.ai's tabular lesson."""


def adult_corpus() -> Corpus:
    """Adult: 32,561 and 16,281 persons of the US census of 1994, with an income above $50,000 or not."""
    url = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult"
    return Corpus(
        name="adult",
        title="Adult, 48,842 persons of the US census of 1994",
        languages=("en",),
        license="CC BY 4.0",
        publisher="https://archive.ics.uci.edu/dataset/2/adult",
        files={"train": ("adult/adult.data",), "test": ("adult/adult.test",)},
        downloads=tuple(Download(f"{url}/{name}", f"adult/{name}") for name in ("adult.data", "adult.test")),
    )


def adult(
    *,
    valid: Literal["random", "test"] = "random",
    normalize: Scale = "quantile",
    exact_numbers: bool = False,
    split_seed: int = 42,
    max_rows: int | None = None,
    columns: Sequence[str] | None = None,
    valid_rows: tuple[int, int] | None = None,
) -> TableData:
    """Adult (Kohavi 1996): predict an income above $50,000 from six numbers and eight categories.

    Args:
        valid: ``random`` holds out a fifth of the training file; ``test`` validates on UCI's test file.
        normalize: scaling of numbers.
        exact_numbers: add every number as a category as well, ``age_exactly`` and so on; a value with fewer than ten
            training rows is unknown. Some amounts of capital gain occur in one class only.
        split_seed: seed of the random split.
        max_rows: read only the first N rows of each file.
        columns: names of the columns to use; None uses all. fast.ai's tabular lesson uses nine, ``ADULT_LESSON``:
            ``age, fnlwgt, education_num`` (with ``normalize="standard"``) and six categories.
        valid_rows: range of the validation rows of the training file, from 0, end excluded, in place of a random fifth;
            (800, 1000) in the lesson.

    Raises:
        ParameterError: a column is unknown, or ``valid_rows`` is given with ``valid="test"``.
    """
    if max_rows is not None and max_rows < 1:
        raise ParameterError(f"max_rows must be at least 1, got {max_rows}", where="dataset 'adult'")
    if valid_rows is not None and valid == "test":
        raise ParameterError("valid_rows are rows of the training file", where="dataset 'adult'", hint="valid='random'")
    used = ADULT_COLUMNS[:-1] if columns is None else tuple(columns)
    if unknown := [name for name in used if name not in ADULT_COLUMNS[:-1]]:
        hint = f"columns: {', '.join(ADULT_COLUMNS[:-1])}"
        raise ParameterError(f"unknown column '{unknown[0]}'", where="dataset 'adult'", hint=hint)
    corpus = find_corpus("adult")
    train, test = (_read_adult(corpus.path(part)).iloc[:max_rows] for part in ("train", "test"))
    if exact_numbers:
        train, test = (
            part.assign(**{f"{n}_exactly": part[n] for n in ADULT_EXACT if n in used}) for part in (train, test)
        )
    unused = [name for name in ADULT_COLUMNS[:-1] if name not in used]
    train, test = train.drop(columns=unused), test.drop(columns=unused)
    return table_of_frame(
        train,
        "income",
        valid=test if valid == "test" else None,
        test=test,
        continuous=[name for name in ADULT_NUMBERS if name in used],
        categorical=[name for name in train.columns if name not in (*ADULT_NUMBERS, "income")],
        min_count=10 if exact_numbers else 1,
        normalize=normalize,
        split_seed=split_seed,
        **({} if valid_rows is None else {"valid_rows": tuple(valid_rows)}),
        name="corpus 'adult'",
    )


def _read_adult(path: Any) -> pd.DataFrame:
    import pandas as pd

    frame = pd.read_csv(path, names=list(ADULT_COLUMNS), skipinitialspace=True, comment="|", na_values=["?"])
    # The classes of the test file end with a full stop.
    return frame.assign(income=frame["income"].str.removesuffix("."))


# --- house prices -----------------------------------------------------------------------------------------------------


def house_prices_corpus() -> Corpus:
    """House Prices: 1,460 sales in Ames, Iowa, with prices, and 1,459 without."""
    # The publisher's test file has no prices, so only the training file is a dataset.
    url = "https://d2l-data.s3-accelerate.amazonaws.com"
    return Corpus(
        name="house_prices",
        title="House Prices, 1,460 sales in Ames, Iowa",
        languages=("en",),
        license="free for education (De Cock 2011)",
        publisher="https://www.kaggle.com/c/house-prices-advanced-regression-techniques",
        files={part: (f"house_prices/kaggle_house_pred_{part}.csv",) for part in ("train", "test")},
        downloads=tuple(
            Download(f"{url}/kaggle_house_pred_{part}.csv", f"house_prices/kaggle_house_pred_{part}.csv")
            for part in ("train", "test")
        ),
    )


def house_prices(
    *,
    folds: int | None = None,
    fold: int = 0,
    split_seed: int = 42,
    missing_indicators: bool = True,
    normalize: Scale = "standard",
    log_target: bool = True,
    min_count: int = 1,
) -> TableData:
    """House Prices (De Cock 2011): predict a price from 79 features of a house and its sale.

    ``MSSubClass`` is the code of a kind of house, so it is a category.

    Args:
        folds, fold: cross-validation; None holds out a fifth.
        split_seed: seed of the random split.
        missing_indicators, normalize, log_target, min_count: as in ``table``.
    """
    from lab_tabular.reading import read_table

    frame = read_table(find_corpus("house_prices").path("train"))
    kinds = ["MSSubClass", *(name for name in frame.columns if frame[name].str.contains("[A-Za-z]", na=False).any())]
    return table_of_frame(
        frame,
        "SalePrice",
        categorical=kinds,
        drop=["Id"],
        folds=folds,
        fold=fold,
        split_seed=split_seed,
        missing_indicators=missing_indicators,
        normalize=normalize,
        log_target=log_target,
        min_count=min_count,
        name="corpus 'house_prices'",
    )


# --- no download ------------------------------------------------------------------------------------------------------

BUNDLED = {"breast_cancer": "classes", "diabetes": "value", "digits": "classes", "iris": "classes", "wine": "classes"}


def bundled_table(
    name: Literal["breast_cancer", "diabetes", "digits", "iris", "wine"] = "breast_cancer",
    *,
    valid_share: float = 0.25,
    folds: int | None = None,
    fold: int = 0,
    normalize: Scale = "standard",
    split_seed: int = 42,
) -> TableData:
    """Table bundled with scikit-learn; nothing is downloaded.

    Args:
        name: ``breast_cancer`` (569 rows, 30 numbers, 2 classes), ``diabetes`` (442 rows, 9 numbers and a category,
            regression), ``digits`` (1,797 rows, 64 numbers, 10 classes), ``iris`` (150, 4, 3) or ``wine`` (178, 13, 3).
        valid_share: fraction of the rows that is held out for validation.
        folds, fold, normalize, split_seed: as in ``table``.
    """
    frame = _bundled(name)
    return table_of_frame(
        frame,
        "target",
        task="classification" if BUNDLED[name] == "classes" else "regression",
        categorical=["sex"] if name == "diabetes" else [],
        valid_share=valid_share,
        folds=folds,
        fold=fold,
        normalize=normalize,
        split_seed=split_seed,
        name=f"scikit-learn's '{name}'",
    )


def _bundled(name: str) -> pd.DataFrame:
    from sklearn import datasets

    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(datasets, f"load_{name}")(as_frame=True, **options)
    frame: pd.DataFrame = bunch.frame.rename(columns=lambda column: column.replace(" ", "_"))
    if BUNDLED[name] == "classes":
        frame["target"] = np.asarray(bunch.target_names)[frame["target"]].astype(str)
    return frame


def towns(
    *, rows: int = 6000, missing_indicators: bool = True, normalize: Scale = "standard", data_seed: int = 0
) -> TableData:
    """Generated rents of flats in towns on a map, from a known formula; see ``towns_frame``.

    Args:
        rows: number of flats, at least 100; a fifth of them validates.
        missing_indicators: add a category that marks missing incomes.
        normalize: scaling of numbers.
        data_seed: seed of the flats; the towns stay the same.
    """
    if rows < 100:
        raise ParameterError(f"rows must be at least 100, got {rows}", where="dataset 'towns'")
    if data_seed < 0:
        raise ParameterError(f"data_seed must be at least 0, got {data_seed}", where="dataset 'towns'")
    frame, places = towns_frame(rows, data_seed)
    data = table_of_frame(
        frame,
        "rent",
        categorical=["town", "kind", "month"],
        missing_indicators=missing_indicators,
        normalize=normalize,
        name="towns",
    )
    known = {town: (x, y) for town, x, y in places.itertuples(index=False)}
    return attrs.evolve(data, category_places={"town": known})


@cache
def towns_frame(rows: int = 6000, data_seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Generate flats and the positions of their towns.

    Sixty towns lie in a square; rents increase smoothly to the east, and to the south in summer, so that only the
    position of a town matters. Incomes are missing more often if the rent is high, so that a missing value is
    informative. The noise has a standard deviation of 0.1, the rent about 2 around 10.

    Returns:
        The flats (``town, kind, month, rooms, income, rent``) and the towns (``town, x, y``).
    """
    import pandas as pd

    names = np.array([f"town {number:02}" for number in range(60)])
    x, y = np.random.default_rng(60).uniform(-1, 1, (2, len(names)))
    generator = np.random.default_rng(data_seed)
    town = generator.integers(0, len(names), rows)
    kind = generator.choice(["house", "flat", "room"], rows, p=[0.3, 0.5, 0.2])
    month = generator.integers(1, 13, rows)
    rooms = generator.integers(1, 7, rows)
    income = generator.normal(3, 1, rows)
    summer = np.sin(np.pi * (month - 1) / 11)
    rent = (
        10
        + 1.5 * x[town]
        - 1.5 * (2 * summer - 1) * y[town]
        + 0.4 * (rooms - 3)
        + np.where(kind == "house", 1.0, np.where(kind == "room", -1.0, 0.0))
        + 0.5 * (income - 3)
        + 0.1 * generator.normal(size=rows)
    )
    is_known = generator.uniform(size=rows) > 1 / (1 + np.exp(-2 * (rent - 12)))
    flats = pd.DataFrame(
        {
            "town": names[town],
            "kind": kind,
            "month": month,
            "rooms": rooms,
            "income": np.where(is_known, income.round(3), np.nan),
            "rent": rent.round(3),
        }
    )
    return flats, pd.DataFrame({"town": names, "x": x, "y": y})
