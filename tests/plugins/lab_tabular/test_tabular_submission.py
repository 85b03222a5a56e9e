"""From a file to a submission: folds, a refit on all rows, means of runs, and the columns that are asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from lab_basics.refit import all_examples, joined, refitted
from lab_tabular.sources import bundled_table, towns_frame
from torch.utils.data import TensorDataset

from lab import Data, Experiment, Study, use
from lab.cli.main import cli
from lab.errors import DataError, LabError


def invoke(*arguments):
    done = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def flats(tmp_path_factory):
    """A finished cross-validation on rents, with the file to predict."""
    folder = tmp_path_factory.mktemp("flats")
    towns_frame(240)[0].assign(Id=range(1, 241)).to_csv(folder / "train.csv", index=False)
    new = towns_frame(30, data_seed=9)[0].drop(columns="rent")
    new.insert(0, "Id", [f"{number:03}" for number in range(30)])
    new.to_csv(folder / "test.csv", index=False)
    base = Experiment(
        dataset=use("table", path=str(folder / "train.csv"), target="rent", drop=["Id"]),
        architecture=use("tabular_mlp", layers=[8]), loss="mse", metrics=["rmse"], epochs=1, batch_size=64,
    )  # fmt: skip
    results = Study(base, folds=3, seeds=1, name="rents").run(runs=folder / "runs")
    return folder, [run.key for run in results.runs]


def predicted(folder, keys, *options):
    out = folder / "submission.csv"
    invoke("predict", *keys, folder / "test.csv", *options, "-o", out, "--runs", folder / "runs")
    return pd.read_csv(out, dtype={"Id": str})


def test_a_submission_has_the_columns_that_are_asked_for(flats):
    folder, keys = flats
    written = predicted(folder, keys[:1], "--keep", "Id", "--as", "SalePrice")
    assert list(written.columns) == ["Id", "SalePrice"]
    assert written["Id"].tolist()[:2] == ["000", "001"]


def test_several_runs_give_the_mean_of_their_predictions(flats):
    folder, keys = flats
    single = [predicted(folder, [key], "--only")["prediction"] for key in keys]
    together = predicted(folder, keys, "--keep", "Id", "--as", "rent")
    assert np.allclose(together["rent"], np.mean(single, axis=0), rtol=1e-12)
    assert not np.allclose(single[0], single[1])


def test_the_rows_of_the_file_stay_where_nothing_is_asked_for(flats):
    folder, keys = flats
    assert list(predicted(folder, keys).columns) == [*pd.read_csv(folder / "test.csv").columns, "prediction"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--keep", "id"], "columns: Id, town"),
        (["--keep", "Id", "--only"], "--only leaves out all columns"),
        (["--probability", "1"], "this run predicts numbers, which have none"),
    ],
)
def test_columns_and_classes_that_are_not_there_are_told(flats, options, said):
    folder, keys = flats
    with pytest.raises(LabError, match=said):
        invoke("predict", keys[0], folder / "test.csv", *options, "--runs", folder / "runs")


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """Two finished runs on classes, and a file to predict."""
    folder = tmp_path_factory.mktemp("flowers")
    base = Experiment(
        dataset=use("bundled_table", name="iris"), architecture=use("tabular_mlp", layers=[8]), loss="cross_entropy",
        epochs=3, batch_size=16, lr=1e-2,
    )  # fmt: skip
    results = Study(base, seeds=2, name="iris").run(runs=folder / "runs")
    rows = np.random.default_rng(0).normal(4, 1, (20, 4)).round(2)
    frame = pd.DataFrame(rows, columns=bundled_table("iris").preparation.columns)
    frame.assign(Id=range(20)).to_csv(folder / "test.csv", index=False)
    return folder, [run.key for run in results.runs]


def test_probabilities_of_classes_are_averaged_before_one_is_chosen(flowers):
    folder, keys = flowers
    single = [predicted(folder, [key], "--only") for key in keys]
    together = predicted(folder, keys, "--only")
    shares = [name for name in together.columns if name.startswith("p(")]
    assert np.allclose(together[shares], np.mean([each[shares].to_numpy() for each in single], axis=0), atol=1e-9)
    assert together["prediction"].tolist() == [name[2:-1] for name in together[shares].idxmax(axis=1)]


def test_a_probability_may_be_submitted(flowers):
    folder, keys = flowers
    written = predicted(folder, keys, "--keep", "Id", "--probability", "setosa", "--as", "target")
    assert list(written.columns) == ["Id", "target"]
    assert np.allclose(written["target"], predicted(folder, keys, "--only")["p(setosa)"])
    assert list(predicted(folder, keys, "--keep", "Id", "--as", "species")) == ["Id", "species"]


def test_runs_with_other_targets_have_no_mean(flats, flowers):
    from lab_basics.prediction import mean_of_answers

    numbers = pd.DataFrame({"prediction": [1.0]})
    classes = pd.DataFrame({"prediction": ["a"], "p(a)": [1.0]})
    with pytest.raises(LabError, match="runs one and two predict different things"):
        mean_of_answers(None, None, {"one": numbers, "two": classes})


def test_a_refit_trains_on_all_rows_and_predicts(flats):
    folder, keys = flats
    done = invoke("refit", keys[0][:8], "--seeds", 2, "--runs", folder / "runs", "--quiet")
    new = done.stdout.split()
    assert len(new) == 2
    assert not set(new) & set(keys)
    from lab.study.store import Store

    made = Store(folder / "runs").find(new[0])
    assert made.experiment()["study"] == "rents-refit"
    assert made.budget["steps"] == 4  # 240 rows in batches of 64
    assert predicted(folder, new, "--keep", "Id", "--as", "rent")["rent"].notna().all()
    # the same question finds them again
    assert invoke("refit", keys[0], "--seeds", 2, "--runs", folder / "runs", "--quiet").stdout.split() == new
    with pytest.raises(LabError, match="trained on all examples already"):
        invoke("refit", new[0], "--runs", folder / "runs")


def test_all_examples_of_a_table_train():
    data = bundled_table("iris")
    whole = all_examples(data)
    assert len(whole.train) == len(data.train) + len(data.valid) == 150
    assert torch.equal(whole.train.continuous[-len(data.valid) :], data.valid.continuous)
    assert whole.fingerprint != data.fingerprint
    assert whole.facts().keys() == data.facts().keys()


def test_splits_are_joined_by_their_kind():
    tensors = joined(TensorDataset(torch.zeros(2)), TensorDataset(torch.ones(3)))
    assert tensors.tensors[0].tolist() == [0, 0, 1, 1, 1]
    assert joined([1, 2], [3]) == [1, 2, 3]

    class Batches(list):
        """A split that gives whole batches and cannot be joined."""

        __add__ = None

        def __getitems__(self, indices):
            return indices

    with pytest.raises((DataError, TypeError)):
        joined(Batches([1]), Batches([2]))
    with pytest.raises(DataError, match="no validation examples"):
        all_examples(Data([1], None))


def test_the_weights_of_a_refit_are_the_last(flats):
    base = Experiment(
        dataset="iris", architecture="mlp", loss="mse", metrics=["rmse"],
        callbacks=["one_cycle", use("checkpoint", select="best", monitor="valid_rmse")],
    )  # fmt: skip
    made = refitted(base)
    assert made.callbacks[1].params == {"select": "last", "monitor": "valid_loss"}
    assert (made.callbacks[0], made.metrics) == ("one_cycle", ())
