"""Correlations, calibration and F1 of several classes: worked examples, and scipy's and scikit-learn's values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from lab_basics.scores import CalibrationError, Matthews, MultilabelF1, Pearson, Spearman
from scipy import stats
from sklearn import metrics

from lab.errors import ParameterError, ShapeError

generator = np.random.default_rng(0)


def scored(metric, *batches):
    for output, target in batches:
        metric.update(torch.as_tensor(output), torch.as_tensor(target))
    return float(metric.compute())


def test_correlations_equal_scipys_over_batches_of_any_size():
    a = generator.normal(size=50).astype(np.float32)
    b = np.round(a + generator.normal(size=50)).astype(np.float32)
    batches = [(a[:13, None], b[:13]), (a[13:, None], b[13:])]
    assert scored(Pearson(), *batches) == pytest.approx(stats.pearsonr(a, b)[0], abs=1e-6)
    assert scored(Spearman(), *batches) == pytest.approx(stats.spearmanr(a, b)[0], abs=1e-6)


def test_constant_predictions_have_no_correlation():
    metric = Pearson()
    assert math.isnan(scored(metric, ([1.0, 1.0], [1.0, 2.0])))
    assert metric.undefined == "all predictions are equal"


def test_matthews_equals_scikit_learns():
    logits, target = generator.normal(size=(40, 3)), generator.integers(0, 3, 40)
    expected = metrics.matthews_corrcoef(target, logits.argmax(1))
    assert scored(Matthews(), (logits, target)) == pytest.approx(expected, abs=1e-6)
    metric = Matthews()
    assert math.isnan(scored(metric, (logits, np.zeros(40, int))))
    assert metric.undefined == "only class 0"


def test_calibration_of_a_worked_example():
    # confidence 0.8 four times, of which two are right: |0.8 - 0.5|
    logit = math.log(4)
    output = torch.tensor([[logit, 0.0]] * 4)
    assert scored(CalibrationError(), (output, [0, 0, 1, 1])) == pytest.approx(0.3, abs=1e-5)
    with pytest.raises(ParameterError):
        CalibrationError(bins=0)


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_f1_of_several_classes_equals_scikit_learns(average):
    logits, target = generator.normal(size=(30, 4)), generator.integers(0, 2, (30, 4))
    expected = metrics.f1_score(target, logits > 0, average=average)
    assert scored(MultilabelF1(average=average), (logits, target)) == pytest.approx(expected, abs=1e-6)


def test_shapes_are_checked():
    with pytest.raises(ShapeError):
        MultilabelF1().update(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ShapeError):
        Pearson().update(torch.zeros(3, 2), torch.zeros(3))
