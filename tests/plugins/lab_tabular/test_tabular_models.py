"""Models of tables, their metrics and steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lab_basics.fitting import FitOrStep
from lab_basics.losses import cross_entropy, mse
from lab_tabular.metrics import RMSLE, RMSPE, LogLoss
from lab_tabular.models import Linear, PeriodicEmbedding, embedding_width
from lab_tabular.pretraining import AutoencoderPretraining
from lab_tabular.sources import bundled_table, towns
from lab_tabular.trees import Trees, sklearn
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss

from lab import Learner
from lab.errors import LabError, ParameterError, UnknownNameError
from tests.plugins.lab_tabular.conftest import flats, net

NEEDS = ("category_sizes", "continuous_count", "output_size", "target_mean")


def test_widths_of_embeddings_follow_both_courses():
    assert [embedding_width(size, "min_50") for size in (3, 8, 1116)] == [2, 4, 50]
    assert [embedding_width(size, "min_600") for size in (3, 8, 1116)] == [3, 5, 81]


def test_an_unseen_category_is_zeros_and_stays_so():
    data = flats()
    model = net(data)
    codes, numbers = torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, 2)
    model(codes, numbers).sum().backward()
    for table in model.categories.tables:
        assert not table.weight[0].any()
        assert not table.weight.grad[0].any()


def test_a_model_of_values_begins_near_the_mean_of_the_target():
    data = flats()
    batch = data.train.__getitems__(range(100))
    output = net(data).eval()(batch.categorical, batch.continuous).detach()
    assert abs(float(output.mean()) - data.target_mean) < data.target_deviation


def test_y_range_is_kept():
    data = flats()
    model = net(data, y_range=(0.0, 20.0)).eval()
    with torch.no_grad():
        model.output.weight.mul_(1e4)
    batch = data.train.__getitems__(range(100))
    output = model(batch.categorical, batch.continuous).detach()
    assert 0 <= float(output.min()) <= float(output.max()) <= 20


def test_a_y_range_beside_the_target_is_refused():
    with pytest.raises(ParameterError, match="lies outside y_range"):
        net(flats(), y_range=(0.0, 5.0))


def test_dropouts_must_be_one_each():
    with pytest.raises(ParameterError, match="3 dropouts for 2 layers"):
        net(flats(), dropout=[0.1, 0.2, 0.3])


def test_periodic_embeddings_are_those_of_the_paper():
    torch.manual_seed(0)
    layer = PeriodicEmbedding(3, frequencies=4, std=1.0, width=5)
    x = torch.randn(7, 3)
    got = layer(x).reshape(7, 3, 5)
    for column in range(3):
        angles = 2 * torch.pi * x[:, column : column + 1] * layer.frequencies[column]
        expected = torch.relu(torch.cat([angles.cos(), angles.sin()], 1) @ layer.weight[column] + layer.bias[column])
        assert torch.allclose(got[:, column], expected, atol=1e-5)


def test_a_linear_model_finds_least_squares():
    data = bundled_table("diabetes")
    model = Linear(*(getattr(data, name) for name in (*NEEDS, "target_deviation")))
    learner = Learner(model, data, mse, optimizer=torch.optim.LBFGS, lr=1.0, batch_size=1000, progress=False)
    batch = data.train.__getitems__(range(len(data.train)))

    def closure():
        learner.optimizer.zero_grad()
        loss = mse(model(batch.categorical, batch.continuous), batch.target)
        loss.backward()
        return loss

    for _ in range(20):
        learner.optimizer.step(closure)
    rows = np.c_[model.one_hot(batch.categorical).numpy(), batch.continuous.numpy(), np.ones(len(batch.target))]
    fitted = rows @ np.linalg.lstsq(rows, batch.target.numpy(), rcond=None)[0]
    assert float(closure().detach()) == pytest.approx(np.square(fitted - batch.target.numpy()).mean(), rel=1e-3)


# --- trees ------------------------------------------------------------------------------------------------------------


def some_rows(classes):
    generator = np.random.default_rng(0)
    codes = torch.from_numpy(generator.integers(0, 30, (2000, 3)))
    numbers = torch.from_numpy(generator.normal(size=(2000, 4)).astype("f4"))
    value = (codes[:, 0] % 3).double() + numbers[:, 0] * (codes[:, 1] > 10) + 0.3 * numbers[:, 1]
    edges = torch.tensor([1.0] if classes == 2 else [0.5, 1.5]).double()
    return codes, numbers, value.float() if classes == 1 else torch.bucketize(value, edges)


@pytest.mark.parametrize(
    ("estimator", "classes"),
    [
        ("HistGradientBoostingClassifier", 2),
        ("HistGradientBoostingClassifier", 3),
        ("HistGradientBoostingRegressor", 1),
        ("RandomForestClassifier", 3),
        ("RandomForestRegressor", 1),
        ("ExtraTreesClassifier", 2),
        ("DecisionTreeRegressor", 1),
    ],
)
def test_fitted_trees_say_what_scikit_learn_says(monkeypatch, estimator, classes):
    from lab_tabular import trees

    made, make = [], trees._make
    monkeypatch.setattr(trees, "_make", lambda *a, **k: made.append(make(*a, **k)) or made[-1])
    codes, numbers, target = some_rows(classes)
    codes[:1500, 2] %= 20
    model = Trees((30, 30, 30), 4, classes, 0.0, estimator=estimator)
    model.fit(codes[:1500], numbers[:1500], target[:1500], seed=3)
    rows = torch.cat([codes[1500:].double(), numbers[1500:].double()], 1).numpy()
    expected = made[-1].predict(rows) if classes == 1 else made[-1].predict_proba(rows)
    output = model(codes[1500:], numbers[1500:])
    assert np.abs((output if classes == 1 else output.exp()).numpy() - expected).max() < 1e-5


def test_trees_come_back_from_safetensors(tmp_path):
    data = bundled_table("iris")
    learner, other = (
        Learner(
            sklearn(*(getattr(data, name) for name in NEEDS), max_iter=5), data, cross_entropy,
            stepper=FitOrStep(), progress=False,
        )
        for _ in range(2)
    )  # fmt: skip
    learner.fit(1)
    learner.save(tmp_path / "trees.safetensors")
    other.load(tmp_path / "trees.safetensors")
    batch = data.valid.__getitems__(range(30))
    assert torch.equal(*(each.predict(batch.categorical, batch.continuous) for each in (learner, other)))


def test_trees_are_fitted_once_to_all_rows_however_many_epochs_are_asked_for():
    data = bundled_table("breast_cancer")
    model = sklearn(*(getattr(data, name) for name in NEEDS), max_iter=20)
    learner = Learner(model, data, cross_entropy, stepper=FitOrStep(), batch_size=64, progress=False)
    history = learner.fit(5)
    rows = torch.cat([data.train.categorical.double(), data.train.continuous.double()], 1).numpy()
    theirs = HistGradientBoostingClassifier(max_iter=20, random_state=0)
    theirs.fit(rows, data.train.target.numpy())
    expected = log_loss(data.train.target.numpy(), theirs.predict_proba(rows))
    assert len(history) == 1
    assert history[0]["train_loss"] == pytest.approx(expected, rel=1e-3)


def test_nets_are_stepped_by_the_same_stepper():
    data = flats()
    one, other = (
        Learner(net(data, layers=[8]), data, mse, stepper=stepper, progress=False) for stepper in (FitOrStep(), None)
    )
    other.model.load_state_dict(one.model.state_dict())
    assert one.fit(1)[0]["train_loss"] == other.fit(1)[0]["train_loss"]


def test_an_unknown_estimator_has_close_matches():
    with pytest.raises(UnknownNameError, match="did you mean: RandomForestClassifier"):
        sklearn((), 3, 2, 0.0, estimator="RandomForrestClassifier")


def test_an_unknown_parameter_of_an_estimator_has_close_matches():
    with pytest.raises(ParameterError, match=r"unknown parameter of HistGradient.* 'max_itre'(.|\n)*max_iter"):
        sklearn((), 3, 2, 0.0, max_itre=3)


def test_a_classifier_for_values_is_refused():
    with pytest.raises(ParameterError, match=r"does not predict numbers(.|\n)*HistGradientBoostingRegressor"):
        sklearn((), 3, 1, 0.0)


# --- pretraining ------------------------------------------------------------------------------------------------------


def test_pretraining_teaches_the_body_and_leaves_the_output_alone():
    data = towns(rows=600)
    model = net(data, layers=[32])
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    learner = Learner(model, data, mse, progress=False)
    pretraining = AutoencoderPretraining(epochs=3)
    pretraining.before_fit(learner)
    after = dict(model.named_parameters())
    assert pretraining.losses[-1] < pretraining.losses[0]
    assert torch.equal(after["output.weight"], before["output.weight"])
    assert not torch.equal(after["hidden.0.weight"], before["hidden.0.weight"])


def test_pretraining_happens_once():
    data = towns(rows=200)
    learner = Learner(net(data, layers=[8]), data, mse, progress=False)
    pretraining = AutoencoderPretraining(epochs=1)
    pretraining.before_fit(learner)
    weights = {name: weight.clone() for name, weight in learner.model.named_parameters()}
    pretraining.before_fit(learner)
    assert all(torch.equal(weights[name], weight) for name, weight in learner.model.named_parameters())


def test_trees_cannot_be_pretrained():
    data = bundled_table("iris")
    learner = Learner(sklearn(*(getattr(data, name) for name in NEEDS)), data, cross_entropy, progress=False)
    with pytest.raises(LabError, match="needs a tabular_mlp"):
        AutoencoderPretraining().check(learner)


# --- metrics ----------------------------------------------------------------------------------------------------------


def measured(metric, *batches):
    for output, target in batches:
        metric.update(torch.tensor(output), torch.tensor(target))
    return float(metric.compute())


def test_rmspe_is_relative_and_leaves_zeros_out():
    assert measured(RMSPE(False), ([11.0, 5.0], [10.0, 0.0]), ([16.0], [20.0])) == pytest.approx(
        np.sqrt((0.01 + 0.04) / 2)
    )


def test_rmspe_of_logarithms_is_that_of_the_values():
    logs = measured(RMSPE(True), (np.log([11.0, 16.0]).tolist(), np.log([10.0, 20.0]).tolist()))
    assert logs == pytest.approx(measured(RMSPE(False), ([11.0, 16.0], [10.0, 20.0])), rel=1e-5)


def test_log_rmse_is_that_of_logarithms_with_a_floor():
    got = measured(RMSLE(False), ([100.0, -5.0], [200.0, 1.0]))
    assert got == pytest.approx(np.sqrt(np.log(2) ** 2 / 2), rel=1e-6)
    assert measured(RMSLE(True), ([1.0, 2.0], [1.0, 4.0])) == pytest.approx(np.sqrt(2))


def test_log_loss_is_that_of_scikit_learn():
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    target = torch.arange(50) % 3
    metric = LogLoss()
    metric.update(logits, target)
    assert float(metric.compute()) == pytest.approx(log_loss(target.numpy(), logits.softmax(-1).numpy()), rel=1e-5)


def test_batches_that_were_gathered_for_a_fit_survive_a_checkpoint():
    first, second = FitOrStep(), FitOrStep()
    first._gathered = [(torch.ones(2), torch.zeros(2))]
    second.load_state_dict(first.state_dict())
    assert len(second._gathered) == 1
    assert torch.equal(second._gathered[0][0], torch.ones(2))
