"""Hyper-parameter importance: a random forest fitted on the trials of a search.

The error of the forest on unseen trials says whether its importances mean anything:

- *permutation importance* (Breiman 2001): the increase of this error when one setting is shuffled among the trials;
- *functional ANOVA* (Hutter, Hoos & Leyton-Brown 2014): the fraction of the forest's variance over the whole space that
  one setting explains alone, and that two explain together beyond that. It is computed exactly from the boxes into
  which a tree divides the space; the spread over trees is the interval.

Differs from the paper: options lie on a line in the given order, so that a tree splits them at points and not into
subsets.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from lab.errors import LabError
from lab.study.space import ObservedTrial, Options, Range, Space

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.ensemble import RandomForestRegressor

    Floats = NDArray[np.float64]

__all__ = ["Boxes", "Effect", "Importance", "Importances", "Interaction", "boxes_of", "importances"]

MIN_TRIALS = 10
TREES = 128
FOLDS = 5
SHUFFLES = 20
POINTS = 32
"""Number of values of a range in a plot of its effect."""


@attrs.frozen
class Importance:
    """Importance of one setting.

    Attributes:
        path: the setting.
        permutation: increase of the error on unseen trials, as a fraction of the variance of the trials; may be below 0
            by chance.
        permutation_interval: its 95 % interval, by bootstrap over the trials.
        variance: fraction of the forest's variance that it explains alone, 0 to 1; mean over the trees.
        variance_interval: the middle 95 % of the trees.
    """

    path: str
    permutation: float
    permutation_interval: tuple[float, float]
    variance: float
    variance_interval: tuple[float, float]


@attrs.frozen
class Interaction:
    """Interaction of two settings: explained variance beyond what each explains alone, as in ``Importance``."""

    paths: tuple[str, str]
    variance: float
    variance_interval: tuple[float, float]


@attrs.frozen
class Effect:
    """Marginal effect of one setting: the predicted metric for each value, averaged over all other settings.

    Attributes:
        path: the setting.
        values: values of a range, or names of options.
        means: the predicted metric.
        low, high: the middle 80 % of the trees.
    """

    path: str
    values: Sequence[Any]
    means: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@attrs.frozen
class Importances:
    """Importance of all settings of a search.

    Attributes:
        metric: name of the metric.
        trials: number of trials that the forest was fitted on.
        failed: number of trials without a value.
        outlying: number of values more than three interquartile ranges outside the middle half, such as of diverged
            trainings; they are clipped to this range.
        explained: fraction of the variance of unseen trials that the forest explains (R², by cross-validation).
        error: root mean squared error on unseen trials.
        spread: standard deviation of the trials, the error of always predicting their mean.
        settings: importances, the largest first.
        interactions: interactions, the strongest first.
        effects: path → effect.
    """

    metric: str
    trials: int
    failed: int
    outlying: int
    explained: float
    error: float
    spread: float
    settings: Sequence[Importance]
    interactions: Sequence[Interaction]
    effects: Mapping[str, Effect]

    @property
    def is_worth_reading(self) -> bool:
        """Return True if the forest predicts unseen trials clearly better than their mean does."""
        return self.explained > 0.1

    def verdict(self) -> str:
        """Return a sentence on the forest's own error."""
        if self.spread == 0:
            return f"all trials have the same {self.metric or 'value'}, so no setting can matter"
        errors = (
            f"the forest's error on unseen trials is {self.error:.3g} ({self.metric}), "
            f"that of predicting their mean {self.spread:.3g}"
        )
        if not self.is_worth_reading:
            return f"{errors}: it explains next to nothing (R² {self.explained:.2f}), so ignore the importances below"
        return f"{errors}: it explains {self.explained:.0%} of the variance"


def importances(space: Space, trials: Sequence[ObservedTrial], *, metric: str = "", seed: int = 0) -> Importances:
    """Fit a random forest on trials and compute the importance of every setting.

    Args:
        space: path → range or options.
        trials: settings and values; those without a value are counted and skipped.
        metric: name of the metric, for messages.
        seed: seed of forest, folds and shuffles.

    Raises:
        LabError: fewer than 10 trials have a value.
    """
    usable = [trial for trial in trials if trial.value is not None]
    if len(usable) < MIN_TRIALS:
        raise LabError(
            f"{len(usable)} finished trials are too few to tell which settings matter",
            hint=f"run at least {MIN_TRIALS}, better 50: Study.search(..., trials=60)",
        )
    inputs = np.array([[space[path].share(trial.settings[path]) for path in space] for trial in usable])
    values, outlying = _without_outliers(np.array([trial.value for trial in usable], dtype=np.float64))
    unseen, shuffled = _unseen_errors(inputs, values, seed)
    # Fitted on all trials: the folds above only measure its error.
    forest = _forest(seed).fit(inputs, values)
    trees = [boxes_of(tree.tree_, len(space)) for tree in forest.estimators_]
    variance = float(values.var())
    return Importances(
        metric,
        len(usable),
        len(trials) - len(usable),
        outlying,
        1 - float(unseen.mean()) / variance if variance else 0.0,
        float(np.sqrt(unseen.mean())),
        float(np.sqrt(variance)),
        _ranked(space, trees, shuffled - unseen, variance, seed),
        _interactions(space, trees),
        {path: _effect(path, choice, index, trees) for index, (path, choice) in enumerate(space.items())},
    )


def _without_outliers(values: Floats) -> tuple[Floats, int]:
    """Clip values far outside, and return their number."""
    # A diverged trial would dominate the squared error, and the forest would explain nothing but divergence.
    first, third = np.quantile(values, [0.25, 0.75])
    reach = 3 * (third - first)
    near = np.clip(values, first - reach, third + reach) if reach else values
    return near, int((near != values).sum())


def _forest(seed: int) -> RandomForestRegressor:
    from sklearn.ensemble import RandomForestRegressor

    # Leaves of two trials at least, since single trials are noisy.
    return RandomForestRegressor(TREES, max_features=0.7, min_samples_leaf=2, random_state=seed)


# --- unseen trials ----------------------------------------------------------------------------------------------------


def _unseen_errors(inputs: Floats, values: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return the squared error of every trial when held out, (N,), and with each setting shuffled, (P, N)."""
    from sklearn.model_selection import KFold

    generator = np.random.default_rng(seed)
    plain, shuffled = np.zeros(len(values)), np.zeros((inputs.shape[1], len(values)))
    for known, unseen in KFold(FOLDS, shuffle=True, random_state=seed).split(inputs):
        forest = _forest(seed).fit(inputs[known], values[known])
        plain[unseen] = (forest.predict(inputs[unseen]) - values[unseen]) ** 2
        for index in range(inputs.shape[1]):
            # All shuffles in one call of predict, whose overhead is larger than its work on a few trials.
            changed = np.repeat(inputs[None, unseen], SHUFFLES, axis=0)
            changed[:, :, index] = generator.choice(inputs[:, index], (SHUFFLES, len(unseen)))
            predicted = forest.predict(changed.reshape(-1, inputs.shape[1])).reshape(SHUFFLES, -1)
            shuffled[index, unseen] = ((predicted - values[unseen]) ** 2).mean(0)
    return plain, shuffled


def _ranked(space: Space, trees: Sequence[Boxes], harm: Floats, variance: float, seed: int) -> list[Importance]:
    scale = variance or 1.0
    found = []
    for index, path in enumerate(space):
        shares = np.array([tree.share_of((index,)) for tree in trees])
        interval = _bootstrap(harm[index] / scale, seed)
        found.append(
            Importance(path, float(harm[index].mean()) / scale, interval, float(shares.mean()), _middle(shares, 0.95))
        )
    return sorted(found, key=lambda importance: -importance.permutation)


def _bootstrap(values: Floats, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean."""
    from scipy.stats import bootstrap

    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    interval = bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _middle(values: Floats, share: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


# --- the variance of a tree -------------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class Boxes:
    """Regression tree as the boxes into which it divides the unit cube.

    Attributes:
        low, high: bounds of each box, (L, P).
        values: prediction in each box, (L,).
    """

    low: Floats
    high: Floats
    values: Floats

    @property
    def mean(self) -> float:
        """Return the mean of the tree over the cube."""
        return float((self.values * self._volumes).sum())

    @property
    def variance(self) -> float:
        """Return the variance of the tree over the cube."""
        return float((self.values**2 * self._volumes).sum()) - self.mean**2

    def share_of(self, settings: tuple[int, ...]) -> float:
        """Return the fraction of the variance that these settings explain together; 1 for all settings."""
        return self.explained_by(settings) / self.variance if self.variance > 1e-12 else 0.0

    def explained_by(self, settings: tuple[int, ...]) -> float:
        """Return the variance of the tree's mean over all other settings.

        For boxes l, m with values v it is ``Σ v_l v_m Π overlap_d(l, m) Π width_d(l) width_d(m) - mean²``, the first
        product over the settings, the second over the others.
        """
        weights = np.outer(self.values, self.values)
        for index in range(self.low.shape[1]):
            if index in settings:
                upper = np.minimum.outer(self.high[:, index], self.high[:, index])
                lower = np.maximum.outer(self.low[:, index], self.low[:, index])
                weights *= np.clip(upper - lower, 0.0, None)
            else:
                width = self.high[:, index] - self.low[:, index]
                weights *= np.outer(width, width)
        return max(0.0, float(weights.sum()) - self.mean**2)

    def mean_at(self, setting: int, positions: Floats) -> Floats:
        """Return the mean of the tree over all other settings at each position (N,) of one setting."""
        width = self.high[:, setting] - self.low[:, setting]
        others = self.values * self._volumes / width
        # A box is open below, so 0 would belong to none.
        at = np.clip(positions, 1e-9, 1.0)
        inside = (self.low[None, :, setting] < at[:, None]) & (at[:, None] <= self.high[None, :, setting])
        means: Floats = inside @ others
        return means

    @property
    def _volumes(self) -> Floats:
        volumes: Floats = (self.high - self.low).prod(1)
        return volumes


def boxes_of(tree: Any, settings: int) -> Boxes:
    """Return the boxes of a fitted tree of scikit-learn (``estimator.tree_``) over the unit cube of N settings."""
    low, high, values = [], [], []
    stack = [(0, np.zeros(settings), np.ones(settings))]
    while stack:
        node, lower, upper = stack.pop()
        left, right = tree.children_left[node], tree.children_right[node]
        if left == right:
            low.append(lower)
            high.append(upper)
            values.append(float(tree.value[node].ravel()[0]))
            continue
        setting, threshold = tree.feature[node], float(tree.threshold[node])
        below, above = upper.copy(), lower.copy()
        below[setting] = above[setting] = threshold
        stack += [(left, lower, below), (right, above, upper)]
    return Boxes(np.array(low), np.array(high), np.array(values))


def _interactions(space: Space, trees: Sequence[Boxes]) -> list[Interaction]:
    alone = [[tree.share_of((index,)) for tree in trees] for index in range(len(space))]
    found = []
    for (i, first), (j, second) in itertools.combinations(enumerate(space), 2):
        shares = np.array([max(0.0, tree.share_of((i, j)) - alone[i][k] - alone[j][k]) for k, tree in enumerate(trees)])
        found.append(Interaction((first, second), float(shares.mean()), _middle(shares, 0.95)))
    return sorted(found, key=lambda interaction: -interaction.variance)


def _effect(path: str, choice: Range | Options, index: int, trees: Sequence[Boxes]) -> Effect:
    if isinstance(choice, Options):
        values: list[Any] = list(choice.values)
        positions = np.array([choice.share(name) for name in values])
    else:
        positions = (np.arange(POINTS) + 0.5) / POINTS
        # Positions of an integer range may share a value.
        values = list(dict.fromkeys(choice.at(float(position)) for position in positions))
        positions = np.array([choice.share(value) for value in values])
    means = np.stack([tree.mean_at(index, positions) for tree in trees])
    low, high = np.quantile(means, [0.1, 0.9], axis=0)
    return Effect(path, values, means.mean(0).tolist(), low.tolist(), high.tolist())
