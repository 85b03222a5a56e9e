"""Tables as people write them: numbers, dates, categories, files; what is read, asked for, or told."""

from __future__ import annotations

import gzip
import json
import sys
import time
from contextlib import nullcontext, suppress
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from lab_basics.losses import mse
from lab_tabular.data import kept_data, table, table_of_frame
from lab_tabular.formats import as_dates
from lab_tabular.line import line
from lab_tabular.reading import read_table
from lab_tabular.rossmann import rossmann
from lab_tabular.sources import adult, bundled_table, towns

from lab import Learner
from lab.cli.main import cli
from lab.errors import DataError, LabError, ParameterError
from tests.plugins.lab_tabular.conftest import net
from tests.plugins.lab_tabular.test_tabular_data import written

COUNT = 12


def frame_of(values, **more):
    """A table with the column ``x`` and a target."""
    repeated = [values[number % len(values)] for number in range(COUNT)]
    return pd.DataFrame({"x": repeated, "y": np.arange(COUNT) / 3, **more})


def read(values, **options):
    """The column ``x`` as a model sees it, without scaling, over all rows; and the data."""
    data = table_of_frame(frame_of(values), "y", normalize=None, valid_rows=(COUNT - 1, COUNT), **options)
    return data.train.continuous[: len(values), 0].tolist(), data


# --- numbers ----------------------------------------------------------------------------------------------------------

WRITTEN = {
    "thousands": (["1,234.50", "900", "12,000"], {}, [1234.5, 900, 12000]),
    "dollars": (["$1,200", "$-5", "$0.50"], {}, [1200, -5, 0.5]),
    "a sign in front of the currency": (["-$5", "$7"], {}, [-5, 7]),
    "euros behind": (["1.234,50 €", "5 €"], {"decimal": ","}, [1234.5, 5]),
    "codes": (["USD 1,200", "USD 3"], {}, [1200, 3]),
    "percent": (["12 %", "3.5%"], {}, [12, 3.5]),
    "parentheses": (["(5)", "7", "(1,000)"], {}, [-5, 7, -1000]),
    "a minus behind": (["5-", "7"], {}, [-5, 7]),
    "the true minus": (["\u22125", "7"], {}, [-5, 7]),
    "units": (["3 kg", "4.5 kg"], {}, [3, 4.5]),
    "points as groups": (["1.234,50", "12,5"], {"decimal": ","}, [1234.5, 12.5]),
    "blanks": (["1 234,5", "1\u202f000"], {"decimal": ",", "thousands": " "}, [1234.5, 1000]),
    "apostrophes": (["1'234.5", "1\u2019000"], {"thousands": "'"}, [1234.5, 1000]),
    "Indian groups": (["1,23,456", "5"], {}, [123456, 5]),
    "gaps": (["$5", "", "$7", "N/A"], {"missing_indicators": False}, [5, 6, 7, 6]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN)
def test_numbers_are_read_as_people_write_them_where_they_are_declared(case):
    values, options, expected = WRITTEN[case]
    assert read(values, numeric=["x"], **options)[0] == pytest.approx(expected)


@pytest.mark.parametrize("case", [case for case in WRITTEN if case not in ("a minus behind", "the true minus")])
def test_what_looks_like_numbers_and_is_not_declared_is_asked_for(case):
    values, _, _ = WRITTEN[case]
    with pytest.raises(DataError, match=r"column 'x' (looks like numbers|mixes)") as error:
        read(values)
    assert "categorical" in error.value.hint
    assert "numeric=['x']" in error.value.hint or "mixes" in error.value.what


def test_the_question_shows_both_readings_of_one_sign():
    with pytest.raises(DataError) as error:
        read(["1,234", "5,678"])
    assert "numeric=['x'] reads '1,234' as 1234" in error.value.hint
    assert "numeric=['x'], decimal=',' reads '1,234' as 1.234" in error.value.hint


def test_what_looks_like_numbers_can_be_declared_as_categories():
    data = table_of_frame(frame_of(["$5", "$7"]), "y", categorical=["x"], valid_rows=(10, 12))
    assert data.preparation.categories == {"x": ["$5", "$7"]}


def test_a_decimal_comma_holds_for_all_columns():
    frame = frame_of(["1,5", "1.234,5"], z=["0,5", "2"] * 6)
    data = table_of_frame(frame, "y", decimal=",", thousands=".", normalize=None, valid_rows=(10, 12))
    assert data.train.continuous[:2].tolist() == [[1.5, 0.5], [1234.5, 2]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["$5", "€7"], "has numbers with '\\$' and '€'"),
        (["5 kg", "7 g"], "has numbers with 'g' and 'kg'"),
        (["5%", "7"], "has numbers with no unit and '%'"),
        (["$5", "soon"], "column 'x', row 1: 'soon' is not a number"),
        (["1,5", "2,75"], r"'1,5' is not a number(.|\n)*decimal=','"),
    ],
)
def test_declared_numbers_that_cannot_be_read_are_told(values, said):
    with pytest.raises(DataError, match=said):
        read(values, numeric=["x"])


def test_a_target_that_looks_like_numbers_is_no_class():
    frame = pd.DataFrame({"x": np.arange(12.0), "y": [f"${n},{n}00" for n in range(1, 10)] + ["$5", "$6", "$7"]})
    with pytest.raises(DataError, match=r"'y' looks like numbers and would be 10 classes(.|\n)*task='classification'"):
        table_of_frame(frame, "y")
    data = table_of_frame(frame, "y", numeric=["y"], valid_rows=(9, 12))
    assert data.valid.target.tolist() == [5, 6, 7]
    assert data.class_names == ()


def test_a_target_of_dates_is_asked_for():
    for days in (pd.date_range("2024-01-01", periods=12).astype(str), pd.date_range("2024-01-01", periods=12)):
        with pytest.raises(DataError, match=r"column 'y' (looks like|holds) dates(.|\n)*a number of days"):
            table_of_frame(pd.DataFrame({"x": np.arange(12.0), "y": days}), "y")


@pytest.mark.parametrize(
    ("values", "said"),
    [(["00123", "00456"], "leading zeros: x ('00123')"), ([20240105, 20231231], "look like dates: x ('20240105')")],
)
def test_numbers_that_look_like_codes_or_dates_are_told(values, said, caplog):
    read(values)
    assert said in caplog.text


def test_texts_beside_numbers_that_mean_a_gap_are_gaps_and_told(caplog):
    values, _ = read(["1", "-", "3", "None"], missing_indicators=False)
    assert values == [1, 2, 3, 2]
    assert "column 'x': '-', 'none' read as missing numbers" in caplog.text


def test_given_texts_and_numbers_are_gaps():
    assert read(["1", "unkn.", "3", "3"], missing=["UNKN."], missing_indicators=False)[0] == [1, 3, 3, 3]
    assert read([1, -999, 3, 3], missing=["-999"], missing_indicators=False)[0] == [1, 3, 3, 3]
    data = table_of_frame(frame_of(["a", "-", "b"]), "y", missing=["-"], valid_rows=(10, 12))
    assert data.train.categorical[:3].flatten().tolist() == [2, 1, 3]


def test_categories_that_could_mean_a_gap_are_told():
    data = table_of_frame(frame_of(["a", "None"]), "y", valid_rows=(10, 12))
    assert any("'None' in 'x'" in note for note in data.notes)


@pytest.mark.parametrize(("value", "said"), [("inf", "inf is not finite"), ("1e39", "is beyond the largest float32")])
def test_numbers_beyond_float32_are_told(value, said):
    for values in (["1", value], [1.0, float(value)]):
        with pytest.raises(DataError, match=rf"column 'x', row 1: .*{said}"):
            read(values)
    frame = pd.DataFrame({"x": np.arange(12.0), "y": [1.5, float(value)] * 6})
    with pytest.raises(DataError, match=said):
        table_of_frame(frame, "y", task="regression")


def test_numbers_that_grow_beyond_float32_when_they_are_scaled_are_told():
    train = pd.DataFrame({"x": [1.0, 1.0 + 1e-7] * 6, "y": np.arange(12) / 3})
    with pytest.raises(DataError, match="column 'x', row 1: scaled, it is beyond the largest float32"):
        table_of_frame(train, "y").preparation(pd.DataFrame({"x": [1.0, 1e38]}))


# --- dates ------------------------------------------------------------------------------------------------------------


def days(values, **options):
    """The day and month of each date, and the data."""
    data = table_of_frame(frame_of(values), "y", dates=["x"], valid_rows=(COUNT - 1, COUNT), **options)
    known = data.preparation.categories
    names = data.category_names
    rows = data.train.categorical[: len(values)]
    return [
        "-".join(known[f"x_{part}"][int(row[names.index(f"x_{part}")]) - 2] for part in ("year", "month", "day"))
        for row in rows
    ], data


DATES = {
    "ISO": (["2024-12-05", "2023-01-31"], {}, ["2024-12-5", "2023-1-31"]),
    "ISO with and without times": (["2024-12-05", "2023-01-31T10:00", "2023-02-28 10:00:30.5"], {},
                                   ["2024-12-5", "2023-1-31", "2023-2-28"]),
    "day first": (["05/12/2024", "25/12/2024"], {}, ["2024-12-5", "2024-12-25"]),
    "month first": (["12/05/2024", "12/25/2024"], {}, ["2024-12-5", "2024-12-25"]),
    "points": (["5.1.2024", "25.12.2024"], {}, ["2024-1-5", "2024-12-25"]),
    "months": (["12/2024", "01/2025"], {}, ["2024-12-1", "2025-1-1"]),
    "names": (["5 Dec 2024", "25 Jan 2024"], {}, ["2024-12-5", "2024-1-25"]),
    "American names": (["December 5, 2024", "January 25, 2024"], {}, ["2024-12-5", "2024-1-25"]),
    "slashes from the year": (["2024/12/05", "2024/01/25"], {}, ["2024-12-5", "2024-1-25"]),
    "digits alone": (["20241205", "20240125"], {}, ["2024-12-5", "2024-1-25"]),
    "times": (["25/12/2024 10:30", "05/12/2024 23:59"], {}, ["2024-12-25", "2024-12-5"]),
    "afternoon": (["12/25/2024 1:30 PM", "12/05/2024 11:59 PM"], {}, ["2024-12-25", "2024-12-5"]),
    "day first as declared": (["05/12/2024", "06/12/2024"], {"dayfirst": True}, ["2024-12-5", "2024-12-6"]),
    "month first as declared": (["05/12/2024", "06/12/2024"], {"dayfirst": False}, ["2024-5-12", "2024-6-12"]),
    "a given format": (["05/12/24", "06/12/69"], {"date_format": "%d/%m/%y"}, ["2024-12-5", "1969-12-6"]),
    "a format for a column": (["05/12/24", "06/12/24"], {"date_format": {"x": "%m/%d/%y"}}, ["2024-5-12", "2024-6-12"]),
    "one time zone": (["2024-12-05T23:30+02:00", "2024-12-06T00:30+02:00"], {}, ["2024-12-5", "2024-12-6"]),
    "UTC": (["2024-12-05T23:30Z", "2024-12-06T00:30Z"], {}, ["2024-12-5", "2024-12-6"]),
    "several time zones": (["2024-12-05T23:30-02:00", "2024-12-06T00:30+02:00"], {}, ["2024-12-6", "2024-12-5"]),
}  # fmt: skip


@pytest.mark.parametrize("case", DATES)
def test_dates_of_a_column_are_read_in_one_format(case):
    values, options, expected = DATES[case]
    assert days(values, **options)[0] == expected


def test_several_time_zones_are_told(caplog):
    days(["2024-12-05T23:30-02:00", "2024-12-06T00:30+02:00"])
    assert "dates with several time zones, converted to UTC: x" in caplog.text


ASKED = {
    "day or month": (["05/12/2024", "06/11/2024"], {},
                     r"'05/12/2024' is ambiguous\n.*\n.*'%d/%m/%Y'.* reads it as 5 December 2024"),
    "two digits of a year": (["25/12/24", "24/12/24"], {}, r"'25/12/24' (has a two-digit year|is ambiguous)"),
    "two formats": (["25/12/2024", "12/25/2024"], {}, r"row 1: '12/25/2024' is not a date in the format"),
    "zone and none": (["2024-12-05T10:00", "2024-12-05T10:00Z"], {}, "mixes dates with and without a time zone"),
    "a year alone": (["2024", "2023"], {}, r"row 0: '2024' is not a date(.|\n)*date_format"),
    "a number of days": ([45000, 45001], {}, r"row 0: '45000' is not a date"),
    "a gap": (["2024-12-05", ""], {}, "row 1: the date is missing"),
    "not as given": (["2024-12-05", "05/12/2024"], {"date_format": "%Y-%m-%d"}, "row 1: '05/12/2024' is not a date"),
    "a format that is none": (["2024-12-05"], {"date_format": "%Q"}, "date_format '%Q' cannot be used"),
    "the other order": (["12/25/2024"], {"dayfirst": True}, "format %m/%d/%Y, but dayfirst=True"),
    "a day that is not": (["2024-02-30", "2024-02-01"], {}, "row 0: '2024-02-30' is not a date"),
}  # fmt: skip


@pytest.mark.parametrize("case", ASKED)
def test_dates_that_can_be_read_in_several_ways_or_in_none_are_told(case):
    values, options, said = ASKED[case]
    with pytest.raises(DataError, match=said):
        days(values, **options)


@pytest.mark.parametrize(
    "values",
    [
        ["2024-12-05", "2023-01-31"], ["05/12/2024", "06/11/2024"], ["5.1.24", "6.1.24"], ["5 Dec 2024", "6 Dec 2024"],
        ["2024-12-05T10:00Z", "2024-12-06T10:00Z"], ["December 5, 2024", "May 6, 2024"], ["2024-01", "2024-02"],
        list(pd.date_range("2024-01-01", periods=2)), [date(2024, 1, 1), date(2024, 1, 2)],
    ],
)  # fmt: skip
def test_columns_that_look_like_dates_are_asked_for(values):
    with pytest.raises(DataError, match=r"column 'x' (looks like|holds) dates(.|\n)*dates=\['x'\]"):
        read(values)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_columns_of_dates_with_a_zone_are_told_in_it(zone):
    when = pd.to_datetime(["2024-12-05 23:30", "2024-12-06 00:30"]).tz_localize(zone)
    found, data = days(list(when))
    assert found == ["2024-12-5", "2024-12-6"]
    later = pd.DataFrame({"x": when.tz_convert("Asia/Tokyo")})
    assert data.preparation(later)[0].tolist() == data.train.categorical[:2].tolist()


def test_later_dates_are_read_as_those_of_training():
    _, data = days(["05/12/2024", "25/12/2024"])
    codes, _ = kept_data(json.loads(json.dumps(data.to_json()))).preparation(pd.DataFrame({"x": ["05/12/2024"]}))
    assert codes.tolist() == data.train.categorical[:1].tolist()
    with pytest.raises(DataError, match=r"'12/25/2024' is not a date in the format %d/%m/%Y of the others"):
        data.preparation(pd.DataFrame({"x": ["12/25/2024"]}))


def test_the_last_in_time_are_found_in_any_format_and_gaps_are_told():
    frame = pd.DataFrame({"day": ["25/11/2024", "01/12/2024", "24/12/2023", "03/01/2023"] * 3, "y": np.arange(12) / 3})
    data = table_of_frame(frame.assign(x=1.0), "y", valid_last="day", drop=["day"], valid_share=0.25)
    assert sorted((3 * data.valid.target).round().int().tolist()) == [1, 5, 9]
    with pytest.raises(DataError, match="valid_last 'x' is missing in row 2"):
        table_of_frame(pd.DataFrame({"x": [1, 2, None, 4], "y": [0.5, 1, 2, 3]}), "y", valid_last="x")


def test_a_part_of_a_date_that_is_a_column_already_is_told():
    frame = frame_of(["2024-12-05", "2023-01-31"], x_year=1.5)
    with pytest.raises(DataError, match="column 'x_year' exists already, and the date 'x' would"):
        table_of_frame(frame, "y", dates=["x"])
    frame = frame_of([1.0, None], x_missing=list("ab") * 6)
    with pytest.raises(DataError, match="column 'x_missing' exists already"):
        table_of_frame(frame, "y")


def test_standalone_dates_are_read_by_the_same_rules():
    assert as_dates(pd.Series(["25/12/2024", "05/12/2024"]), "d").dt.month.tolist() == [12, 12]


# --- categories -------------------------------------------------------------------------------------------------------


def codes_of(train, later, **options):
    """Codes of ``later`` by a table whose categories are ``train``."""
    data = table_of_frame(frame_of(train), "y", categorical=["x"], valid_rows=(11, 12), **options)
    return data.preparation(pd.DataFrame({"x": later}))[0].flatten().tolist()


@pytest.mark.parametrize("train", [["1", "2", "3"], [1, 2, 3], [1.0, 2.0, 3.0], ["1.0", "2.0", "3.0"]])
@pytest.mark.parametrize(
    "later", [["1", "3"], ["1.0", "3.0"], [1, 3], [1.0, 3.0], ["1 ", " 3"], ["1.", "+3"], [Decimal("1.0"), Decimal(3)]]
)
def test_whole_numbers_are_the_same_categories_however_they_are_written(train, later):
    assert codes_of(train, later) == [2, 4]


def test_a_gap_in_the_validation_column_leaves_the_other_categories_alone(tmp_path):
    frame = pd.DataFrame({"store": np.arange(12) % 3, "y": np.arange(12) / 3})
    frame.to_csv(tmp_path / "train.csv", index=False)
    gap = frame.assign(store=[None, *frame["store"][1:]])  # a column of floats, so that 1 is written 1.0
    gap.to_csv(tmp_path / "valid.csv", index=False)
    assert "1.0" in (tmp_path / "valid.csv").read_text()
    data = table(str(tmp_path / "train.csv"), "y", valid_path=str(tmp_path / "valid.csv"), categorical=["store"])
    assert data.valid.categorical.flatten().tolist() == [1, 3, 4, *[2, 3, 4] * 3]
    assert data.train.categorical[0].tolist() == [2]


def test_codes_with_zeros_in_front_keep_them():
    data = table_of_frame(frame_of(["01234", "1234"]), "y", categorical=["x"], valid_rows=(11, 12))
    assert sorted(data.preparation.categories["x"]) == ["01234", "1234"]
    assert codes_of(["01234", "1235"], ["1234", "01235"]) == [0, 0]


def test_long_ids_are_not_rounded():
    ids = ["12345678901234567", "12345678901234568", "12345678901234569"]
    assert codes_of(ids, ids) == [2, 3, 4]


@pytest.mark.parametrize("later", [["true", "false"], [True, False], ["TRUE", "FALSE"], [1, 0], ["1", "0"], [1.0, 0.0]])
@pytest.mark.parametrize("train", [[True, False], ["True", "False"], ["true", "FALSE"]])
def test_truth_values_are_the_same_categories_however_they_are_written(train, later):
    assert codes_of(train, later) == [3, 2]


def test_blanks_around_categories_are_no_part_of_them():
    assert codes_of([" a", "b "], ["a ", "\tb"]) == [2, 3]


def test_classes_are_the_same_however_they_are_written():
    train = pd.DataFrame({"x": np.arange(6.0), "y": ["0", "1"] * 3})
    valid = pd.DataFrame({"x": np.arange(2.0), "y": ["1.0", "0.0"]})
    assert table_of_frame(train, "y", valid=valid, task="classification").valid.target.tolist() == [1, 0]


def test_the_share_of_unseen_categories_is_told(caplog):
    train = frame_of(["a", "b"])
    valid = pd.DataFrame({"x": ["a", "c", "d", None], "y": [0.5] * 4})
    data = table_of_frame(train, "y", valid=valid)
    assert "valid: column 'x': 2 of 3 rows (67%) have a category unknown in training" in caplog.text
    assert data.notes[-1].startswith("valid: column 'x'")


def test_validation_without_any_known_category_is_an_error():
    valid = pd.DataFrame({"x": ["c", None], "y": [0.5] * 2})
    with pytest.raises(DataError, match=r"'x': no category of the split 'valid' occurs(.|\n)*known: a, b"):
        table_of_frame(frame_of(["a", "b"]), "y", valid=valid)
    data = table_of_frame(frame_of(["a", "b"], z=1.5), "y", valid=valid.assign(z=1.5), drop=["x"])
    assert data.category_names == ()


def test_unseen_categories_among_rows_to_predict_are_told_and_all_of_many_are_an_error(learner, caplog):
    rows = pd.DataFrame(
        {"town": ["town 01"] * 19 + ["Atlantis"], "kind": "flat", "month": 1, "rooms": 2, "income": 3.0}
    )
    learner.predict(rows)
    assert "column 'town': 1 of 20 rows (5%) have a category unknown in training" in caplog.text
    with pytest.raises(DataError, match="column 'town': none of its categories occurs"):
        learner.predict(rows.assign(town="Atlantis"))


def test_columns_of_single_categories_are_told(caplog):
    frame = pd.DataFrame({"name": [f"n{n}" for n in range(120)], "kind": list("ab") * 60, "y": np.arange(120) / 3})
    with pytest.raises(DataError, match="'name': no category of the split"):
        table_of_frame(frame, "y")
    data = table_of_frame(frame.assign(name=["n0"] * 20 + [f"n{n}" for n in range(100)]), "y", valid_rows=(0, 20))
    assert "most categories occur once: name (100 in 100 rows)" in caplog.text
    assert "categorical: name (100), kind (2)" in data.notes


def test_roles_and_numbers_of_values_of_each_column_are_told(caplog):
    caplog.set_level("INFO", logger="lab")
    frame = frame_of(["2024-12-05", "2023-01-31"], kind=list("abc") * 4, cost=["$5", "$7"] * 6, id=range(12), odd="q")
    data = table_of_frame(frame, "y", dates=["x"], numeric=["cost"], drop=["odd"], valid_rows=(10, 12))
    assert data.notes[:5] == (
        "target 'y': a number from 0 to 3",
        "categorical: kind (3)",
        "continuous: cost ($), id",
        "dates: x (year-month-day)",
        "not used: odd",
    )
    assert "column 'id' has another number in every row" in caplog.text
    assert "continuous: cost ($), id" in caplog.text


def test_constant_columns_are_told(caplog):
    table_of_frame(frame_of([1.0], kind="a", z=np.arange(12.0)), "y")
    assert "the same value in every training row: kind, x" in caplog.text


# --- names and kinds of columns ---------------------------------------------------------------------------------------

NAMES = ["self", "data", "a b", "a.b", "a/b", "forward", "training", "Ünïcode", "1", "%s{x}", "index", "name"]


def test_columns_may_have_any_name():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({name: generator.choice(["a", "b", "c"], 40) for name in NAMES})
    frame = frame.assign(**{f"{name} n": generator.normal(size=40) for name in NAMES}, target=generator.normal(size=40))
    frame.loc[3, "self n"] = np.nan
    data = table_of_frame(frame, "target")
    learner = Learner(net(data, layers=[4]), data, mse, progress=False)
    learner.fit(1)
    assert len(learner.predict(frame)) == 40
    assert set(data.category_names) == {*NAMES, "self n_missing"}


@pytest.mark.parametrize("target", ["self", "data", "a b"])
def test_a_target_may_have_any_name(target):
    frame = pd.DataFrame({"x": np.arange(12.0), target: np.arange(12) / 3})
    assert len(table_of_frame(frame, target).train) == 10


def test_columns_may_be_numbered():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(12, 3)))
    data = table_of_frame(frame, "2")
    assert data.continuous_names == ("0", "1")
    assert data.preparation(frame)[1].shape == (12, 2)


KINDS = {
    "lists": ([[1, 2], [3]], "the value is of type list"),
    "dictionaries": ([{"a": 1}, {"a": 2}], "the value is of type dict"),
    "bytes": ([b"a", b"b"], "the value is of type bytes"),
    "durations": (list(pd.to_timedelta([1, 2], "D")), "holds durations"),
    "complex numbers": ([1 + 2j, 3j], "complex numbers"),
    "numbers and texts": ([1, "a"], "mixes numbers and strings: row 1 has 'a'"),
    "nothing": ([None, None], "has no value in the training rows"),
    "gaps in words": (["NA", "N/A"], "has no value in the training rows"),
}


@pytest.mark.parametrize("case", KINDS)
def test_values_that_are_neither_numbers_nor_texts_are_told_with_their_column(case):
    values, said = KINDS[case]
    with pytest.raises(DataError, match=f"column 'x'.*{said}"):
        table_of_frame(frame_of(values, z=np.arange(12.0)), "y")


def test_empty_columns_are_told_however_they_were_declared():
    for option in ("categorical", "continuous", "numeric"):
        with pytest.raises(DataError, match="column 'x' has no value in the training rows"):
            table_of_frame(frame_of([None, ""], z=1.0), "y", **{option: ["x"]})


def test_decimals_are_numbers():
    assert read([Decimal("1.5"), Decimal("2")])[0] == [1.5, 2]


def test_nested_parquet_is_told_with_its_column(tmp_path):
    pd.DataFrame({"x": [[1, 2]] * 6, "z": 1.5, "y": np.arange(6) / 3}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column 'x', row 0: the value is of type ndarray"):
        table(str(tmp_path / "a.parquet"), "y", valid_rows=(5, 6))


def test_thousands_of_columns_take_seconds():
    values = np.random.default_rng(0).normal(size=(20, 5000)).round(2)
    frame = pd.DataFrame(values, columns=[f"c{n}" for n in range(5000)])
    frame.iloc[3, 1::7] = np.nan
    start = time.monotonic()
    assert table_of_frame(frame, "c0").continuous_count == 4999
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("values", "marked"),
    [
        (["valid", "train", "train"], [0]), (["yes", "no", ""], [0]), ([True, False, False], [0]), ([1, 0, 0], [0]),
        (["1.0", "0.0", "0"], [0]), (["x", "", None], [0]),
    ],
)  # fmt: skip
def test_marks_of_rows_that_validate_are_read_as_people_write_them(values, marked):
    frame = pd.DataFrame({"x": np.arange(3.0), "held": values, "y": [0.5, 1.5, 2.5]})
    data = table_of_frame(frame, "y", valid_column="held", normalize=None)
    assert data.valid.continuous.flatten().tolist() == marked


def test_marks_that_could_mean_either_are_told():
    frame = pd.DataFrame({"x": np.arange(3.0), "held": ["train", "test", "valid"], "y": [0.5, 1.5, 2.5]})
    with pytest.raises(DataError, match="valid_column 'held' has 'test', which is neither yes nor no"):
        table_of_frame(frame, "y", valid_column="held")


# --- files ------------------------------------------------------------------------------------------------------------


def bytes_in(folder, content, name="rows.csv"):
    (folder / name).write_bytes(content)
    return folder / name


PLAIN = "town,price\nKöln,1\nBonn,2\n"


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (PLAIN.encode("utf-8-sig"), {}),
        ('"town","price"\nKöln,1\nBonn,2\n'.encode("utf-8-sig"), {}),
        (PLAIN.encode("cp1252"), {"encoding": "cp1252"}),
        (PLAIN.encode("utf-16"), {"encoding": "utf-16"}),
        (PLAIN.replace(",", ";").encode(), {"separator": ";"}),
        (PLAIN.replace(",", "\t").encode(), {"separator": "tab"}),
        (PLAIN.replace(",", "|").encode(), {"separator": "|"}),
        (PLAIN.replace("\n", "\r\n").encode(), {}),
        (PLAIN.replace("\n", "\r").encode(), {}),
        (b"\n\n" + PLAIN.encode(), {}),
        (PLAIN.replace(",", " , ").encode(), {}),
        (PLAIN.rstrip("\n").encode(), {}),
    ],
)
def test_the_same_table_is_read_from_each_encoding_and_separator(tmp_path, content, options):
    frame = read_table(bytes_in(tmp_path, content), **options)
    assert list(frame.columns) == ["town", "price"]
    assert frame["town"].str.strip().tolist() == ["Köln", "Bonn"]
    assert frame["price"].tolist() == ["1", "2"]


XLSX, XLS = b"PK\x03\x04" + b"\0" * 40, b"\xd0\xcf\x11\xe0" + b"\0" * 40
CUT = gzip.compress(PLAIN.encode() * 2000)[:-20]
FILES = {
    "UTF-16": (PLAIN.encode("utf-16"), "rows.csv", r"the file is UTF-16, not UTF-8(.|\n)*encoding='utf-16'"),
    "UTF-16 without mark": (PLAIN.encode("utf-16-le"), "rows.csv", r"zero bytes(.|\n)*encoding='utf-16-le'"),
    "cp1252": (PLAIN.encode("cp1252"), "rows.csv", r"line 2 is not UTF-8: .* 'Köln,1'(.|\n)*encoding='cp1252'"),
    "cp1252 in the header": ("Größe,price\n1,2\n".encode("cp1252"), "rows.csv", "line 1 is not UTF-8"),
    "semicolons": (PLAIN.replace(",", ";").encode(), "rows.csv", r"separated by semicolons(.|\n)*separator=';'"),
    "semicolons and decimal commas": (b"a;b\n1,5;2,5\n", "rows.csv", r"separator=';'"),
    "tabs": (PLAIN.replace(",", "\t").encode(), "rows.csv", r"seem to be separated by tabs(.|\n)*separator='tab'"),
    "bars": (PLAIN.replace(",", "|").encode(), "rows.csv", r"seem to be separated by bars(.|\n)*separator='\|'"),
    "a short row": (b"a,b,c\n1,2,3\n4,5\n6,7,8\n", "rows.csv", "line 3 has 2 values, the header 3 columns"),
    "a long row": (b"a,b\n1,2\n1,2,3\n", "rows.csv", "Expected 2 fields in line 3, saw 3"),
    "an open quotation mark": (b'a,b\n1,"2\n3,4\n', "rows.csv", "a quotation mark opened in row 1 is not closed"),
    "a workbook": (XLSX, "rows.csv", r"an Excel workbook \(\.xlsx\), not a CSV file"),
    "an old workbook": (XLS, "rows.csv", "this is an old Excel workbook"),
    "a workbook by name": (XLSX, "rows.xlsx", "reading Excel needs openpyxl|not an Excel workbook"),
    "an encrypted zip": (b"PK\x03\x04\x14\0\x01\0" + b"\0" * 40, "rows.csv.zip", "this is a zip archive"),
    "Parquet": (b"PAR1" + b"\0" * 40, "rows.csv", "this is a Parquet file"),
    "no Parquet": (b"hello", "rows.parquet", "this is not a Parquet file, or a damaged one"),
    "a web page": (b"\n<!DOCTYPE html><html>", "rows.csv", "this is a web page"),
    "a cut gzip": (CUT, "rows.csv.gz", "the compressed file is damaged or cut short"),
    "a broken gzip": (CUT[:30] + b"\xff" * 30 + CUT[60:], "rows.csv.gz", "the compressed file is damaged"),
    "no gzip": (PLAIN.encode(), "rows.csv.gz", "the file is named .gz but not compressed"),
    "gzip by another name": (CUT, "rows.csv", r"compressed with gzip(.|\n)*rename it to rows.csv.gz"),
    "nothing": (b"", "rows.csv", "the file is empty"),
    "blank lines": (b"\n\n\n", "rows.csv", "the file is empty"),
    "an empty gzip": (b"", "rows.csv.gz", "empty|damaged"),
    "the header alone": (b"a,b\n", "rows.csv", "a header, but no rows"),
    "names twice": (b"a, a\n1,2\n", "rows.csv", "duplicate column 'a'"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_read_are_told_with_the_remedy(tmp_path, case):
    content, name, said = FILES[case]
    with pytest.raises(DataError, match=said) as error:
        read_table(bytes_in(tmp_path, content, name))
    assert name in error.value.where


def test_utf8_that_is_read_with_one_byte_a_letter_is_an_error(tmp_path):
    (tmp_path / "rows.csv").write_text("town,price\nKöln,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"the file is UTF-8, and read as CP1252(.|\n)*--encoding utf-8"):
        read_table(tmp_path / "rows.csv", encoding="cp1252")
    (tmp_path / "plain.csv").write_text("town,price\nBonn,1\n", encoding="utf-8")
    assert list(read_table(tmp_path / "plain.csv", encoding="cp1252")["town"]) == ["Bonn"]


@pytest.mark.parametrize("options", [{"separator": "ab"}, {"separator": '"'}, {"encoding": "utf-99"}])
def test_separators_and_encodings_that_do_not_exist_are_told(tmp_path, options):
    with pytest.raises(ParameterError, match=r"is not one character|no encoding"):
        read_table(bytes_in(tmp_path, PLAIN.encode()), **options)


def test_folders_in_the_place_of_a_table_are_told(tmp_path):
    with pytest.raises(DataError, match="this is a folder"):
        read_table(tmp_path)


def test_any_changed_table_is_read_or_told(tmp_path):
    generator = np.random.default_rng(0)
    content = b'town,rooms,price\n"a ""b""",1,10.5\n"c\nd",2,21\nb,,41\na,5,50\nb,1,2\n'
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(2):
            changed[int(generator.integers(len(changed)))] = int(generator.integers(256))
        path = bytes_in(tmp_path, bytes(changed[: int(generator.integers(len(changed) // 2, len(changed) + 1))]))
        try:
            table(str(path), "price", task="regression", valid_rows=(0, 1))
        except LabError as error:
            said = str(error)
            assert said


def test_line_ends_in_quotation_marks_stay_and_lines_are_counted_as_editors_do(tmp_path):
    frame = read_table(bytes_in(tmp_path, b'title,price\n"Rocky\nII",1\nRockyII,2\n\n"a\r\n\r\nb",x\nlast,4\n'))
    assert frame["title"].tolist() == ["Rocky\nII", "RockyII", "a\r\n\r\nb", "last"]
    assert frame.index.tolist() == [2, 4, 6, 9]
    with pytest.raises(DataError, match=r"line 6(:| has).*'x'"):
        table(written(tmp_path, (tmp_path / "rows.csv").read_bytes().decode(), "b.csv"), "price")


def test_long_texts_are_read(tmp_path):
    frame = read_table(bytes_in(tmp_path, b"title,price\n" + b"x" * 200_000 + b",1\nb,\n"))
    assert frame["title"].str.len().tolist() == [200_000, 1]


def test_a_column_without_a_name_is_asked_for(tmp_path):
    pd.DataFrame({"x": np.arange(6.0), "y": np.arange(6) / 3}).to_csv(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"column 1 has no name(.|\n)*drop=\['Unnamed: 0'\]"):
        table(str(tmp_path / "a.csv"), "y")
    assert table(str(tmp_path / "a.csv"), "y", drop=["Unnamed: 0"]).continuous_names == ("x",)


REFUSED = {
    "a negative number of rows": ({"max_rows": -1}, "max_rows must be at least 1, got -1"),
    "no rows": ({"max_rows": 0}, "max_rows must be at least 1, got 0"),
    "a negative seed": ({"split_seed": -1}, "split_seed must be at least 0"),
    "a share that is not a number": ({"valid_share": float("nan")}, "valid_share must lie in"),
    "a decimal sign that is none": ({"decimal": "x"}, "decimal='x'"),
    "one sign for both": ({"thousands": "."}, "thousands='.' with decimal='.'"),
    "a format for a column that is not a date": (
        {"date_format": {"x": "%Y"}},
        "date_format names 'x', which is not in dates",
    ),
    "no rows for a category": ({"min_count": 0}, "min_count must be at least 1, got 0"),
    "a column with two roles": ({"numeric": ["x"], "categorical": ["x"]}, "column 'x' has two roles"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_out_of_range_are_refused(tmp_path, case):
    options, said = REFUSED[case]
    with pytest.raises(ParameterError, match=said):
        table(written(tmp_path, "x,y\n" + "1,0.5\n2,1.5\n" * 6), "y", **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: adult(max_rows=-1),
        lambda: rossmann(stores=0),
        lambda: rossmann(valid_days=-3),
        lambda: towns(data_seed=-1),
        lambda: line(count=9),
        lambda: bundled_table(split_seed=-1),
    ],
)
def test_named_tables_refuse_values_out_of_range(make):
    with pytest.raises(ParameterError, match=r"must be at least (0|1|10), got -?\d"):
        make()


@pytest.mark.parametrize("options", [{"slope": float("nan")}, {"noise": -1.0}, {"data_seed": -1}])
def test_lines_of_numbers_that_are_not_finite_are_refused(options):
    with pytest.raises(ParameterError, match=r"slope=.*noise=.*data_seed="):
        line(**options)


# --- prediction -------------------------------------------------------------------------------------------------------


def test_predictions_have_the_same_metrics_as_validation_on_the_same_rows(tmp_path):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "store": generator.integers(1, 4, 60), "cost": [f"${n:,.2f}" for n in generator.uniform(1, 9000, 60)],
            "day": [f"{n:%d/%m/%Y}" for n in pd.date_range("2024-11-01", periods=60)],
            "price": generator.uniform(1, 9, 60).round(2),
        }
    )  # fmt: skip
    frame.loc[[3, 50], "store"] = None
    frame.to_csv(tmp_path / "rows.csv", index=False)
    data = table(
        str(tmp_path / "rows.csv"), "price", categorical=["store"], numeric=["cost"], dates=["day"], valid_rows=(40, 60)
    )
    learner = Learner(net(data, layers=[8]), data, mse, progress=False)
    learner.fit(2)
    rows = read_table(tmp_path / "rows.csv").iloc[40:]
    expected = torch.tensor(learner.predict(rows)["prediction"].tolist())
    loss = float(((expected - data.valid.target) ** 2).mean())
    assert loss == pytest.approx(learner.validate()["valid_loss"], rel=1e-5)
    shuffled = rows[["day", "store", "cost"]].assign(extra=1)
    assert torch.equal(torch.tensor(learner.predict(shuffled)["prediction"].tolist()), expected)


def test_lab_predict_reads_files_as_training_did(tmp_path):
    from lab import Experiment, Study, use

    generator = np.random.default_rng(0)
    lines = [f"{kind};{n},5;{n * 2},25" for n, kind in enumerate(generator.choice(["Köln", "Bonn"], 40))]
    (tmp_path / "rows.csv").write_bytes("\n".join(["town;size;price", *lines]).encode("cp1252"))
    base = Experiment(
        dataset=use(
            "table", path=str(tmp_path / "rows.csv"), target="price", separator=";", encoding="cp1252", decimal=","
        ),
        architecture=use("tabular_mlp", layers=[4]), loss="mse", epochs=1, batch_size=16,
    )  # fmt: skip
    key = Study(base, seeds=1, name="towns").run(runs=tmp_path / "runs").runs[0].key
    (tmp_path / "new.csv").write_bytes("size;town\n1,5;Köln\n".encode("cp1252"))
    (tmp_path / "plain.csv").write_text("size,town\n1.5,Bonn\n", encoding="utf-8")
    arguments = ["predict", key, "--runs", str(tmp_path / "runs"), "--only"]
    done = CliRunner().invoke(cli, [*arguments, str(tmp_path / "new.csv")])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("prediction\n")
    said = [
        str(CliRunner().invoke(cli, [*arguments, *more]).exception)
        for more in (
            [str(tmp_path / "plain.csv")],
            [str(tmp_path / "plain.csv"), "--separator", ",", "--encoding", "utf-8"],
        )
    ]
    assert "separator=','" in said[0]
    assert "'1.5' is not a number" in said[1]
    refused = CliRunner().invoke(cli, [*arguments, str(tmp_path / "new.csv"), "-o", str(tmp_path / "no" / "out.csv")])
    assert refused.exit_code == 2
    assert "there is no folder" in refused.output


def test_any_changed_preparation_is_read_or_told():
    frame = frame_of(["2024-12-05T10:00+01:00", "2024-12-06T10:00+01:00"], kind=list("ab") * 6, size=[1.5, None] * 6)
    kept = table_of_frame(frame, "y", dates=["x"], valid_rows=(10, 12)).to_json()
    kept = json.loads(json.dumps(kept))

    def spots(value, path=()):
        yield path
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            yield from spots(value[key], (*path, key))

    for path in list(spots(kept)):
        for other in (None, 7, "x", [], {}, [[1]]):
            changed = json.loads(json.dumps(kept))
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            if path:
                inner[path[-1]] = other
            with suppress(LabError):
                kept_data(changed if path else other).preparation(frame.iloc[:2])


# --- workbooks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def workbook(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")

    def write(*sheets):
        book, path = openpyxl.Workbook(), tmp_path / "rows.xlsx"
        book.remove(book.active)
        for number, rows in enumerate(sheets):
            sheet = book.create_sheet(f"sheet {number}")
            for row in rows:
                sheet.append(row)
        book.save(path)
        return path

    return write


def test_a_workbook_is_read_with_its_types_and_rows(workbook):
    day = pd.Timestamp("2024-12-05")
    rows = [["town", " size", "day", "price"], ["Köln", 1, day, 2.5], ["NA", None, day, 1], ["Köln", 3, day, 4]]
    frame = read_table(workbook(rows))
    assert frame.index.tolist() == [2, 3, 4]
    assert frame["town"].isna().tolist() == [False, True, False]
    assert frame["size"].tolist()[::2] == [1, 3]
    data = table_of_frame(frame, "price", dates=["day"], valid_rows=(2, 3), task="regression")
    assert data.continuous_names == ("size", "day_elapsed")


def test_a_workbook_of_several_sheets_is_read_with_a_warning(workbook, caplog):
    assert len(read_table(workbook([["a", "b"], [1, 2]], [["c"], [3]]))) == 1
    assert "read sheet 'sheet 0', not: sheet 1" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], "is empty"), ([["a", "b"]], "no rows"), ([["a", "a"], [1, 2]], "duplicate column 'a'")],
)
def test_workbooks_that_cannot_be_read_are_told(workbook, rows, message):
    with pytest.raises(DataError, match=message):
        read_table(workbook(rows))


def test_a_workbook_asks_for_openpyxl_if_it_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"reading Excel needs openpyxl(.|\n)*pip install 'lab-ablation\[excel\]'"):
        read_table(bytes_in(tmp_path, XLSX, "rows.xlsx"))


@pytest.mark.parametrize("blank", ["\t", "  ", "\n \n"])
def test_lines_of_white_space_before_the_header_are_skipped(tmp_path, blank):
    path = tmp_path / "blank.csv"
    path.write_text(f"{blank}\na,b\n1,2\n")
    assert list(read_table(path).columns) == ["a", "b"]
    path.write_text(f"{blank}\n1,5")
    with pytest.raises(DataError, match="a header, but no rows"):
        read_table(path)


# --- formats that are detected ----------------------------------------------------------------------------------------

EUROPEAN = """Id;Ort;Preis;Fläche;Tag;Rabatt;Zimmer
001;Köln;1.234,50;85,5;31.07.2015;12 %;3
002;Bonn;2.000,00;61,0;01.08.2015;5 %;n/a
003;Köln;1.500;40;15.08.2015;0 %;2
004;Bonn;999,99;120,25;30.08.2015;7,5 %;-
005;Ulm;3.100,00;75;02.09.2015;10 %;5
"""


def repeated(text, times=6):
    header, *rows = text.splitlines(keepends=True)
    return header + "".join(rows * times)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("sign", "said"), [(";", ";"), ("\t", "tab"), ("|", "|")])
def test_a_european_file_is_detected_and_shown(tmp_path, encoding, sign, said):
    path = tmp_path / "preise.csv"
    path.write_bytes(repeated(EUROPEAN).replace(";", sign).encode(encoding))
    data = table(str(path), "Preis", formats="detected", drop=["Id"])
    read = data.preparation
    assert read.formats["Preis"].decimal == ","
    assert read.formats["Rabatt"].unit == "%"
    assert set(read.categories["Ort"]) <= {"Köln", "Bonn", "Ulm"}
    assert (data.target_range[0], data.target_range[1]) == (999.99, 3100.0)
    (note, formats) = (each for each in data.notes if each.startswith("detected: "))
    assert f"separator='{said}'" in note
    assert ("encoding='cp1252'" in note) == (encoding in ("cp1252", "latin-1"))
    assert formats == "detected: decimal=',', thousands='.', numeric=['Rabatt'], dates=['Tag']"
    assert any("'-' and 'n/a'" in each or "'-'" in each for each in data.notes if each.startswith("read as missing"))


@pytest.mark.parametrize(
    ("other", "price", "decides"),
    [
        ("{i}", "1.23{i}", False),
        ("1.00{i}", "12.345", False),
        ("0.5", "1.23{i}", True),
        ("{i}", "0.23{i}", True),
    ],
)
@pytest.mark.parametrize(("separator", "is_local"), [(";", True), (",", False)])
def test_three_digits_behind_a_point_are_asked_about(tmp_path, other, price, decides, separator, is_local):
    path = tmp_path / "prices.csv"
    rows = [separator.join([price.format(i=i % 10), other.format(i=i % 10)]) for i in range(14)]
    path.write_text("\n".join([f"a{separator}y", *rows]) + "\n")
    asked = pytest.raises(DataError, match=r"may be 1\S+ or 1\d+, and nothing in the file decides")
    with asked if is_local and not decides else nullcontext():
        table(str(path), "y", formats="detected", valid_rows=(0, 2))


def test_what_is_detected_reads_as_what_is_declared(tmp_path):
    path = tmp_path / "preise.csv"
    path.write_bytes(repeated(EUROPEAN).encode("cp1252"))
    one = table(str(path), "Preis", formats="detected", drop=["Id"])
    other = table(
        str(path), "Preis", drop=["Id"], separator=";", encoding="cp1252", decimal=",", thousands=".",
        numeric=["Rabatt"], dates=["Tag"],
    )  # fmt: skip
    assert one.fingerprint == other.fingerprint
    assert one.preparation.reading == other.preparation.reading == {"separator": ";", "encoding": "cp1252"}


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (["$1,200.50", "$3", "$12"], {"decimal": ".", "thousands": ",", "numeric": ["x"]}),
        (["1,234,567", "12", "1,000"], {"decimal": ".", "thousands": ","}),
        (["1 234,5", "12", "7,25"], {"decimal": ",", "thousands": " "}),
        (["1'234.5", "12.5", "7"], {"decimal": ".", "thousands": "'"}),
        (["0,5", "1,25", "n/a"], {"decimal": ",", "thousands": "."}),
        (["1.5", "2", "none"], {}),
        (["a", "b", "c"], {}),
        (["05/12/2024", "31/12/2024", "01/01/2025"], {"dates": ["x"]}),
    ],
)
def test_signs_of_numbers_and_dates_are_detected(column, found):
    from lab_tabular.data import _with_defaults
    from lab_tabular.detection import detect_formats

    columns = {"x": pd.Series(column), "y": pd.Series(["1", "2", "3"])}
    assert detect_formats(columns, "y", _with_defaults({})) == found


def test_one_column_of_dates_decides_the_order_of_another():
    from lab_tabular.data import _with_defaults
    from lab_tabular.detection import detect_formats

    columns = {"a": pd.Series(["05/12/2024", "06/11/2024"]), "b": pd.Series(["31/12/2024", "01/02/2024"])}
    assert detect_formats(columns, "y", _with_defaults({})) == {"dates": ["a", "b"], "dayfirst": True}


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (["1,234", "5,678"], "looks like numbers"),
        (["05/12/2024", "06/11/2024"], "is ambiguous"),
    ],
)
def test_what_stays_ambiguous_is_an_error_and_no_guess(column, said):
    frame = pd.DataFrame({"x": column * 10, "y": [1.5, 2.5] * 10})
    with pytest.raises(DataError, match=said):
        table_of_frame(frame, "y", formats="detected")


def test_plain_files_have_nothing_to_detect(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(repeated(PLAIN, 10), encoding="utf-8")
    one, other = (table(str(path), "price", formats=formats) for formats in ("declared", "detected"))
    assert one.fingerprint == other.fingerprint
    assert one.notes == other.notes


def test_what_is_given_is_not_detected(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(repeated("a;b\n1,5;2\n2,5;3\n"))
    data = table(str(path), "b", formats="detected", decimal=",", task="regression")
    assert [note for note in data.notes if note.startswith("detected")] == ["detected: separator=';'"]
