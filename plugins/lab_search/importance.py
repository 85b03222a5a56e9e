"""Which settings matter: a random forest fitted on the trials of a search, and what it says.

First how well the forest predicts trials that it has not seen; only then what it says of the settings:

- *permutation importance* (Breiman 2001): how much worse those predictions become when one setting is shuffled among
  the trials;
- *functional ANOVA* (Hutter, Hoos & Leyton-Brown 2014): the share of the forest's variance over the whole space that
  one setting explains by itself, and that two explain together beyond that. It is computed exactly from the boxes into
  which each tree divides the space, for each tree, so that the spread over trees is the interval.

Differs from the paper: options are laid out along a line in the order in which they are given, so that a tree divides
them at points and not into subsets.
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
"""So many values of a range are looked at for its effect."""


@attrs.frozen
class Importance:
    """What one setting counts.

    Attributes:
        path: the setting.
        permutation: how much the error of unseen trials grows, as a share of the variance of the trials; below 0 by
            chance.
        permutation_interval: its 95 % interval, by bootstrap over the trials.
        variance: the share of the forest's variance that it explains alone, 0 to 1; mean over the trees.
        variance_interval: the middle 95 % of the trees.
    """

    path: str
    permutation: float
    permutation_interval: tuple[float, float]
    variance: float
    variance_interval: tuple[float, float]


@attrs.frozen
class Interaction:
    """What two settings explain together, beyond what each explains alone, as in ``Importance``."""

    paths: tuple[str, str]
    variance: float
    variance_interval: tuple[float, float]


@attrs.frozen
class Effect:
    """The figure that the forest expects for each value of one setting, averaged over all others.

    Attributes:
        path: the setting.
        values: values of a range, or names of options.
        means: the expected figure.
        low, high: the middle 80 % of the trees.
    """

    path: str
    values: Sequence[Any]
    means: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@attrs.frozen
class Importances:
    """What the trials of a search say.

    Attributes:
        figure: what was judged.
        trials: how many the forest has learnt from.
        failed: how many could not be used.
        outlying: how many figures lay more than three interquartile ranges outside of the middle half, as where
            training diverged; they count as if they lay there, so that they do not drown all others.
        explained: the share of the variance of unseen trials that the forest explains (R², by cross-validation); at
            or below 0 it knows nothing.
        error: its root mean square error on unseen trials.
        spread: the standard deviation of the trials, which is the error of always guessing their mean.
        settings: most important first.
        interactions: the strongest first.
        effects: path → effect.
    """

    figure: str
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
        """Whether the forest predicts unseen trials better than their mean does, by more than a little."""
        return self.explained > 0.1

    def verdict(self) -> str:
        """The forest's own error in a sentence."""
        if self.spread == 0:
            return "every trial gave the same figure: no setting can matter here"
        said = (
            f"on trials that it has not seen the forest errs by {self.error:.3g} ({self.figure}); "
            f"always guessing their mean would err by {self.spread:.3g}"
        )
        if not self.is_worth_reading:
            return f"{said}: it knows next to nothing (R² {self.explained:.2f}), so believe no importance below"
        return f"{said}: it explains {self.explained:.0%} of what differs"


def importances(space: Space, trials: Sequence[ObservedTrial], *, figure: str = "", seed: int = 0) -> Importances:
    """Fit a random forest on trials and ask it which settings matter.

    Args:
        space: path → what may stand there.
        trials: settings and figures; those without a figure are counted and left out.
        figure: its name, for messages.
        seed: of forest, folds and shuffles.

    Raises:
        LabError: fewer than 10 trials have a figure.
    """
    usable = [trial for trial in trials if trial.value is not None]
    if len(usable) < MIN_TRIALS:
        raise LabError(
            f"{len(usable)} trials with a figure are too few to say which settings matter",
            hint=f"run at least {MIN_TRIALS}, better 50: Study.search(..., trials=60)",
        )
    inputs = np.array([[space[path].share(trial.settings[path]) for path in space] for trial in usable])
    values, outlying = _without_outliers(np.array([trial.value for trial in usable], dtype=np.float64))
    unseen, shuffled = _unseen_errors(inputs, values, seed)
    forest = _forest(seed).fit(inputs, values)
    trees = [boxes_of(tree.tree_, len(space)) for tree in forest.estimators_]
    variance = float(values.var())
    return Importances(
        figure,
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
    """Figures with those far outside brought nearer, and how many these were."""
    first, third = np.quantile(values, [0.25, 0.75])
    reach = 3 * (third - first)
    near = np.clip(values, first - reach, third + reach) if reach else values
    return near, int((near != values).sum())


def _forest(seed: int) -> RandomForestRegressor:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(TREES, max_features=0.7, min_samples_leaf=2, random_state=seed)


# --- unseen trials ----------------------------------------------------------------------------------------------------


def _unseen_errors(inputs: Floats, values: Floats, seed: int) -> tuple[Floats, Floats]:
    """Squared error of every trial when it was not learnt from, (N,), and with each setting shuffled, (P, N)."""
    from sklearn.model_selection import KFold

    generator = np.random.default_rng(seed)
    plain, shuffled = np.zeros(len(values)), np.zeros((inputs.shape[1], len(values)))
    for known, unseen in KFold(FOLDS, shuffle=True, random_state=seed).split(inputs):
        forest = _forest(seed).fit(inputs[known], values[known])
        plain[unseen] = (forest.predict(inputs[unseen]) - values[unseen]) ** 2
        for index in range(inputs.shape[1]):
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
    """95 % interval of the mean."""
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
    """A regression tree as the boxes into which it divides the unit cube.

    Attributes:
        low, high: bounds of each box, (L, P).
        values: what the tree says in each, (L,).
    """

    low: Floats
    high: Floats
    values: Floats

    @property
    def mean(self) -> float:
        """The tree's mean over the cube."""
        return float((self.values * self._volumes).sum())

    @property
    def variance(self) -> float:
        """The tree's variance over the cube."""
        return float((self.values**2 * self._volumes).sum()) - self.mean**2

    def share_of(self, settings: tuple[int, ...]) -> float:
        """The share of the variance that these settings explain together: all of it for all settings."""
        return self.explained_by(settings) / self.variance if self.variance > 1e-12 else 0.0

    def explained_by(self, settings: tuple[int, ...]) -> float:
        """Variance of the tree's mean over all other settings.

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

    def mean_at(self, setting: int, places: Floats) -> Floats:
        """The tree's mean over all other settings where one stands at each of these places, (N,)."""
        width = self.high[:, setting] - self.low[:, setting]
        others = self.values * self._volumes / width
        places = np.clip(places, 1e-9, 1.0)  # a box is open below, and the cube has to belong to some box everywhere
        inside = (self.low[None, :, setting] < places[:, None]) & (places[:, None] <= self.high[None, :, setting])
        means: Floats = inside @ others
        return means

    @property
    def _volumes(self) -> Floats:
        volumes: Floats = (self.high - self.low).prod(1)
        return volumes


def boxes_of(tree: Any, settings: int) -> Boxes:
    """The boxes of a fitted tree of scikit-learn (``estimator.tree_``) over the unit cube of so many settings."""
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
        places = np.array([choice.share(name) for name in values])
    else:
        places = (np.arange(POINTS) + 0.5) / POINTS
        values = list(dict.fromkeys(choice.at(float(place)) for place in places))
        places = np.array([choice.share(value) for value in values])
    means = np.stack([tree.mean_at(index, places) for tree in trees])
    low, high = np.quantile(means, [0.1, 0.9], axis=0)
    return Effect(path, values, means.mean(0).tolist(), low.tolist(), high.tolist())
