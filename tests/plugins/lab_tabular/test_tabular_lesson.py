"""Settings of fast.ai's tabular lessons: Adult's nine columns and rows, and an autoencoder with a bottleneck."""

from __future__ import annotations

import pytest
from lab_tabular.models import TabularMLP
from lab_tabular.pretraining import Autoencoder, AutoencoderPretraining
from lab_tabular.sources import ADULT_COLUMNS, ADULT_LESSON, adult
from torch import nn

from lab.errors import ParameterError


@pytest.fixture
def small_adult(tmp_path, monkeypatch):
    """Twenty rows in the publisher's format, of which every fourth has a high income."""
    folder = tmp_path / "adult"
    folder.mkdir()
    rows = [
        f"{20 + n}, Private, {1000 + n}, Bachelors, {n % 5}, Never-married, Sales, Own-child, White, Male, 0, 0, 40, "
        f"United-States, {'>50K' if n % 4 == 0 else '<=50K'}"
        for n in range(20)
    ]
    for name in ("adult.data", "adult.test"):
        (folder / name).write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("LAB_DATA", str(tmp_path))


def test_adult_may_have_the_columns_and_the_rows_of_the_lesson(small_adult):
    data = adult(columns=ADULT_LESSON, valid_rows=(5, 9), normalize="standard")
    assert set(data.continuous_names) == {"age", "fnlwgt", "education_num"}
    assert set(ADULT_LESSON[:6]) <= set(data.category_names)
    assert not {"sex", "native_country", "hours_per_week"} & {*data.category_names, *data.continuous_names}
    assert (len(data.train), len(data.valid)) == (16, 4)
    # Rows 5 to 8, of which only the last has a high income.
    assert [data.class_names[int(number)] for number in data.valid.target] == ["<=50K", "<=50K", "<=50K", ">50K"]


def test_a_column_that_adult_lacks_is_refused():
    with pytest.raises(ParameterError, match="unknown column 'salary'"):
        adult(columns=["age", "salary"])


def test_validation_rows_of_the_test_file_are_refused():
    with pytest.raises(ParameterError, match="valid_rows are rows of the training file"):
        adult(valid="test", valid_rows=(0, 5))


def test_all_columns_are_used_by_default(small_adult):
    data = adult()
    assert {name.removesuffix("_missing") for name in (*data.category_names, *data.continuous_names)} == {
        *ADULT_COLUMNS[:-1]
    }


def test_an_autoencoder_may_have_a_layer_narrower_than_its_inputs():
    body = TabularMLP((5, 4), 3, 2, 0.0, 1.0, ("a", "b"), layers=[16])
    plain, narrow = Autoencoder(body, (5, 4)), Autoencoder(body, (5, 4), bottleneck=2)
    assert [each.out_features for each in plain.decoder if isinstance(each, nn.Linear)] == [12]
    assert [each.out_features for each in narrow.decoder if isinstance(each, nn.Linear)] == [2, 12]


def test_a_bottleneck_without_a_unit_is_refused():
    with pytest.raises(ParameterError, match="bottleneck must be at least 1, got 0"):
        AutoencoderPretraining(bottleneck=0)
