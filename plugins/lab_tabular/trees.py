"""Tree estimators of scikit-learn as modules: fitted trees are buffers, so they are saved and moved like weights.

Nothing is pickled: the nodes of a fitted tree (column, threshold, children) become buffers, and torch traverses the
trees. Predictions are those of scikit-learn up to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

# At the top: importing it draws from Python's generator, forbidden inside a run.
from sklearn import ensemble, tree
from torch import Tensor, nn

from lab.errors import ParameterError, UnknownNameError
from lab_tabular.models import check_widths

__all__ = ["ESTIMATORS", "Trees", "sklearn"]

BOOSTED = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
FORESTS = (
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "ExtraTreesClassifier",
    "ExtraTreesRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
)
ESTIMATORS = (*BOOSTED, *FORESTS)
"""Supported estimators of scikit-learn."""

MAX_CATEGORIES = 255
ROWS_AT_ONCE = 4096
SMALLEST_SHARE = 1e-7

_BUFFERS: dict[str, torch.dtype] = {
    "roots": torch.long,  # (T,) root node of each tree
    "outputs": torch.long,  # (T,) the output that a tree contributes to; -1 for all of them
    "feature": torch.long,  # (N,) column that a node splits
    "threshold": torch.double,  # (N,) values up to it go left
    "left": torch.long,  # (N,) left child; a leaf is its own child
    "right": torch.long,
    "gap_left": torch.bool,  # (N,) unknown categories go left
    "set": torch.long,  # (N,) the set of categories that go left, or -1
    "sets": torch.bool,  # (S, 256)
    "value": torch.double,  # (N, K) value of a leaf
    "codes": torch.double,  # (C, M) boosting's numbers of the codes of a category
    "baseline": torch.double,  # (K,)
}


class Trees(nn.Module):
    """Boosted trees or a forest, fitted by scikit-learn instead of gradient steps.

    Categories are codes. Boosting splits them by sets of categories, up to 255 per column; forests, and boosting of a
    column with more, treat the codes as numbers.

    Args:
        category_sizes: number of codes of each categorical column.
        continuous_count: number of continuous columns.
        output_size: number of classes, or 1 for regression.
        target_mean: prediction before fitting.
        estimator: name of a class of scikit-learn.
        options: its parameters; ``random_state`` comes from the run's stream ``stepper``.

    Shapes:
        codes (B, C), numbers (B, D) -> log-probabilities (B, K), or values (B,) where K is 1
    """

    def __init__(
        self,
        category_sizes: Sequence[int],
        continuous_count: int,
        output_size: int,
        target_mean: float,
        *,
        estimator: str,
        **options: Any,
    ) -> None:
        super().__init__()
        self.estimator, self.options = estimator, options
        self.category_sizes, self.continuous_count = tuple(category_sizes), continuous_count
        self.output_size, self.target_mean = output_size, target_mean
        _check_kind(estimator, output_size)
        # Built once here, so that a wrong parameter is found by the checks and not at the end of the first epoch.
        _make(estimator, options, seed=0)
        for name, kind in _BUFFERS.items():
            self.register_buffer(name, torch.zeros(0, dtype=kind))

    @property
    def is_fitted(self) -> bool:
        """Return True if trees were fitted or loaded."""
        return len(self.roots) > 0

    def fit(self, categorical: Tensor, continuous: Tensor, target: Tensor, *, seed: int) -> None:
        """Grow the trees on all rows at once.

        Args:
            categorical, continuous, target: (N, C), (N, D) and (N,).
            seed: seed of the estimator.
        """
        rows = _rows(categorical, continuous).cpu().numpy()
        wanted = target.cpu().numpy()
        options = dict(self.options)
        # scikit-learn's limit for splits by sets of categories.
        if self.estimator in BOOSTED and max(self.category_sizes, default=0) <= MAX_CATEGORIES:
            options.setdefault("categorical_features", list(range(len(self.category_sizes))) or None)
        model = _make(self.estimator, options, seed)
        with warnings.catch_warnings():
            # scikit-learn warns of rare classes and constant columns, which the notes of the data report.
            warnings.simplefilter("ignore")
            model.fit(rows, wanted)
        read = _read_boosted if self.estimator in BOOSTED else _read_forest
        tensors = read(model, self.output_size)
        for name, kind in _BUFFERS.items():
            setattr(self, name, torch.as_tensor(tensors[name], dtype=kind).to(categorical.device))

    def forward(self, categorical: Tensor, continuous: Tensor) -> Tensor:
        check_widths(categorical, continuous, len(self.category_sizes), self.continuous_count)
        if not self.is_fitted:
            # Checks run the model before it is fitted.
            shape = (len(categorical), self.output_size)
            return (
                continuous.new_zeros(shape)
                if self.output_size > 1
                else continuous.new_full(shape[:1], self.target_mean)
            )
        rows = _rows(categorical, continuous)
        raw = torch.cat([self._raw(block) for block in rows.split(ROWS_AT_ONCE)])
        return self._log_probabilities(raw).float()

    def _raw(self, rows: Tensor) -> Tensor:
        """Return the summed leaf values (B, K)."""
        node = self.roots.expand(len(rows), -1)
        coded = self._coded(rows)
        everyone = torch.arange(len(rows), device=rows.device)[:, None]
        # All rows descend all trees at once, one level per iteration, until every node is a leaf.
        while True:
            feature, wanted = self.feature[node], self.set[node]
            numbers = coded[everyone, feature]
            is_left = numbers <= self.threshold[node]
            if len(self.sets):
                unknown = numbers.isnan()
                within = self.sets[wanted.clamp(min=0), numbers.nan_to_num(0).long().clamp(0, 255)]
                is_left = torch.where(wanted >= 0, torch.where(unknown, self.gap_left[node], within), is_left)
            child = torch.where(is_left, self.left[node], self.right[node])
            if torch.equal(child, node):
                break
            node = child
        values = self.value[node]  # (B, T, K), or (B, T, 1) if a tree contributes to one output
        if self.outputs[0] < 0:
            return values.mean(1)
        raw = self.baseline.expand(len(rows), -1).clone()
        return raw.index_add_(1, self.outputs, values.squeeze(-1))

    def _coded(self, rows: Tensor) -> Tensor:
        """Return rows (B, F) with boosting's numbers of categories, NaN for unknown ones."""
        if not self.codes.numel():
            return rows
        count = len(self.codes)
        codes = rows[:, :count].long().clamp(max=self.codes.shape[1] - 1)
        columns = torch.arange(count, device=rows.device)
        return torch.cat([self.codes[columns, codes], rows[:, count:]], 1)

    def _log_probabilities(self, raw: Tensor) -> Tensor:
        """Return log-probabilities (B, K), or the values (B,) of a regression."""
        if self.output_size == 1:
            return raw.squeeze(-1)
        if self.outputs[0] < 0:
            return raw.clamp(min=SMALLEST_SHARE).log()
        logits = torch.cat([torch.zeros_like(raw), raw], 1) if raw.shape[1] == 1 else raw
        return logits.log_softmax(-1)


def sklearn(
    category_sizes: tuple[int, ...],
    continuous_count: int,
    output_size: int,
    target_mean: float,
    *,
    estimator: str = "HistGradientBoostingClassifier",
    **options: Any,
) -> Trees:
    """Trees of scikit-learn as an architecture; use the stepper ``fit_or_step`` and one epoch.

    Args:
        category_sizes, continuous_count, output_size, target_mean: facts of the data.
        estimator: ``HistGradientBoosting``, ``RandomForest``, ``ExtraTrees`` or ``DecisionTree``, each with
            ``Classifier`` or ``Regressor``.
        options: parameters of that class, for example ``max_iter=300``.

    Raises:
        UnknownNameError: there is no such estimator.
        ParameterError: the estimator has no such parameter, or predicts the other kind of target.
    """
    return Trees(category_sizes, continuous_count, output_size, target_mean, estimator=estimator, **options)


def _check_kind(estimator: str, output_size: int) -> None:
    if estimator not in ESTIMATORS:
        raise UnknownNameError.among(
            "estimator",
            estimator,
            ESTIMATORS,
            where="architecture 'sklearn'",
            hint=f"estimators: {', '.join(ESTIMATORS)}",
        )
    if estimator.endswith("Classifier") != (output_size > 1):
        kind = "classes" if output_size > 1 else "numbers"
        other = (
            estimator.replace("Regressor", "Classifier")
            if output_size > 1
            else estimator.replace("Classifier", "Regressor")
        )
        raise ParameterError(
            f"{estimator} does not predict {kind}", where="architecture 'sklearn'", hint=f"use {other}"
        )


def _make(estimator: str, options: dict[str, Any], seed: int) -> Any:
    factory = getattr(ensemble, estimator, None) or getattr(tree, estimator)
    known = factory().get_params()
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ParameterError.among(
            f"parameter of {estimator}",
            unknown[0],
            list(known),
            where="architecture 'sklearn'",
            hint=f"parameters: {', '.join(known)}",
        )
    return factory(**{"random_state": seed, **options})


def _rows(categorical: Tensor, continuous: Tensor) -> Tensor:
    return torch.cat([categorical.double(), continuous.double()], 1)


def _read_boosted(model: Any, output_size: int) -> dict[str, Any]:
    """Return the tensors of histogram gradient boosting."""
    # scikit-learn has no public access to these trees; the parity tests fail if a release changes the private one.
    predictors = [(grown, output) for stage in model._predictors for output, grown in enumerate(stage)]
    parts: dict[str, list[Any]] = {name: [] for name in ("roots", "outputs", "nodes", "left", "right", "set", "sets")}
    first = sets = 0
    for grown, output in predictors:
        nodes, count = grown.nodes, len(grown.nodes)
        own = np.arange(first, first + count)
        leaf = nodes["is_leaf"].astype(bool)
        parts["roots"].append(first)
        parts["outputs"].append(output)
        parts["nodes"].append(nodes)
        parts["left"].append(np.where(leaf, own, first + nodes["left"].astype(np.int64)))
        parts["right"].append(np.where(leaf, own, first + nodes["right"].astype(np.int64)))
        chosen = nodes["is_categorical"].astype(bool) & ~leaf
        parts["set"].append(np.where(chosen, sets + nodes["bitset_idx"].astype(np.int64), -1))
        parts["sets"].append(_bits(grown.raw_left_cat_bitsets))
        first, sets = first + count, sets + len(grown.raw_left_cat_bitsets)
    nodes = np.concatenate(parts["nodes"])
    return {
        "roots": parts["roots"],
        "outputs": parts["outputs"],
        "feature": nodes["feature_idx"].astype(np.int64),
        "threshold": nodes["num_threshold"],
        "left": np.concatenate(parts["left"]),
        "right": np.concatenate(parts["right"]),
        "gap_left": nodes["missing_go_to_left"].astype(bool),
        "set": np.concatenate(parts["set"]),
        "sets": np.concatenate(parts["sets"]),
        "value": nodes["value"][:, None],
        "codes": _category_codes(model),
        "baseline": np.asarray(model._baseline_prediction, float).reshape(-1),
    }


def _bits(words: np.ndarray) -> np.ndarray:
    """Unpack sets of categories from (S, 8) words of 32 bits to (S, 256) bool."""
    shifts = np.arange(32, dtype=np.uint32)
    return ((words[:, :, None] >> shifts) & 1).astype(bool).reshape(len(words), 256)


def _category_codes(model: Any) -> np.ndarray:
    """Return (C, M) the estimator's number of code m of column c, NaN if unknown."""
    if model._preprocessor is None:
        return np.zeros((0, 0))
    categories = model._preprocessor.named_transformers_["encoder"].categories_
    # The last entry is for all codes beyond.
    widest = max(int(each.max()) for each in categories) + 2
    table = np.full((len(categories), widest), np.nan)
    for column, each in enumerate(categories):
        table[column, each.astype(int)] = np.arange(len(each))
    return table


def _read_forest(model: Any, output_size: int) -> dict[str, Any]:
    forest = [each.tree_ for each in getattr(model, "estimators_", [model])]
    firsts = np.cumsum([0, *(grown.node_count for grown in forest)])
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("feature", "threshold", "left", "right", "value")}
    for grown, first in zip(forest, firsts, strict=False):
        own = np.arange(first, first + grown.node_count)
        leaf = grown.children_left < 0
        parts["feature"].append(np.where(leaf, 0, grown.feature))
        parts["threshold"].append(grown.threshold)
        parts["left"].append(np.where(leaf, own, first + grown.children_left))
        parts["right"].append(np.where(leaf, own, first + grown.children_right))
        parts["value"].append(_leaf_values(model, grown, output_size))
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    count = len(joined["feature"])
    return {
        **joined,
        "roots": firsts[:-1],
        "outputs": np.full(len(forest), -1),
        "gap_left": np.zeros(count, bool),
        "set": np.full(count, -1),
        "sets": np.zeros((0, 256), bool),
        "codes": np.zeros((0, 0)),
        "baseline": np.zeros(1),
    }


def _leaf_values(model: Any, tree: Any, output_size: int) -> np.ndarray:
    """Return class probabilities (N, K), or values (N, 1)."""
    values = tree.value[:, 0, :]
    if output_size == 1:
        return values
    # By class number, since scikit-learn leaves out classes that no training row has.
    probabilities = np.zeros((len(values), output_size))
    probabilities[:, np.asarray(model.classes_, int)] = values / values.sum(1, keepdims=True)
    return probabilities
