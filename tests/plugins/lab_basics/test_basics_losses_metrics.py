from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
import torchmetrics
import torchmetrics.functional.classification as reference
from lab_basics import losses
from lab_basics.metrics import AUC, F1, MAE, MSE, RMSE, Accuracy, Perplexity, TopKAccuracy
from torch.nn import functional

from lab.errors import ParameterError, ShapeError
from lab.training.scoring import score_of


@pytest.fixture
def classes():
    torch.manual_seed(0)
    return torch.randn(40, 7), torch.randint(7, (40,))


@pytest.fixture
def yes_or_no():
    torch.manual_seed(1)
    return torch.randn(40) * 3, torch.randint(2, (40,))


def measured(metric, output, target, batch_size=7):
    metric.reset()
    for start in range(0, len(output), batch_size):
        metric.update(output[start : start + batch_size], target[start : start + batch_size])
    return float(metric.compute())


def test_cross_entropy_takes_any_leading_dimensions(classes):
    output, target = classes
    flat = functional.cross_entropy(output, target)
    assert losses.cross_entropy(output, target) == flat
    torch.testing.assert_close(losses.cross_entropy(output.view(5, 8, 7), target.view(5, 8)), flat)


def test_cross_entropy_leaves_ignored_targets_out(classes):
    output, target = classes
    kept = target != 3
    assert losses.cross_entropy(output, target, ignore=3) == functional.cross_entropy(output[kept], target[kept])


def test_weights_of_classes_are_those_of_torch(classes):
    output, target = classes
    weight = [1.0, 0.2, 3.0, 0.0, 1.0, 1.0, 1.0]
    expected = functional.cross_entropy(output, target, weight=torch.tensor(weight))
    assert losses.cross_entropy(output, target, weight=weight) == expected


def test_a_class_without_a_weight_is_told(classes):
    with pytest.raises(ShapeError, match="2 weights for 7 classes"):
        losses.cross_entropy(*classes, weight=[1.0, 2.0])


def test_nll_of_log_softmax_is_cross_entropy(classes):
    output, target = classes
    torch.testing.assert_close(losses.nll(output.log_softmax(-1), target), losses.cross_entropy(output, target))


def test_bce_takes_whole_numbers_and_a_column(yes_or_no):
    output, target = yes_or_no
    expected = functional.binary_cross_entropy_with_logits(output, target.float())
    torch.testing.assert_close(losses.bce(output[:, None], target), expected)


def test_bce_weighs_positive_targets():
    output, target = torch.tensor([0.0, 0.0]), torch.tensor([1, 0])
    assert float(losses.bce(output, target, positive_weight=3.0)) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize(("loss", "expected"), [(losses.mse, 2.5), (losses.l1, 1.5)])
def test_a_column_is_compared_with_a_row_one_to_one(loss, expected):
    assert float(loss(torch.tensor([[1.0], [2.0]]), torch.tensor([2.0, 4.0]))) == expected


def test_shapes_that_would_be_broadcast_are_refused():
    with pytest.raises(ShapeError) as error:
        losses.mse(torch.zeros(4, 3), torch.zeros(4))
    assert str(error.value) == "mse: output (4, 3) does not fit target (4,)\n  they must have one shape"
    with pytest.raises(ShapeError) as error:
        losses.cross_entropy(torch.zeros(5, 8, 7), torch.zeros(8, 5, dtype=torch.long))
    assert str(error.value) == (
        "cross_entropy: output (5, 8, 7) does not fit target (8, 5)\n"
        "  output must have the target's shape, and classes last"
    )


def test_accuracy_agrees_with_torchmetrics(classes, yes_or_no):
    output, target = classes
    expected = reference.multiclass_accuracy(output, target, 7, average="micro")
    assert measured(Accuracy(), output, target) == pytest.approx(float(expected))
    output, target = yes_or_no
    assert measured(Accuracy(), output[:, None], target) == pytest.approx(
        float(reference.binary_accuracy(output, target))
    )


def test_accuracy_leaves_padding_out():
    output = functional.one_hot(torch.tensor([[1, 2], [3, 0]]), 4).float()
    assert measured(Accuracy(ignore=0), output, torch.tensor([[1, 3], [0, 0]])) == 0.5


def test_top_k_accuracy_agrees_with_torchmetrics(classes):
    output, target = classes
    expected = reference.multiclass_accuracy(output, target, 7, average="micro", top_k=3)
    assert measured(TopKAccuracy(k=3), output, target) == pytest.approx(float(expected))


def test_perplexity_is_that_of_the_whole_epoch(classes):
    output, target = classes
    expected = functional.cross_entropy(output, target, ignore_index=2).exp()
    assert measured(Perplexity(ignore=2), output, target) == pytest.approx(float(expected))


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary():
    assert measured(Perplexity(), torch.zeros(12, 5), torch.arange(12) % 5) == pytest.approx(5.0)


@pytest.mark.parametrize(("kind", "expected"), [(MSE, 5.0), (RMSE, math.sqrt(5.0)), (MAE, 2.0)])
def test_errors_are_means_over_the_epoch_not_over_batches(kind, expected):
    output, target = torch.tensor([1.0, 3.0, 2.0]), torch.tensor([[2.0], [5.0], [-1.0]])
    expected = {MSE: 14 / 3, RMSE: math.sqrt(14 / 3), MAE: 2.0}[kind]
    assert measured(kind(), output, target, batch_size=2) == pytest.approx(expected)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_f1_agrees_with_torchmetrics(classes, average):
    output, target = classes
    expected = reference.multiclass_f1_score(output, target, 7, average=average)
    assert measured(F1(average=average), output, target) == pytest.approx(float(expected))


def test_f1_of_one_logit_is_that_of_the_positive_class(yes_or_no):
    output, target = yes_or_no
    assert measured(F1(), output, target) == pytest.approx(float(reference.binary_f1_score(output, target)))


def test_auc_is_the_chance_that_a_positive_scores_above_a_negative(yes_or_no):
    output, target = yes_or_no
    pairs = [(a > b) + 0.5 * (a == b) for a in output[target == 1] for b in output[target == 0]]
    expected = float(torch.stack(pairs).float().mean())
    assert measured(AUC(), output, target) == pytest.approx(expected)
    assert measured(AUC(), torch.stack([-output, output], dim=1), target) == pytest.approx(expected)


def test_auc_tells_large_logits_apart():
    assert measured(AUC(), torch.tensor([100.0, 101.0, 102.0, 103.0]), torch.tensor([0, 0, 1, 1])) == 1.0


def test_auc_of_more_classes_is_the_mean_of_each_against_the_others(classes):
    output, target = classes
    expected = reference.multiclass_auroc(output.softmax(-1), target, 7)
    assert measured(AUC(), output, target) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("metric", "higher"), [(Accuracy, True), (F1, True), (AUC, True), (MSE, False), (MAE, False), (Perplexity, False)]
)
def test_a_metric_says_which_direction_is_better(metric, higher):
    assert metric().higher_is_better is higher


@pytest.mark.parametrize("kind", [Accuracy, TopKAccuracy, Perplexity, MSE, RMSE, MAE, F1, AUC])
def test_a_metric_of_nothing_is_undefined(kind):
    metric = kind()
    assert (math.isnan(metric.compute()), metric.undefined) == (True, "no prediction counts")


ONE_CLASS = torch.ones(4, dtype=torch.long)
IGNORED = torch.full((4,), -100)


@pytest.mark.parametrize(
    ("metric", "output", "target", "reason"),
    [
        (AUC(), torch.randn(4), ONE_CLASS, "only class 1"),
        (AUC(), torch.randn(4, 2), 0 * ONE_CLASS, "only class 0"),
        (AUC(), torch.randn(4, 3), 2 * ONE_CLASS, "only class 2"),
        (AUC(), torch.tensor([0.1, math.nan, 0.2, 0.3]), torch.tensor([0, 1, 0, 1]), "scores are not a number"),
        (F1(), torch.randn(4), 0 * ONE_CLASS, "no target of class 1"),
        (F1(), torch.randn(4, 3), IGNORED, "no prediction counts"),
        (Accuracy(), torch.randn(4, 3), IGNORED, "no prediction counts"),
        (TopKAccuracy(k=2), torch.randn(4, 3), IGNORED, "no prediction counts"),
        (Perplexity(), torch.randn(4, 3), IGNORED, "no prediction counts"),
    ],
)
def test_an_undefined_metric_is_nan_and_says_why(metric, output, target, reason):
    assert math.isnan(measured(metric, output, target))
    assert metric.undefined == reason


def test_a_metric_is_defined_again_once_predictions_allow_it():
    metric = AUC()
    assert math.isnan(measured(metric, torch.randn(4), ONE_CLASS))
    metric.reset()
    assert measured(metric, torch.tensor([0.1, 0.9]), torch.tensor([0, 1])) == 1.0
    assert metric.undefined == ""


def test_what_torchmetrics_calls_meaningless_is_undefined():
    metric = torchmetrics.AUROC(task="binary")
    metric.update(torch.tensor([0.2, 0.8]), torch.tensor([1, 1]))
    score, reason = score_of("auroc", metric)
    assert math.isnan(score)
    assert reason == "No negative samples in targets"


def test_auc_of_many_classes_is_over_those_that_occur():
    output, target = torch.eye(4)[[0, 1, 1, 0]], torch.tensor([0, 1, 1, 0])
    assert measured(AUC(), output, target) == 1.0


def test_bad_use_of_metrics_is_told():
    with pytest.raises(ParameterError, match=r"^k must be at least 1, got 0\n  metric 'top_k_accuracy'$"):
        TopKAccuracy(k=0)
    with pytest.raises(ShapeError, match=r"^top_k_accuracy: k=5 of only 3 classes\n  use a smaller k$"):
        TopKAccuracy().update(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long))


def test_torchmetrics_is_imported_only_by_the_metrics_that_need_it():
    code = (
        "import sys; from lab_basics.metrics import *; Accuracy(); assert 'torchmetrics' not in sys.modules;"
        "F1(); assert 'torchmetrics' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_metric_of_torchmetrics_may_be_given_as_it_is(make_learner):
    theirs = torchmetrics.MeanAbsoluteError()
    learner = make_learner(metrics={"mae": MAE(), "theirs": theirs}, model=Flat())
    row = learner.fit(1)[0]
    assert row["valid_theirs"] == pytest.approx(row["valid_mae"])


class Flat(torch.nn.Linear):
    def __init__(self):
        super().__init__(3, 1)

    def forward(self, inputs):
        return super().forward(inputs)[:, 0]
