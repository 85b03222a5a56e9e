"""Rossmann: daily sales of 1,115 German drugstores, joined with features of each store and of the days around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from lab_text.corpora import Corpus, find_corpus

from lab.errors import ParameterError
from lab_tabular.data import Scale, TableData, table_of_parts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GERMAN_STATES", "rossmann", "rossmann_corpus", "rossmann_frame", "rossmann_test_frame"]

DAY_COLUMNS = ("Store", "DayOfWeek", "Date", "Promo", "StateHoliday", "SchoolHoliday")

EVENTS = ("promo", "state_holiday", "school_holiday")
FARTHEST_EVENT = 60
"""Upper bound of the distance to an event, in days."""

CATEGORIES = (
    *("store", "day_of_week", "year", "month", "day", "week", "state_holiday", "promo", "school_holiday", "state"),
    *("store_type", "assortment", "promo_interval", "competition_months_open", "promo2_weeks"),
    *("competition_since_year", "promo2_since_year"),
    *(f"{event}_{side}" for side in ("last_week", "next_week") for event in EVENTS),
)
NUMBERS = (
    "competition_distance",
    *(f"days_{side}_{event}" for side in ("since", "until") for event in EVENTS),
)
GERMAN_STATES = {
    "BW": (9.0, 48.5),
    "BY": (11.4, 48.9),
    "BE": (13.4, 52.5),
    "HB,NI": (9.2, 52.8),
    "HE": (9.0, 50.6),
    "HH": (10.0, 53.55),
    "NW": (7.6, 51.5),
    "RP": (7.4, 49.9),
    "SH": (9.8, 54.2),
    "SN": (13.4, 51.05),
    "ST": (11.7, 52.0),
    "TH": (11.0, 50.9),
}
"""Longitude and latitude of the center of each state in degrees, read from a map to about 20 km."""


def rossmann_corpus() -> Corpus:
    """Rossmann: 1,017,209 days of 1,115 German drugstores."""
    parts = ("train.csv.gz", "test.csv.gz", "store.csv", "store_states.csv")
    return Corpus(
        name="rossmann",
        title="Rossmann Store Sales, 1,017,209 days of 1,115 German drugstores",
        languages=("de",),
        license="rules of the Kaggle competition",
        publisher="https://www.kaggle.com/c/rossmann-store-sales",
        files={name.partition(".")[0]: (f"rossmann/{name}",) for name in parts},
        note="the publisher requires an account, so it cannot be downloaded automatically",
    )


def rossmann(
    *,
    valid_days: int = 42,
    closed: bool = False,
    normalize: Scale = "standard",
    log_target: bool = True,
    stores: int | None = None,
) -> TableData:
    """Rossmann Store Sales: predict a store's sales on a day; the last days of the training file validate.

    Features are the parts of the date, promotions and holidays, the days since and until the nearest of each and their
    number within a week, the kind and state of the store, and how long it has had competition.

    Args:
        valid_days: number of last days that validate; the competition had 48, the course has six weeks.
        closed: keep days without sales, which have no relative error.
        normalize: scaling of numbers.
        log_target: predict the logarithm of the sales.
        stores: use only the first N stores.
    """
    if closed and log_target:
        raise ParameterError("sales of 0 have no logarithm", where="dataset 'rossmann'", hint="log_target=False")
    for label, value in (("valid_days", valid_days), ("stores", stores)):
        if value is not None and value < 1:
            raise ParameterError(f"{label} must be at least 1, got {value}", where="dataset 'rossmann'")
    frame = rossmann_frame(stores)
    if not closed:
        frame = frame[frame["sales"] > 0]
    last = frame["date"].max()
    validating = (last - frame["date"]).dt.days < valid_days
    data = table_of_parts(
        frame[~validating],
        frame[validating],
        None,
        "sales",
        categorical=CATEGORIES,
        continuous=NUMBERS,
        normalize=normalize,
        log_target=log_target,
        task="regression",
        name="corpus 'rossmann'",
    )
    return attrs.evolve(data, category_places={"state": GERMAN_STATES})


def rossmann_frame(stores: int | None = None) -> pd.DataFrame:
    """Return every day of every store with all features, in the order of days."""
    days = _days("train", [*DAY_COLUMNS, "Sales"])
    if stores is not None:
        days = days[days["store"] <= stores]
    return _with_features(days).sort_values(["date", "store"], ignore_index=True)


def rossmann_test_frame() -> pd.DataFrame:
    """Return the 41,088 rows of Kaggle's test file with all features, in its order, with columns ``id`` and ``open``.

    Days of the training file stand before them where events of a store are looked for, as in the course. A store that
    is closed sells nothing, whatever is predicted for it; one that does not say counts as open.

    ``rossmann_test_frame().to_csv("test.csv", index=False)`` makes a file for ``lab predict KEY test.csv --keep id``.
    """
    import pandas as pd

    asked = _days("test", [*DAY_COLUMNS, "Id", "Open"])
    frame = _with_features(pd.concat([_days("train", DAY_COLUMNS), asked], ignore_index=True))
    frame = frame[frame["id"].notna()].sort_values("id", ignore_index=True)
    # eleven rows of one store do not say whether it is open
    return frame.assign(id=frame["id"].astype(int), open=frame["open"].fillna(1).astype(int))


def _days(part: str, columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    days = pd.read_csv(
        find_corpus("rossmann").path(part),
        dtype={"StateHoliday": "category"},
        parse_dates=["Date"],
        usecols=list(columns),
    )
    days.columns = pd.Index([_snake(name) for name in days.columns])
    return days


def _with_features(days: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    corpus = find_corpus("rossmann")
    shops = pd.read_csv(corpus.path("store")).merge(pd.read_csv(corpus.path("store_states")), on="Store", how="left")
    shops.columns = pd.Index([_snake(name) for name in shops.columns])
    # The distances to events below are running maxima along each store.
    days = days.sort_values(["store", "date"], ignore_index=True)
    days = days.assign(**_events(days), **_date(days["date"]))
    joined = days.merge(shops, on="store", how="left")
    return joined.assign(**_since(joined))


def _snake(name: str) -> str:
    """Return a column name in snake case.

    >>> _snake("CompetitionOpenSinceYear"), _snake("Promo2SinceWeek")
    ('competition_open_since_year', 'promo2_since_week')
    """
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).strip("_")


def _date(dates: pd.Series) -> dict[str, Any]:
    parts = dates.dt
    return {"year": parts.year, "month": parts.month, "day": parts.day, "week": parts.isocalendar().week.astype(int)}


def _events(days: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return, for each kind of event, the days since and until the nearest, and the counts in the weeks around.

    ``days`` is sorted by store and date. An event on the day itself is 0 days away.
    """
    date = days["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    store = days["store"].to_numpy()
    found: dict[str, np.ndarray] = {}
    for event in EVENTS:
        happens = (days[event].astype(str) != "0").to_numpy()
        found[f"days_since_{event}"] = _distance(date, store, happens)
        backwards = _distance(-date[::-1], store[::-1], happens[::-1])
        found[f"days_until_{event}"] = backwards[::-1]
        found[f"{event}_last_week"] = _within(date, store, happens, -7, -1)
        found[f"{event}_next_week"] = _within(date, store, happens, 1, 7)
    return found


def _distance(date: np.ndarray, store: np.ndarray, happens: np.ndarray) -> np.ndarray:
    """Return the days since the store's last event, ``FARTHEST_EVENT`` if more or if there was none."""
    # A running maximum of the rows with events is the row of the last one; a loop over a million days takes minutes.
    last = np.maximum.accumulate(np.where(happens, np.arange(len(date)), -1))
    known = (last >= 0) & (store[last] == store)
    return np.where(known, np.minimum(date - date[last], FARTHEST_EVENT), FARTHEST_EVENT).astype(float)


def _within(date: np.ndarray, store: np.ndarray, happens: np.ndarray, first: int, last: int) -> np.ndarray:
    """Count the store's events from ``first`` to ``last`` days away, as the difference of two running counts."""
    counts = np.concatenate([[0], happens.cumsum()])
    # One axis for all stores, with a gap between them that no window of days can cross.
    clock = store.astype(np.int64) * 100_000 + date
    start = np.searchsorted(clock, clock + first, side="left")
    end = np.searchsorted(clock, clock + last, side="right")
    return counts[end] - counts[start]


def _since(joined: pd.DataFrame) -> dict[str, Any]:
    """Return the age of a store's competition, in months up to 24, and of its second promotion, in weeks up to 25."""
    parts = joined["date"].dt
    months = (
        12 * (parts.year - joined["competition_open_since_year"]) + parts.month - joined["competition_open_since_month"]
    )
    weeks = (parts.year - joined["promo2_since_year"]) * 52.18 + joined["week"] - joined["promo2_since_week"]
    return {
        "competition_months_open": months.clip(0, 24).round(),
        "promo2_weeks": weeks.clip(0, 25).round(),
        "competition_since_year": joined["competition_open_since_year"].clip(lower=1990),
        "state_holiday": joined["state_holiday"].astype(str),
    }
