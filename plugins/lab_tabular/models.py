"""Tabular models: codes (B, C) long and numbers (B, D) float to logits (B, K) or values (B,)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from lab_basics.checks import check_probabilities, check_sizes, dropout_by_layer
from torch import Tensor, nn
from torch.nn import functional

from lab import part
from lab.errors import ParameterError, ShapeError

__all__ = ["Linear", "PeriodicEmbedding", "TabularMLP", "check_widths", "embedding_width"]

Rule = Literal["min_600", "min_50"]
Categories = Literal["embedding", "one_hot"]
Numbers = Literal["plain", "periodic"]


def embedding_width(size: int, rule: Rule) -> int:
    """Return the embedding width of a category with ``size`` codes, by a rule of thumb.

    ``min_50`` is fast.ai 2018's min(50, (n + 1) // 2), ``min_600`` fast.ai 2019's min(600, round(1.6 n^0.56)).

    >>> embedding_width(1116, "min_50"), embedding_width(1116, "min_600")
    (50, 81)
    """
    return min(50, (size + 1) // 2) if rule == "min_50" else min(600, round(1.6 * size**0.56))


class _Head(nn.Module):
    """Base class that maps scores to logits, or to values on the scale of the target."""

    def __init__(
        self,
        output_size: int,
        target_mean: float,
        target_deviation: float,
        y_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        if y_range is not None and output_size > 1:
            raise ParameterError("y_range needs a regression target", where="y_range", hint="y_range=None")
        if y_range is not None and not y_range[0] < target_mean < y_range[1]:
            raise ParameterError(
                f"the mean of the target, {target_mean:.4g}, lies outside y_range {tuple(y_range)}", where="y_range"
            )
        self.output_size, self.y_range = output_size, None if y_range is None else tuple(y_range)
        self.mean, self.deviation = target_mean, target_deviation

    def rescale(self, score: Tensor) -> Tensor:
        """Return scores (B, K) as logits, or (B, 1) as values (B,) on the target's scale."""
        if self.output_size > 1:
            return score
        score = score.squeeze(-1)
        if self.y_range is None:
            return self.mean + self.deviation * score
        low, high = self.y_range
        # Shifted so that a score of 0 is the mean of the target, where training starts.
        return low + (high - low) * torch.sigmoid(score + math.log((self.mean - low) / (high - self.mean)))


class Linear(_Head):
    """Linear model of one-hot categories and numbers; softmax regression for classes.

    Zhang et al., *Dive into Deep Learning*, chapters 3 and 4. Weights are initialized to zero.

    Args:
        category_sizes: number of codes of each categorical column.
        continuous_count: number of continuous columns.
        output_size: number of classes, or 1 for regression.
        target_mean, target_deviation: mean and standard deviation of the training target, the scale of regression.

    Shapes:
        codes (B, C), numbers (B, D) -> (B, K), or (B,) where K is 1
    """

    def __init__(
        self,
        category_sizes: tuple[int, ...],
        continuous_count: int,
        output_size: int,
        target_mean: float,
        target_deviation: float,
    ) -> None:
        super().__init__(output_size, target_mean, target_deviation)
        self.one_hot = OneHot(category_sizes)
        self.output = nn.Linear(self.one_hot.width + continuous_count, output_size)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, categorical: Tensor, continuous: Tensor) -> Tensor:
        check_widths(categorical, continuous, len(self.one_hot.sizes), self.output.in_features - self.one_hot.width)
        return self.rescale(self.output(torch.cat([self.one_hot(categorical), continuous], 1)))


class OneHot(nn.Module):
    """One-hot encoding of codes (B, C) as (B, sum of sizes); an unknown category is all zeros."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes, self.width = tuple(sizes), sum(size - 1 for size in sizes)

    def forward(self, codes: Tensor) -> Tensor:
        columns = [functional.one_hot(codes[:, column], size)[:, 1:] for column, size in enumerate(self.sizes)]
        # not len(codes), which torch.export takes for a constant
        return torch.cat([*columns, codes.new_zeros(codes.shape[0], 0)], 1).float()


class Embeddings(nn.Module):
    """Entity embeddings of codes (B, C), concatenated (B, sum of widths); an unknown category is zero and not trained.

    Guo & Berkhahn 2016, "Entity embeddings of categorical variables".
    """

    def __init__(self, sizes: Sequence[int], widths: Sequence[int], names: Sequence[str], dropout: float) -> None:
        super().__init__()
        self.tables, self.width = nn.ModuleList(), sum(widths)
        for size, width, name in zip(sizes, widths, names, strict=True):
            with part(name):
                # padding_idx keeps row 0, the unknown category, without a gradient.
                table = nn.Embedding(size, width, padding_idx=0)
                nn.init.trunc_normal_(table.weight, std=0.01, a=-0.02, b=0.02)
                # nn.Embedding zeroes the padding row only in its own initialization.
                with torch.no_grad():
                    table.weight[0].zero_()
                self.tables.append(table)
        self.dropout = nn.Dropout(dropout)

    def forward(self, codes: Tensor) -> Tensor:
        columns = [table(codes[:, column]) for column, table in enumerate(self.tables)]
        joined: Tensor = self.dropout(torch.cat([*columns, codes.new_zeros(codes.shape[0], 0, dtype=torch.float)], 1))
        return joined


class PeriodicEmbedding(nn.Module):
    """Periodic embeddings of numbers (B, D) as (B, D · width): learned frequencies and a linear layer per column.

    Gorishniy, Rubachev & Babenko 2022, "On embeddings for numerical features in tabular deep learning", PLR:
    relu(linear([cos(2π c x), sin(2π c x)])), c drawn from a normal distribution.

    Args:
        count: number of columns.
        frequencies: number of frequencies per column.
        std: standard deviation of the initial frequencies; the paper searches it between 0.01 and 100.
        width: width of the embedding of a column.
    """

    def __init__(self, count: int, *, frequencies: int = 48, std: float = 0.1, width: int = 24) -> None:
        super().__init__()
        self.width = count * width
        self.frequencies = nn.Parameter(torch.randn(count, frequencies) * std)
        bound = (2 * frequencies) ** -0.5
        self.weight = nn.Parameter(torch.empty(count, 2 * frequencies, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, width).uniform_(-bound, bound))

    def forward(self, numbers: Tensor) -> Tensor:
        # Columns first, so that one batched product has a weight matrix per column.
        angles = 2 * torch.pi * numbers.T[:, :, None] * self.frequencies[:, None, :]
        waves = torch.cat([angles.cos(), angles.sin()], -1)
        vectors = torch.relu(torch.baddbmm(self.bias[:, None], waves, self.weight))
        return vectors.transpose(0, 1).flatten(1)


class TabularMLP(_Head):
    """Multilayer perceptron on category embeddings and numbers: fast.ai's ``TabularModel``.

    Each hidden layer is linear, ReLU, batch norm, dropout, as in the course. Differs from it: the vector of an unknown
    category is zero and not trained, and regression is scaled by the mean and standard deviation of the target.

    Args:
        category_sizes: number of codes of each categorical column.
        continuous_count: number of continuous columns.
        output_size: number of classes, or 1 for regression.
        target_mean, target_deviation: mean and standard deviation of the training target.
        category_names: names of the categorical columns; each seeds the initialization of its embedding.
        categories: ``embedding``, or ``one_hot``.
        embedding_rule: rule for the width of embeddings; see ``embedding_width``.
        embedding_size: one width for all embeddings instead.
        embedding_dropout: dropout probability of the embeddings.
        layers: widths of the hidden layers; empty gives a linear model.
        dropout: dropout probability after each hidden layer, one for all or one each.
        batch_norm: batch norm after each hidden layer.
        continuous_norm: batch norm of the numbers at the input.
        numbers: ``plain``, or ``periodic`` for the embeddings of Gorishniy et al.; see ``PeriodicEmbedding``.
        frequencies, frequency_std, number_size: their number, initial standard deviation and width.
        y_range: range of predictions, by a scaled sigmoid; None leaves them unbounded.

    Shapes:
        codes (B, C), numbers (B, D) -> (B, K), or (B,) where K is 1
    """

    def __init__(
        self,
        category_sizes: tuple[int, ...],
        continuous_count: int,
        output_size: int,
        target_mean: float,
        target_deviation: float,
        category_names: tuple[str, ...],
        *,
        categories: Categories = "embedding",
        embedding_rule: Rule = "min_600",
        embedding_size: int | None = None,
        embedding_dropout: float = 0.0,
        layers: Sequence[int] = (200, 100),
        dropout: float | Sequence[float] = 0.0,
        batch_norm: bool = True,
        continuous_norm: bool = True,
        numbers: Numbers = "plain",
        frequencies: int = 48,
        frequency_std: float = 0.1,
        number_size: int = 24,
        y_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(output_size, target_mean, target_deviation, y_range)
        where = "architecture 'tabular_mlp'"
        check_sizes(where, embedding_size=embedding_size, layers=layers, frequencies=frequencies,
                    number_size=number_size)  # fmt: skip
        check_probabilities(where, embedding_dropout=embedding_dropout)
        self.category_names = tuple(category_names)
        widths = [embedding_size or embedding_width(size, embedding_rule) for size in category_sizes]
        self.categories: Embeddings | OneHot = (
            Embeddings(category_sizes, widths, category_names, embedding_dropout)
            if categories == "embedding"
            else OneHot(category_sizes)
        )
        self.continuous_norm = nn.BatchNorm1d(continuous_count) if continuous_norm and continuous_count else None
        self.numbers: PeriodicEmbedding | None = None
        if numbers == "periodic" and continuous_count:
            with part("numbers"):
                self.numbers = PeriodicEmbedding(
                    continuous_count, frequencies=frequencies, std=frequency_std, width=number_size
                )
        self.sizes = (len(category_sizes), continuous_count)
        self.input_width = self.categories.width + (self.numbers.width if self.numbers else continuous_count)
        self.hidden = _hidden(self.input_width, layers, dropout_by_layer(where, dropout, layers), batch_norm)
        with part("output"):
            self.output = nn.Linear([self.input_width, *layers][-1], output_size)

    def forward(self, categorical: Tensor, continuous: Tensor) -> Tensor:
        return self.rescale(self.output(self.hidden(self.inputs(categorical, continuous))))

    def inputs(self, categorical: Tensor, continuous: Tensor) -> Tensor:
        """Return the input of the first hidden layer, (B, W)."""
        check_widths(categorical, continuous, *self.sizes)
        if self.continuous_norm is not None:
            continuous = self.continuous_norm(continuous)
        if self.numbers is not None:
            continuous = self.numbers(continuous)
        return torch.cat([self.categories(categorical), continuous], 1)

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the input layers, the hidden layers, and the output layer."""
        first = [module for module in (self.categories, self.continuous_norm, self.numbers) if module is not None]
        return [first, [self.hidden], [self.output]]


def _hidden(width: int, layers: Sequence[int], dropouts: Sequence[float], batch_norm: bool) -> nn.Sequential:
    blocks: list[nn.Module] = []
    for number, ((before, after), dropout) in enumerate(zip(pairwise([width, *layers]), dropouts, strict=True)):
        with part(f"hidden{number}"):
            blocks += [nn.Linear(before, after), nn.ReLU()]
        blocks += [nn.BatchNorm1d(after)] if batch_norm else []
        blocks += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*blocks)


def check_widths(categorical: Tensor, continuous: Tensor, categories: int, numbers: int) -> None:
    """Raise a ShapeError unless codes are (B, categories) and numbers (B, numbers)."""
    if categorical.shape[1:] != (categories,) or continuous.shape[1:] != (numbers,):
        raise ShapeError(
            f"codes {tuple(categorical.shape)} and numbers {tuple(continuous.shape)}, "
            f"expected (B, {categories}) and (B, {numbers})"
        )
