"""Tables: how they are read, split and cut into batches, and what is said of bad ones."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from lab_tabular.data import table, table_of_frame
from lab_tabular.reading import read_table
from lab_tabular.rossmann import rossmann, rossmann_frame, rossmann_test_frame
from lab_tabular.sources import adult, bundled_table, house_prices, towns, towns_frame

from lab.errors import DataError, LabError, ParameterError

GOOD = "town,rooms,price\na,1,10\nb,2,21\na,3,30\nb,4,41\na,5,50\n"


def written(folder, text, name="rows.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_texts_are_categories_and_numbers_are_numbers(tmp_path):
    data = table(written(tmp_path, GOOD), "price", task="regression")
    assert (data.category_names, data.continuous_names, data.output_size) == (("town",), ("rooms",), 1)
    batch = data.train[0]
    assert (batch.categorical.shape, batch.continuous.shape, batch.target.shape) == ((1, 1), (1, 1), (1,))


def test_a_parquet_file_is_the_same_table(tmp_path):
    frame = towns_frame(200)[0]
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    one, other = (table(str(tmp_path / f"rows.{kind}"), "rent") for kind in ("parquet", "csv"))
    assert one.fingerprint == other.fingerprint


def test_a_batch_is_a_slice_of_tensors():
    data = towns(rows=300)
    batch = data.train.__getitems__([4, 2])
    assert torch.equal(batch.continuous, data.train.continuous[[4, 2]])


@pytest.mark.parametrize(("text", "classes"), [("yes,no,yes,no", 2), ("1,2,3,1", 3), ("1.5,2.5,3.5,1", 0)])
def test_the_task_is_seen_from_the_target(text, classes):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": text.split(",")})
    train = pd.concat([frame] * 5, ignore_index=True)
    assert len(table_of_frame(train, "y").class_names) == classes


def test_rows_from_a_range_validate():
    frame = pd.DataFrame({"x": np.arange(10.0), "y": np.arange(10.0) / 3})
    data = table_of_frame(frame, "y", valid_rows=(8, 10), normalize=None)
    assert data.valid.continuous.flatten().tolist() == [8, 9]


def test_the_last_in_time_validate():
    days = pd.date_range("2020-01-01", periods=10).astype(str)[::-1]
    frame = pd.DataFrame({"day": days, "x": np.arange(10.0), "y": np.arange(10.0) / 3})
    data = table_of_frame(frame, "y", valid_last="day", dates=["day"], normalize=None)
    assert data.valid.continuous[:, data.continuous_names.index("x")].tolist() == [0, 1]


@pytest.mark.parametrize(("share", "days"), [(0.22, [8, 9]), (0.06, [9]), (0.99, list(range(1, 10)))])
def test_rows_with_one_value_are_on_one_side_of_a_split_by_value(share, days):
    frame = pd.DataFrame({"day": np.arange(100) // 10, "x": np.arange(100.0), "y": np.arange(100.0) / 3})
    data = table_of_frame(frame, "y", valid_last="day", valid_share=share, normalize=None)
    day = data.continuous_names.index("day")
    assert data.valid.continuous[:, day].unique().tolist() == days
    assert not set(data.train.continuous[:, day].tolist()) & set(days)
    assert any(f"day from {days[0]}" in note for note in data.notes)


def test_a_column_with_one_value_cannot_split():
    frame = pd.DataFrame({"day": 3, "x": np.arange(10.0), "y": np.arange(10.0) / 3})
    with pytest.raises(DataError, match="valid_last 'day' has the same value in every row"):
        table_of_frame(frame, "y", valid_last="day")


def test_a_column_says_which_rows_validate_and_is_no_input():
    frame = pd.DataFrame({"x": np.arange(6.0), "y": np.arange(6.0) / 3, "held": [0, 1, 0, 0, 1, 0]})
    data = table_of_frame(frame, "y", valid_column="held", normalize=None)
    assert data.valid.continuous.flatten().tolist() == [1, 4]
    assert data.continuous_names == ("x",)


def test_folds_are_disjoint_and_cover_all_rows():
    frame = pd.DataFrame({"x": np.arange(23.0), "y": np.arange(23.0) / 3})
    parts = [table_of_frame(frame, "y", folds=5, fold=fold, normalize=None).valid for fold in range(5)]
    assert sorted(torch.cat([part.continuous for part in parts]).flatten().tolist()) == list(range(23))


def test_given_files_validate_and_test(tmp_path):
    path = written(tmp_path, GOOD)
    other = written(tmp_path, "town,rooms,price\na,9,99\n", "other.csv")
    data = table(path, "price", task="regression", valid_path=other, test_path=other)
    assert (len(data.train), len(data.valid), len(data.test)) == (5, 1, 1)


def test_two_ways_to_split_exclude_each_other(tmp_path):
    with pytest.raises(ParameterError, match="valid_rows and folds exclude each other"):
        table(written(tmp_path, GOOD), "price", valid_rows=(0, 1), folds=5)


BAD = {
    "the target is not there": ("a,prise\n1,2\n", {}, "there is no column 'price'.*'price': did you mean: prise"),
    "the target has gaps": ("a,price\n1,2.5\n2,\n3,4.5\n", {}, "target 'price' is missing in line 3"),
    "a column is not there": (GOOD, {"continuous": ["rooom"]}, "there is no column 'rooom'.*rooms"),
    "a column is mixed": ("a,price\n1,2.5\n2,1.5\nx,3.5\n", {}, "column 'a' mixes numbers and strings: line 4 has 'x'"),
    "a number is a text": ("a,price\n1,2.5\nx,3.5\n", {"continuous": ["a"]}, "column 'a', line 3: 'x' is not a number"),
    "a number is infinite": ("a,price\n1,2.5\ninf,3.5\n", {}, "column 'a', line 3: inf is not finite"),
    "a column is empty": ("a,b,price\n1,,2.5\n2,,3.5\n", {}, "column 'b' has no value in the training rows"),
    "two columns have one name": ("a,a,price\n1,2,2.5\n", {}, "duplicate column 'a'"),
    "the file is empty": ("", {}, "the file is empty"),
    "there are no rows": ("a,price\n", {}, "a header, but no rows"),
    "a row is too long": ("a,price\n1,2.5\n1,2,3\n", {}, "Expected 2 fields in line 3, saw 3"),
    "all rows are too long": ("a,price\n1,2,3\n1,2,3\n", {}, "more values than the header has columns"),
    "the separator is another": ("a;price\n1;2\n", {}, "not separated by commas"),
    "there is one class": ("a,price\n1,x\n2,x\n3,x\n", {}, "target 'price' has only one class"),
    "there is nothing to look at": ("price\n1\n2\n3.5\n", {}, "there is no column besides the target"),
    "a date is none": ("d,price\n2020-01-01,1.5\nsoon,2.5\n", {"dates": ["d"]}, "line 3: 'soon' is not a date"),
    "one row cannot be split": ("a,price\n1,2.5\n", {}, "0 of 1 rows would validate"),
    "the range lies outside": (GOOD, {"valid_rows": (3, 9)}, "rows 3 to 9 do not exist"),
    "the fold does not exist": (GOOD, {"folds": 3, "fold": 3}, "fold 3 of 3 does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_told_with_column_and_line(tmp_path, case):
    text, options, said = BAD[case]
    split = (
        {} if {"valid_rows", "folds"} & options.keys() or case == "one row cannot be split" else {"valid_rows": (0, 1)}
    )
    with pytest.raises(LabError) as error:
        table(written(tmp_path, text), "price", **split, **options)
    assert re.search(said, str(error.value), re.DOTALL), str(error.value)


def test_latin_letters_are_told(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("town,price\nKöln,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_table(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match="table file not found"):
        read_table(tmp_path / "nowhere.csv")


def test_a_constant_column_becomes_zero():
    frame = pd.DataFrame({"x": np.arange(10.0), "same": 3.0, "y": np.arange(10.0) / 3})
    data = table_of_frame(frame, "y")
    assert data.train.continuous[:, 1].unique().tolist() == [0]


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits", "iris", "wine"])
def test_scikit_learns_tables_need_no_download(name):
    data = bundled_table(name)
    assert len(data.train) > 2 * len(data.valid)
    assert (len(data.class_names) or 1) == data.output_size


def test_the_making_of_rents_is_known():
    frame, places = towns_frame(2000)
    east = frame.merge(places, on="town")
    assert np.corrcoef(east["x"], east["rent"])[0, 1] > 0.3
    gaps = frame["income"].isna()
    assert frame["rent"][gaps].mean() > frame["rent"][~gaps].mean() + 1


def test_adult_has_its_published_rows(lab_data):
    data = adult(valid="test")
    assert (len(data.train), len(data.valid)) == (32_561, 16_281)
    assert data.class_names == ("<=50K", ">50K")
    assert (len(data.category_names), data.continuous_count) == (8, 6)


def test_exact_numbers_are_categories_as_well(lab_data):
    data = adult(exact_numbers=True, max_rows=2000)
    assert "capital_gain_exactly" in data.category_names
    assert "capital_gain" in data.continuous_names


def test_house_prices_are_logarithms_of_dollars(lab_data):
    data = house_prices()
    assert len(data.train) + len(data.valid) == 1460
    assert data.target_mean == pytest.approx(12.02, abs=0.02)
    assert "MSSubClass" in data.category_names


def test_rossmann_knows_the_days_around_each_day(lab_data):
    frame = rossmann_frame(stores=3)
    one = frame[frame["store"] == 1].set_index("date").sort_index()
    day = one.loc["2013-01-10"]
    before = one.loc["2013-01-03":"2013-01-09"]
    assert day["promo_last_week"] == before["promo"].sum()
    happened = one.index[(one["promo"] == 1) & (one.index <= "2013-01-10")]
    assert day["days_since_promo"] == (pd.Timestamp("2013-01-10") - happened.max()).days
    coming = one.index[(one["promo"] == 1) & (one.index >= "2013-01-12")]
    assert one.loc["2013-01-12", "days_until_promo"] == (coming.min() - pd.Timestamp("2013-01-12")).days


def test_rows_of_rossmanns_test_file_have_all_features_and_look_back_into_the_training_days(lab_data):
    frame, trained = rossmann_test_frame(), rossmann_frame(stores=1)
    assert list(frame["id"]) == [*range(1, 41089)]
    assert {*trained.columns} - {"sales"} | {"id", "open"} == {*frame.columns}
    # the test file begins on 1 August; the summer holidays of the last training days are school holidays
    first = frame[(frame["store"] == 1) & (frame["date"] == "2015-08-01")].iloc[0]
    last = trained[trained["date"] == "2015-07-31"].iloc[0]
    assert last["school_holiday"] == 1
    assert (
        first["school_holiday_last_week"]
        == last["school_holiday_last_week"] + 1 - (trained[trained["date"] == "2015-07-24"]["school_holiday"].iloc[0])
    )


def test_rossmanns_last_days_validate_and_closed_days_are_left_out(lab_data):
    data = rossmann(stores=20)
    frame = rossmann_frame(stores=20)
    last = frame["date"].max() - frame["date"] < pd.Timedelta(days=42)
    assert len(data.valid) == int((last & (frame["sales"] > 0)).sum())
    assert data.target_is_log
