"""Predictions of frames: alone and in a batch, before and after the run was kept, and by ``lab predict``."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from lab_basics.losses import cross_entropy
from lab_tabular.data import kept_data, table_of_frame
from lab_tabular.sources import bundled_table, towns_frame

from lab import Experiment, Learner, Study, use
from lab.cli.main import cli
from lab.errors import DataError
from tests.plugins.lab_tabular.conftest import net


@pytest.fixture(scope="module")
def flats_to_come():
    return towns_frame(50, data_seed=9)[0].drop(columns="rent")


def test_a_frame_is_predicted_on_the_scale_of_its_target(learner, flats_to_come):
    answer = learner.predict(flats_to_come)
    rents = towns_frame(50, data_seed=9)[0]["rent"]
    assert list(answer.columns) == ["prediction"]
    assert np.corrcoef(answer["prediction"], rents)[0, 1] > 0.95


def test_a_row_is_judged_the_same_alone_and_among_others(learner, flats_to_come):
    together = learner.predict(flats_to_come)["prediction"]
    alone = pd.concat([learner.predict(flats_to_come.iloc[[row]])["prediction"] for row in range(len(flats_to_come))])
    many = learner.predict(pd.concat([flats_to_come] * 30))["prediction"]
    assert together.tolist() == alone.tolist() == many.iloc[:50].tolist()


def test_the_index_of_a_frame_is_kept(learner, flats_to_come):
    shuffled = flats_to_come.iloc[[5, 3, 4]]
    assert learner.predict(shuffled).index.tolist() == [5, 3, 4]


def test_tensors_are_still_taken_as_they_are(learner):
    batch = learner.data.valid.__getitems__([0, 1])
    assert learner.predict(batch.categorical, batch.continuous).shape == (2,)


def test_unseen_categories_and_gaps_are_answered(learner, flats_to_come):
    odd = flats_to_come.iloc[:2].assign(town=["Atlantis", None], rooms=np.nan)
    assert np.isfinite(learner.predict(odd)["prediction"]).all()


def test_a_column_that_is_not_there_is_told(learner, flats_to_come):
    with pytest.raises(DataError, match=r"there is no column 'rooms'(.|\n)*'rooms': did you mean: room"):
        learner.predict(flats_to_come.rename(columns={"rooms": "room"}))


def test_classes_come_with_their_probabilities():
    data = bundled_table("iris")
    learner = Learner(net(data, layers=[8]), data, cross_entropy, lr=1e-2, batch_size=16, progress=False)
    learner.fit(5)
    rows = pd.DataFrame(np.random.default_rng(0).normal(4, 1, (6, 4)), columns=data.preparation.columns)
    answer = learner.predict(rows)
    shares = answer[["p(setosa)", "p(versicolor)", "p(virginica)"]]
    assert np.allclose(shares.sum(axis=1), 1)
    assert answer["prediction"].tolist() == [name[2:-1] for name in shares.idxmax(axis=1)]


def test_logarithms_are_taken_back():
    frame = pd.DataFrame({"x": np.linspace(0, 1, 50), "price": np.exp(np.linspace(3, 4, 50))})
    data = table_of_frame(frame, "price", log_target=True)
    learner = Learner(net(data, layers=[]), data, torch.nn.functional.mse_loss, progress=False)
    raw = learner.predict(torch.zeros(50, 0, dtype=torch.long), torch.from_numpy(data.preparation(frame)[1]))
    assert np.allclose(learner.predict(frame)["prediction"], raw.double().exp(), rtol=1e-5)


def test_what_a_run_keeps_is_enough_to_prepare_rows(learner, flats_to_come):
    kept = kept_data(json.loads(json.dumps(learner.data.to_json())))
    assert kept.facts().keys() == learner.data.facts().keys()
    assert kept.category_sizes == learner.data.category_sizes
    for one, other in zip(kept.preparation(flats_to_come), learner.data.preparation(flats_to_come), strict=True):
        assert np.array_equal(one, other)


@pytest.fixture
def finished(tmp_path):
    """A finished study on a file that is gone by now, and the learner's own answers."""
    path = tmp_path / "flats.csv"
    towns_frame(200)[0].to_csv(path, index=False)
    base = Experiment(
        dataset=use("table", path=str(path), target="rent"), architecture=use("tabular_mlp", layers=[8]), loss="mse",
        epochs=1, batch_size=64,
    )  # fmt: skip
    results = Study(base, seeds=1, name="flats").run(runs=tmp_path / "runs")
    from lab.study.rebuild import load

    run = results.runs[0]
    learner = load(run.key, tmp_path / "runs")
    path.unlink()
    return tmp_path, run.key, learner


def test_lab_predict_needs_no_training_data_and_says_what_the_learner_says(finished, flats_to_come):
    folder, key, learner = finished
    new, out, runs = (str(folder / name) for name in ("new.csv", "out.csv", "runs"))
    flats_to_come.to_csv(new, index=False)
    done = CliRunner().invoke(
        cli, ["predict", key[:8], new, "-o", out, "--runs", runs],
        catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    written = pd.read_csv(out)
    assert list(written.columns) == [*flats_to_come.columns, "prediction"]
    assert np.allclose(written["prediction"], learner.predict(flats_to_come)["prediction"], rtol=1e-12)


def test_lab_predict_writes_to_the_screen(finished, flats_to_come):
    folder, key, _ = finished
    flats_to_come.iloc[:2].to_csv(folder / "new.csv", index=False)
    done = CliRunner().invoke(
        cli, ["predict", key[:8], str(folder / "new.csv"), "--only", "--runs", str(folder / "runs")],
        catch_exceptions=False,
    )  # fmt: skip
    assert done.output.splitlines()[0] == "prediction"
    assert len(done.output.splitlines()) == 3
