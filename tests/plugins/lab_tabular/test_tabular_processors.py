"""Processors: fitted on the training rows alone, kept as JSON."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from lab_tabular.columns import as_strings
from lab_tabular.data import table_of_frame, table_of_parts
from lab_tabular.processors import (
    Categorify,
    Clip,
    DateParts,
    FillMissing,
    LogScale,
    Normalize,
    Preparation,
    Roles,
    TargetColumn,
)
from scipy.stats import norm, rankdata
from sklearn.preprocessing import QuantileTransformer

from lab.errors import DataError, ParameterError
from tests.plugins.lab_tabular.conftest import flats


def fitted(processor, frame, *, categorical=(), continuous=()):
    roles = Roles(list(categorical), list(continuous))
    processor.fit(frame, roles)
    return processor.transform(frame), roles


def test_gaps_are_filled_with_the_median_and_marked():
    frame = pd.DataFrame({"rooms": [1.0, np.nan, 3.0, 10.0], "area": [1.0, 2.0, 3.0, 4.0]})
    filled, roles = fitted(FillMissing(), frame, continuous=["rooms", "area"])
    assert filled["rooms"].tolist() == [1, 3, 3, 10]
    assert filled["rooms_missing"].tolist() == [False, True, False, False]
    assert roles.categorical == ["rooms_missing"]


def test_a_gap_that_training_never_had_is_filled_without_a_mark():
    processor = FillMissing()
    processor.fit(pd.DataFrame({"area": [1.0, 5.0, 9.0]}), Roles([], ["area"]))
    later = processor.transform(pd.DataFrame({"area": [np.nan]}))
    assert later.to_dict("list") == {"area": [5.0]}


def test_categories_are_numbered_from_two_and_the_unseen_and_the_gap_have_codes_of_their_own():
    frame = pd.DataFrame({"town": ["b", "a", None, "b"]})
    processor = Categorify()
    coded, _ = fitted(processor, frame, categorical=["town"])
    assert coded["town"].tolist() == [3, 2, 1, 3]
    assert processor.transform(pd.DataFrame({"town": ["c", "a", np.nan]}))["town"].tolist() == [0, 2, 1]
    assert processor.sizes == {"town": 4}


def test_a_number_is_the_same_category_whatever_its_type():
    processor = Categorify()
    fitted(processor, pd.DataFrame({"store": [10, 9, 2]}), categorical=["store"])
    assert processor.categories == {"store": ["2", "9", "10"]}
    for column in ([9, 10], [9.0, 10.0], ["9", "10"], ["9 ", "10"]):
        assert processor.transform(pd.DataFrame({"store": column}))["store"].tolist() == [3, 4]


def test_rare_categories_count_as_unseen():
    processor = Categorify(min_count=2)
    coded, _ = fitted(processor, pd.DataFrame({"town": ["a", "a", "b"]}), categorical=["town"])
    assert coded["town"].tolist() == [2, 2, 0]


def test_every_way_to_write_a_gap_is_one():
    codes, texts = as_strings(pd.Series(["?", "NA", "", "a", None, "nan", float("nan")]))
    assert texts == ["a"]
    assert codes.tolist() == [-1, -1, -1, 0, -1, -1, -1]


def test_numbers_get_mean_zero_and_deviation_one():
    scaled, _ = fitted(Normalize(), pd.DataFrame({"x": [1.0, 2.0, 3.0], "same": [7.0] * 3}), continuous=["x", "same"])
    assert np.allclose(scaled["x"], np.array([-1, 0, 1]) * np.sqrt(1.5))
    assert scaled["same"].tolist() == [0, 0, 0]


def test_quantiles_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.exponential(size=3000), np.zeros(1000)])
    scaled, _ = fitted(Normalize("quantile"), pd.DataFrame({"x": values}), continuous=["x"])
    theirs = QuantileTransformer(n_quantiles=1001, output_distribution="normal", subsample=None)
    expected = theirs.fit_transform(values[:, None])[:, 0]
    inside = (values > 0) & (values < values.max())
    assert np.allclose(scaled["x"][inside], expected[inside], atol=1e-6)


def test_quantiles_put_ties_at_the_middle_of_their_ranks():
    values = np.concatenate([np.zeros(4000), np.arange(1, 6001)])
    scaled, _ = fitted(Normalize("quantile"), pd.DataFrame({"x": values}), continuous=["x"])
    middle = norm.ppf((rankdata(values)[0] - 0.5) / len(values))
    assert scaled["x"][0] == pytest.approx(middle, abs=0.01)


def test_a_date_becomes_its_parts():
    frame = pd.DataFrame({"day": ["2015-12-31", "2016-02-29"]})
    parts, roles = fitted(DateParts(["day"]), frame)
    first = {name: parts[name][0] for name in parts}
    assert (first["day_year"], first["day_month"], first["day_week"], first["day_day"]) == (2015, 12, 53, 31)
    assert (first["day_day_of_week"], first["day_day_of_year"], first["day_elapsed"]) == (3, 365, 16800)
    ends = [bool(first[f"day_is_{period}_end"]) for period in ("month", "quarter", "year")]
    assert ends == [True, True, True]
    assert not parts["day_is_quarter_end"][1]
    assert len(roles.categorical) == 12
    assert roles.continuous == ["day_elapsed"]


def test_validation_rows_never_teach_a_processor():
    rows = pd.DataFrame({"kind": ["a", "b"] * 10, "size": np.arange(20.0), "price": np.arange(1.0, 21.0)})
    planted = rows.assign(kind=["a"] + ["leak"] * 19, size=1e9, price=1e9)
    alone, leaky = (table_of_parts(rows, other, other, "price", log_target=True) for other in (rows, planted))
    assert leaky.preparation == alone.preparation
    assert leaky.category_sizes == (4,)
    assert leaky.valid.categorical.flatten().tolist() == [2] + [0] * 19


def test_a_preparation_comes_back_from_json():
    data = flats()
    again = Preparation.from_json(json.loads(json.dumps(data.preparation.to_json())))
    assert again == data.preparation


def test_processors_of_the_registry_come_before_what_every_table_has():
    rows = pd.DataFrame({"size": [1.0, 2.0, 3.0, 1000.0] * 5, "price": np.arange(20.0)})
    data = table_of_parts(rows, rows, None, "price", processors=[Clip(high=0.5), LogScale(["size"])])
    # cut off at the median, 2.5, then the logarithm, then scaled to mean 0 and deviation 1
    logarithms = np.log1p(np.array([1.0, 2.0, 2.5, 2.5] * 5))
    expected = (logarithms - logarithms.mean()) / logarithms.std()
    assert np.allclose(data.train.continuous[:, 0], expected, atol=1e-6)
    later = data.preparation(pd.DataFrame({"size": [1e9, 2.5]}))[1]
    assert later[0, 0] == later[1, 0]


def test_processors_of_the_registry_come_back_from_json():
    data = flats(processors=[Clip(["rooms"], high=0.9)])
    again = Preparation.from_json(json.loads(json.dumps(data.preparation.to_json())))
    assert again == data.preparation
    assert isinstance(again.processors[0], Clip)


def test_a_stored_processor_that_no_plugin_has_is_refused():
    content = flats(processors=[Clip(["rooms"])]).preparation.to_json()
    content["processors"][0]["kind"] = "os:system"
    with pytest.raises(DataError, match="not the preparation") as error:
        Preparation.from_json(content)
    assert "no plugin has the processor 'os:system'" in str(error.value)


def test_a_processor_that_is_given_to_two_tables_is_fitted_to_each():
    clip = Clip(high=0.5)
    for top in (4.0, 400.0):
        rows = pd.DataFrame({"size": [0.0, 0.0, top, top] * 5, "price": np.arange(20.0)})
        fitted = table_of_parts(rows, rows, None, "price", processors=[clip]).preparation.processors[0]
        assert fitted.limits["size"][1] == top / 2
    assert clip.limits == {}


def test_processors_refuse_columns_that_they_cannot_transform():
    with pytest.raises(DataError, match="processor 'clip': column 'town' is not continuous"):
        flats(processors=[Clip(["town"])])
    rows = pd.DataFrame({"size": [1.0, -2.0] * 10, "price": np.arange(20.0)})
    with pytest.raises(DataError, match="column 'size', row 1 of those given: -2 has no"):
        table_of_parts(rows, rows, None, "price", processors=[LogScale(["size"])])
    with pytest.raises(ParameterError, match=r"low=0\.9, high=0\.1"):
        Clip(low=0.9, high=0.1)


def test_what_is_no_preparation_is_told():
    with pytest.raises(DataError, match="not the preparation"):
        Preparation.from_json({"columns": []})


def test_a_logarithm_needs_positive_targets():
    with pytest.raises(DataError, match=r"target 'price' has no logarithm in row 1: '0\.0'"):
        TargetColumn.fitted(pd.Series([1.0, 0.0], name="price"), is_class=False, is_log=True)


def test_a_class_that_training_does_not_have_is_told_with_its_row():
    rows = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": ["a", "b", "a", "c"]})
    with pytest.raises(DataError, match="a class that is not in the training rows in row 3: 'c'"):
        table_of_frame(rows, "y", valid_rows=(3, 4))
