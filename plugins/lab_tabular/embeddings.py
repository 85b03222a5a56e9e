"""Entity embeddings of a trained network: vectors of categories, as features for other models and as a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch

from lab.errors import LabError, UnknownNameError
from lab_tabular.data import Rows, TableData
from lab_tabular.models import Embeddings, TabularMLP
from lab_tabular.processors import FIRST_CODE

if TYPE_CHECKING:
    import pandas as pd

    from lab import Learner

__all__ = [
    "CategoryDistances",
    "CategoryMap",
    "category_distances",
    "category_map",
    "compare_encodings",
    "embedding_features",
    "entity_embeddings",
]

Encoding = Literal["one_hot", "embedding"]
NEIGHBORS = 10


def entity_embeddings(learner: Learner) -> dict[str, pd.DataFrame]:
    """Return a frame for each column with a row per known category and its vector in columns 0, 1, …

    Raises:
        LabError: the model has no embeddings.
    """
    import pandas as pd

    data, tables = _data(learner), _tables(learner)
    found = {}
    for name, table in zip(data.category_names, tables, strict=True):
        categories = data.preparation.categories[name]
        vectors = table.weight.detach().cpu()[FIRST_CODE:].numpy()
        found[name] = pd.DataFrame(vectors, index=pd.Index(categories, name=name))
    return found


def embedding_features(learner: Learner, frame: pd.DataFrame) -> pd.DataFrame:
    """Return features for other models: categories replaced by their vectors, numbers scaled as in training.

    Args:
        learner: a trained network with embeddings.
        frame: rows with the columns of training.

    Returns:
        A frame with the same index and the columns ``town_0, town_1, …, rooms, …``.
    """
    import pandas as pd

    data = _data(learner)
    codes, numbers = data.preparation(frame)
    values = _encoded(learner, torch.from_numpy(codes), torch.from_numpy(numbers), "embedding")
    widths = [table.embedding_dim for table in _tables(learner)]
    named = zip(data.category_names, widths, strict=True)
    names = [f"{name}_{number}" for name, width in named for number in range(width)]
    return pd.DataFrame(values, index=frame.index, columns=[*names, *data.continuous_names])


def compare_encodings(
    learner: Learner, *, sample: int = 10_000, seed: int = 0, estimators: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Compare other models on one-hot categories and on the embeddings: Guo & Berkhahn 2016, table 3.

    Nearest neighbors, a random forest and gradient boosting are fitted to a sample of the training rows and evaluated
    on the validation rows, as the network is.

    Args:
        learner: a trained network with embeddings.
        sample: maximum number of training rows, and of validation rows.
        seed: seed of the sample and of the estimators.
        estimators: some of ``nearest neighbors, random forest, gradient boosting``; empty for all.

    Returns:
        A row per model with its errors ``one_hot`` and ``embedding``; the first row is the network itself, whose
        ``one_hot`` is None. ``measure`` names the error: the fraction of wrong classes; for regression, the mean
        absolute relative error if the logarithm was predicted, and the root mean squared error otherwise.
    """
    data = _data(learner)
    generator = np.random.default_rng(seed)
    train, valid = (_sampled(data.split(name), sample, generator) for name in ("train", "valid"))
    output = learner.predict(valid.categorical, valid.continuous).float().cpu()
    own = output.argmax(-1) if data.class_names else output
    rows = [
        {
            "model": "the network",
            "one_hot": None,
            "embedding": _error(data, own.numpy(), valid),
            "measure": _measure(data),
        }
    ]
    chosen = {name: make for name, make in _estimators(data, seed).items() if not estimators or name in estimators}
    for name, make in chosen.items():
        row: dict[str, Any] = {"model": name, "measure": _measure(data)}
        for encoding in ("one_hot", "embedding"):
            inputs = [_encoded(learner, part.categorical, part.continuous, encoding) for part in (train, valid)]
            fitted = make().fit(inputs[0], train.target.numpy())
            row[encoding] = _error(data, fitted.predict(inputs[1]), valid)
        rows.append(row)
    return rows


def _estimators(data: TableData, seed: int) -> dict[str, Any]:
    from sklearn import ensemble, neighbors

    kind = "Classifier" if data.class_names else "Regressor"
    near, forest, boosting = (
        getattr(neighbors, f"KNeighbors{kind}"),
        getattr(ensemble, f"RandomForest{kind}"),
        getattr(ensemble, f"HistGradientBoosting{kind}"),
    )
    return {
        "nearest neighbors": lambda: near(NEIGHBORS, weights="distance"),
        "random forest": lambda: forest(100, min_samples_leaf=2, max_features=0.5, random_state=seed),
        "gradient boosting": lambda: boosting(random_state=seed),
    }


def _encoded(learner: Learner, codes: torch.Tensor, numbers: torch.Tensor, encoding: Encoding) -> np.ndarray:
    from lab_tabular.models import OneHot

    tables = _tables(learner)
    with torch.no_grad():
        if encoding == "one_hot":
            columns = [OneHot(_data(learner).category_sizes)(codes)]
        else:
            # On the CPU, where the estimators of scikit-learn work.
            columns = [table.cpu()(codes[:, column]) for column, table in enumerate(tables)]
            learner.model.to(learner.device)
    return torch.cat([*columns, numbers], 1).numpy()


def _sampled(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    chosen = torch.from_numpy(generator.permutation(len(rows))[:count])
    return Rows(rows.categorical[chosen], rows.continuous[chosen], rows.target[chosen])


def _measure(data: TableData) -> str:
    if data.class_names:
        return "fraction of wrong classes"
    return "mean absolute relative error" if data.target_is_log else "root mean squared error"


def _error(data: TableData, predicted: np.ndarray, rows: Rows) -> float:
    target = rows.target.numpy()
    if data.class_names:
        return float((predicted != target).mean())
    if data.target_is_log:
        return float(np.abs(np.exp(predicted.astype(float) - target) - 1).mean())
    return float(np.sqrt(np.square(predicted.astype(float) - target).mean()))


class CategoryMap(NamedTuple):
    """Map of the categories of a column.

    Attributes:
        column: the column.
        names: the categories.
        places: (N, 2), the first two principal components, rotated and scaled to the true positions if known.
        truth: (N, 2), the true positions, or None.
        correlation: Spearman correlation between the distances of vectors and of true positions, or None.
    """

    column: str
    names: list[str]
    places: np.ndarray
    truth: np.ndarray | None
    correlation: float | None


def category_map(learner: Learner, column: str, places: Mapping[str, tuple[float, float]] | None = None) -> CategoryMap:
    """Project the vectors of a column's categories onto a plane, next to their true positions if known.

    Args:
        learner: a trained network with embeddings.
        column: the column.
        places: category → position; None takes those of the data, if it has any.

    Raises:
        UnknownNameError: there is no such categorical column.
        LabError: fewer than three categories have a position.
    """
    from scipy.spatial import procrustes
    from scipy.spatial.distance import pdist
    from scipy.stats import spearmanr
    from sklearn.decomposition import PCA

    data, vectors = _data(learner), entity_embeddings(learner)
    if column not in vectors:
        hint = f"columns: {', '.join(vectors)}"
        raise UnknownNameError.among("categorical column", column, list(vectors), hint=hint)
    places = data.category_places.get(column, {}) if places is None else places
    frame = vectors[column]
    if places:
        frame = frame[frame.index.isin(list(places))]
    if len(frame) < 3:
        raise LabError(f"column '{column}' has {len(frame)} categories to map", hint="at least three are needed")
    flat = PCA(min(2, frame.shape[1])).fit_transform(frame.to_numpy(float))
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    if not places:
        return CategoryMap(column, list(frame.index), flat, None, None)
    truth = np.array([places[name] for name in frame.index], float)
    correlation = float(spearmanr(pdist(frame.to_numpy(float)), pdist(truth)).statistic)
    # Principal components have no orientation: without the rotation, a good map may be upside down.
    standard, rotated, _ = procrustes(truth, flat)
    scale = (truth - truth.mean(0)).std() / standard.std()
    return CategoryMap(column, list(frame.index), rotated * scale + truth.mean(0), truth, correlation)


class CategoryDistances(NamedTuple):
    """Distances of categories in pairs: of their vectors, and of what they mean for the prediction.

    Attributes:
        column: the column.
        vectors: (P,), Euclidean distances of the vectors.
        outputs: (P,), mean absolute differences of the predictions, with one category or the other in the same rows.
        correlation: Spearman correlation of both.
    """

    column: str
    vectors: np.ndarray
    outputs: np.ndarray
    correlation: float


def category_distances(
    learner: Learner, column: str, *, pairs: int = 10_000, rows: int = 100, seed: int = 0
) -> CategoryDistances:
    """Compare distances of vectors with distances of predictions, for random pairs of categories.

    Guo & Berkhahn 2016, arXiv:1604.06737, section IV, on the stores of Rossmann: a category is what it does to the
    prediction, and a distance of two is the mean absolute difference of the predictions, over rows in which nothing but
    the category differs.

    Args:
        learner: a trained network with embeddings.
        column: the column.
        pairs: maximum number of pairs.
        rows: maximum number of validation rows.
        seed: seed of the choice of pairs and rows.

    Raises:
        UnknownNameError: there is no such categorical column.
        LabError: it has fewer than three categories.
    """
    from scipy.stats import spearmanr

    data, names = _data(learner), _data(learner).category_names
    if column not in names:
        hint = f"columns: {', '.join(names)}"
        raise UnknownNameError.among("categorical column", column, list(names), hint=hint)
    number = names.index(column)
    vectors = _tables(learner)[number].weight.detach().cpu()[FIRST_CODE:]
    if len(vectors) < 3:
        raise LabError(f"column '{column}' has {len(vectors)} categories", hint="at least three are needed")
    generator = np.random.default_rng(seed)
    chosen = _sampled(data.split("valid"), rows, generator)
    outputs = []
    for code in range(FIRST_CODE, FIRST_CODE + len(vectors)):
        codes = chosen.categorical.clone()
        codes[:, number] = code
        outputs.append(learner.predict(codes, chosen.continuous).float().cpu().flatten())
    first, second = np.triu_indices(len(vectors), 1)
    if len(first) > pairs:
        some = generator.choice(len(first), pairs, replace=False)
        first, second = first[some], second[some]
    predicted = torch.stack(outputs)
    apart = (vectors[first] - vectors[second]).norm(dim=1).numpy()
    meant = (predicted[first] - predicted[second]).abs().mean(1).numpy()
    return CategoryDistances(column, apart, meant, float(spearmanr(apart, meant).statistic))


def _data(learner: Learner) -> TableData:
    if not isinstance(learner.data, TableData):
        raise LabError("this learner was not trained on a table", where=type(learner.data).__name__)
    return learner.data


def _tables(learner: Learner) -> Sequence[Any]:
    model = learner.model
    if not isinstance(model, TabularMLP) or not isinstance(model.categories, Embeddings):
        raise LabError(
            "this model has no category embeddings",
            where=type(model).__name__,
            hint="architecture=use('tabular_mlp', categories='embedding')",
        )
    return list(model.categories.tables)
