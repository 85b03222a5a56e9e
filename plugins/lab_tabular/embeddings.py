"""What a trained network knows of categories: their vectors, as features for other models, and as a map."""

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

__all__ = ["CategoryMap", "category_map", "compare_encodings", "embedding_features", "entity_embeddings"]

Encoding = Literal["one_hot", "embedding"]
NEIGHBOURS = 10


def entity_embeddings(learner: Learner) -> dict[str, pd.DataFrame]:
    """Column → a frame with a row per category of the training rows, its vector in columns 0, 1, …

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
    """Rows as features for other models: every category replaced by its vector, numbers scaled as in training.

    Args:
        learner: a trained network with embeddings.
        frame: with the columns of training.

    Returns:
        A frame with the same index and the columns ``town_0, town_1, …, rooms, …``.
    """
    import pandas as pd

    data = _data(learner)
    codes, numbers = data.preparation(frame)
    values = _encoded(learner, torch.from_numpy(codes), torch.from_numpy(numbers), "embedding")
    widths = [table.embedding_dim for table in _tables(learner)]
    named = zip(data.category_names, widths, strict=True)
    names = [f"{name}_{place}" for name, width in named for place in range(width)]
    return pd.DataFrame(values, index=frame.index, columns=[*names, *data.continuous_names])


def compare_encodings(
    learner: Learner, *, sample: int = 10_000, seed: int = 0, estimators: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Other models on one-hot categories and on the network's vectors: Guo & Berkhahn 2016, table 3.

    Nearest neighbours, a random forest and gradient boosting are fitted to a sample of the training rows and judged on
    the validation rows, as the network is.

    Args:
        learner: a trained network with embeddings.
        sample: training rows that are used, at most; as many validation rows.
        seed: of the sample and of the estimators.
        estimators: some of ``nearest neighbours, random forest, gradient boosting``; empty for all.

    Returns:
        A row per model with its errors ``one_hot`` and ``embedding``; the first row is the network's own, whose
        ``one_hot`` is None. Errors are the share of wrong classes, or of values the mean absolute error relative to the
        target where its logarithm was learned, the root of the mean squared error otherwise; ``measure`` says which.
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
        "nearest neighbours": lambda: near(NEIGHBOURS, weights="distance"),
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
            columns = [table.cpu()(codes[:, column]) for column, table in enumerate(tables)]
            learner.model.to(learner.device)
    return torch.cat([*columns, numbers], 1).numpy()


def _sampled(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    chosen = torch.from_numpy(generator.permutation(len(rows))[:count])
    return Rows(rows.categorical[chosen], rows.continuous[chosen], rows.target[chosen])


def _measure(data: TableData) -> str:
    if data.class_names:
        return "share of wrong classes"
    return "mean absolute relative error" if data.target_is_log else "root mean squared error"


def _error(data: TableData, predicted: np.ndarray, rows: Rows) -> float:
    target = rows.target.numpy()
    if data.class_names:
        return float((predicted != target).mean())
    if data.target_is_log:
        return float(np.abs(np.exp(predicted.astype(float) - target) - 1).mean())
    return float(np.sqrt(np.square(predicted.astype(float) - target).mean()))


class CategoryMap(NamedTuple):
    """Categories on a map of their vectors.

    Attributes:
        column: whose categories.
        names: of the categories.
        places: (N, 2), the first two principal components; where true places are known, turned and scaled to them.
        truth: (N, 2), the true places, or None.
        correlation: of the distances between vectors with those between true places (Spearman), or None.
    """

    column: str
    names: list[str]
    places: np.ndarray
    truth: np.ndarray | None
    correlation: float | None


def category_map(learner: Learner, column: str, places: Mapping[str, tuple[float, float]] | None = None) -> CategoryMap:
    """The vectors of a column's categories on a plane, beside their places on a map where these are known.

    Args:
        learner: a trained network with embeddings.
        column: whose categories.
        places: category → where it lies; None takes those that the data knows, if it knows any.

    Raises:
        UnknownNameError: there is no such column among the categories.
        LabError: fewer than three categories have a place.
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
        raise LabError(f"column '{column}' has {len(frame)} categories on a map", hint="three are needed")
    flat = PCA(min(2, frame.shape[1])).fit_transform(frame.to_numpy(float))
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    if not places:
        return CategoryMap(column, list(frame.index), flat, None, None)
    truth = np.array([places[name] for name in frame.index], float)
    correlation = float(spearmanr(pdist(frame.to_numpy(float)), pdist(truth)).statistic)
    standard, turned, _ = procrustes(truth, flat)
    scale = (truth - truth.mean(0)).std() / standard.std()
    return CategoryMap(column, list(frame.index), turned * scale + truth.mean(0), truth, correlation)


def _data(learner: Learner) -> TableData:
    if not isinstance(learner.data, TableData):
        raise LabError("this learner was not trained on a table", where=type(learner.data).__name__)
    return learner.data


def _tables(learner: Learner) -> Sequence[Any]:
    model = learner.model
    if not isinstance(model, TabularMLP) or not isinstance(model.categories, Embeddings):
        raise LabError(
            "this model has no embeddings of categories",
            where=type(model).__name__,
            hint="architecture=use('tabular_mlp', categories='embedding')",
        )
    return list(model.categories.tables)
