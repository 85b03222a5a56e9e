"""Does weight decay help a linear model of house prices? The settings of *Dive into Deep Learning*, section 4.10.

Five folds of consecutive rows, as in the book, in which weight decay is an exercise. Numbers are standardized and
one-hot columns made from the rows of both files, as there, so that the folds are not wholly unseen; a missing number
becomes 0. The loss is the squared error of dollars, valid_log_rmse the figure of the competition: the book prints
0.1703 for the mean of its folds. Needs the corpus house_prices in LAB_DATA.
"""

import attrs
import pandas as pd
import torch
from lab_text.corpora import find_corpus
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from lab import Data, Experiment, Study, use


@attrs.define(eq=False)
class Rows(Data):
    """Rows of numbers, with what the model and the metric must know of them."""

    features: int = 0
    target_is_log: bool = False


def book_rows(*, folds: int = 5, fold: int = 0) -> Rows:
    """Return rows as the book prepares them: features (N, 330 or so) and prices (N,) in dollars.

    Args:
        folds, fold: how many parts of consecutive rows, and which of them validates, from 0.
    """
    corpus = find_corpus("house_prices")
    train, test = (pd.read_csv(corpus.path(part)) for part in ("train", "test"))
    features = pd.concat((train.iloc[:, 1:-1], test.iloc[:, 1:]))
    numbers = features.select_dtypes("number").columns
    features[numbers] = ((features[numbers] - features[numbers].mean()) / features[numbers].std()).fillna(0)
    rows = torch.tensor(pd.get_dummies(features, dummy_na=True).to_numpy("float32")[: len(train)])
    prices = torch.tensor(train["SalePrice"].to_numpy("float32"))
    size = len(rows) // folds
    is_valid = torch.zeros(len(rows), dtype=torch.bool)
    is_valid[fold * size : (fold + 1) * size] = True
    splits = (TensorDataset(rows[chosen], prices[chosen]) for chosen in (~is_valid, is_valid))
    return Rows(*splits, features=rows.shape[1])


class Linear(nn.Module):
    """Linear layer that predicts dollars: features (B, D) -> (B,)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the prices."""
        price: Tensor = self.layer(features)[:, 0]
        return price


base = Experiment(
    dataset=book_rows,
    architecture=Linear,
    loss="mse",
    optimizer=use("adam", weight_decay=0.0),
    metrics=["log_rmse"],
    lr=5.0,
    batch_size=64,
    valid_batch_size=2048,
    epochs=100,
)
study = Study(base, folds=5, seeds=1, compare="valid_log_rmse").swap(
    "optimizer.weight_decay", {f"decay {decay:g}": decay for decay in (1.0, 10.0, 100.0)}
)
