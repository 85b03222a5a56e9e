"""Linear models of n-grams, fitted by scikit-learn instead of gradient steps: TF-IDF and NB-SVM.

Nothing is pickled: the n-grams, their scales and their weights are buffers, and torch computes the predictions.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import torch
from scipy import sparse

# At the top: importing it draws from Python's generator, forbidden inside a run.
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from lab.errors import LabError, ParameterError
from lab_sentences.models import check_count, check_tokens

__all__ = ["NgramModel"]

_WHERE = "architecture 'ngram_model'"
# Codes of longer n-grams of 40,000 words would not fit into 64 bits, and of pairs there are three of each.
_LONGEST = 4
_BUFFERS: dict[str, torch.dtype] = {
    "ngrams": torch.long,  # (K,) codes of the n-grams, ascending
    "scale": torch.float,  # (K,) factor of the count of each
    "weight": torch.float,  # (K, C)
    "bias": torch.float,  # (C,)
}


class NgramModel(nn.Module):
    """Linear classifier of the n-grams of a text or a pair, with the stepper ``fit_or_step`` and one epoch.

    ``tfidf`` scales counts by ``ln((1 + N) / (1 + d)) + 1``, N texts of which d have the n-gram, and texts to length 1.
    ``nb`` is NB-SVM (Wang & Manning 2012, section 2.3): whether a text has the n-gram, scaled by the log-ratio of its
    frequencies in the class and outside of it; weights are interpolated with their mean by ``beta``. With a support
    vector machine, outputs are its decision values and no calibrated probabilities.

    An n-gram that both texts of a pair have, one of the first alone, and one of the second alone are three features:
    what is inferred lies in what one text adds or lacks, a negation above all. How often a text has it is not counted.

    Args:
        vocab_size: words V.
        output_size: classes C, at least 2.
        pad_id: of padding.
        text_count: 2 for pairs, else 1.
        features: ``tfidf``, ``binary`` or ``nb``.
        classifier: ``logistic`` regression or a linear ``svm``.
        longest: longest n-gram, from 1 to 4 words.
        min_texts: n-grams that fewer training texts have are left out.
        strength: inverse of the penalty on the weights, scikit-learn's ``C``.
        beta: weight of the fitted weights against their mean, in [0, 1], for ``nb``.

    Shapes:
        tokens (B, T) long, of pairs also pair_tokens (B, S) long → logits (B, C)

    Raises:
        ParameterError: a parameter is out of range, or the labels are numbers.
    """

    ngrams: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        vocab_size: int,
        output_size: int,
        pad_id: int,
        text_count: int,
        *,
        features: Literal["tfidf", "binary", "nb"] = "tfidf",
        classifier: Literal["logistic", "svm"] = "logistic",
        longest: int = 2,
        min_texts: int = 1,
        strength: float = 1.0,
        beta: float = 0.25,
    ) -> None:
        super().__init__()
        if output_size < 2:
            raise ParameterError(
                "a model of n-grams predicts classes, and the labels are numbers", where=_WHERE, hint="target=class"
            )
        if not 1 <= longest <= _LONGEST or min_texts < 1 or strength <= 0 or not 0 <= beta <= 1:
            raise ParameterError(
                f"longest={longest}, min_texts={min_texts}, strength={strength}, beta={beta}",
                where=_WHERE,
                hint=f"longest from 1 to {_LONGEST}, min_texts at least 1, strength above 0, beta in [0, 1]",
            )
        self.vocab_size, self.output_size, self.pad_id, self.text_count = vocab_size, output_size, pad_id, text_count
        self.features, self.classifier, self.longest = features, classifier, longest
        self.min_texts, self.strength, self.beta = min_texts, strength, beta
        for name, kind in _BUFFERS.items():
            self.register_buffer(name, torch.zeros(0, dtype=kind))

    @property
    def is_fitted(self) -> bool:
        """Return True if the model was fitted or loaded."""
        return len(self.bias) > 0

    def _codes(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes of the n-grams of one text per row, and their rows, (M,) each."""
        # ids are at least 2 (pad_id is 1), so codes of different lengths differ
        code, known = torch.zeros_like(tokens), torch.ones_like(tokens, dtype=torch.bool)
        codes, rows = [], []
        for length in range(1, min(self.longest, tokens.shape[1]) + 1):
            width = tokens.shape[1] - length + 1
            new = tokens[:, length - 1 :]
            code, known = code[:, :width] * self.vocab_size + new, known[:, :width] & (new != self.pad_id)
            codes.append(code[known])
            rows.append(known.nonzero()[:, 0])
        return torch.cat(codes), torch.cat(rows)

    def _features(self, tokens: Tensor, pair_tokens: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the codes of the n-grams of each text, or of those of each pair by where they are, and their rows."""
        codes, rows = self._codes(tokens)
        if pair_tokens is None:
            return codes, rows
        other, other_rows = self._codes(pair_tokens)
        ngrams, numbers = torch.unique(torch.cat([codes, other]), return_inverse=True)
        places = torch.cat([rows, other_rows]) * len(ngrams) + numbers
        first, second = places[: len(codes)].unique(), places[len(codes) :].unique()
        shared = torch.isin(first, second)
        kinds = (first[shared], first[~shared], second[~torch.isin(second, first)])
        every = torch.cat(kinds)
        kind = torch.cat([torch.full_like(some, number) for number, some in enumerate(kinds)])
        return ngrams[every % max(len(ngrams), 1)] * len(kinds) + kind, every // max(len(ngrams), 1)

    def _check(self, tokens: Tensor, pair_tokens: Tensor | None) -> None:
        check_count(self.text_count, pair_tokens)
        check_tokens(tokens)
        if pair_tokens is not None:
            check_tokens(pair_tokens, "pair_tokens")

    def fit(self, tokens: Tensor, *others: Tensor, seed: int) -> None:
        """Fit on all texts at once.

        Args:
            tokens: (N, T).
            others: of pairs, the second texts (N, S); and the target (N,).
            seed: of the estimator.
        """
        pair_tokens, target = (None, *others) if self.text_count == 1 else others
        assert target is not None
        self._check(tokens, pair_tokens)
        if target.is_floating_point() or target.dim() != 1:
            raise LabError("a model of n-grams has one class per text", where=_WHERE, hint="dataset.target=class")
        found = self._features(tokens.cpu(), None if pair_tokens is None else pair_tokens.cpu())
        codes, rows = (part.numpy() for part in found)
        ngrams, columns = np.unique(codes, return_inverse=True)
        counts = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(tokens), len(ngrams)))
        counts.sum_duplicates()
        texts = np.bincount(counts.indices, minlength=len(ngrams))
        kept = texts >= self.min_texts
        if not kept.any():
            raise LabError(f"no n-gram is in {self.min_texts} texts", where=_WHERE, hint="a smaller min_texts")
        counts, ngrams, texts = counts[:, kept], ngrams[kept], texts[kept]
        classes = target.cpu().numpy()
        if self.features == "tfidf":
            scale = np.log((1 + len(tokens)) / (1 + texts)) + 1
            scaled = counts @ sparse.diags(scale)
            lengths = np.sqrt(scaled.multiply(scaled).sum(1)).A1
            scaled = sparse.diags(1 / np.maximum(lengths, 1e-12)) @ scaled
        else:
            scale = np.ones(len(ngrams))
            scaled = counts.sign()
        weight, bias = self._weights(scaled.tocsr(), classes, seed)
        values = {"ngrams": ngrams, "scale": scale, "weight": weight, "bias": bias}
        for name, kind in _BUFFERS.items():
            setattr(self, name, torch.as_tensor(values[name], dtype=kind).to(tokens.device))

    def _weights(self, x: Any, classes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (K, C) and biases (C,); of two classes, the first has zeros."""
        if self.features != "nb":
            return self._fitted(x, classes, seed)
        weight, bias = np.zeros((x.shape[1], self.output_size)), np.zeros(self.output_size)
        for number in range(self.output_size):
            # of two classes, one problem is enough
            if self.output_size == 2 and number == 0:
                continue
            own = classes == number
            inside, outside = (1 + np.asarray(x[mask].sum(0)).ravel() for mask in (own, ~own))
            ratio = np.log((inside / inside.sum()) / (outside / outside.sum()))
            fitted, offset = self._fitted((x @ sparse.diags(ratio)).tocsr(), own.astype(int), seed)
            chosen = fitted[:, 1]
            mixed = (1 - self.beta) * np.abs(chosen).mean() + self.beta * chosen
            weight[:, number], bias[number] = ratio * mixed, offset[1]
        return weight, bias

    def _fitted(self, x: Any, classes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        options: dict[str, Any] = {"C": self.strength, "random_state": seed}
        model = LogisticRegression(max_iter=1000, **options) if self.classifier == "logistic" else LinearSVC(**options)
        with warnings.catch_warnings():
            # scikit-learn warns of its limit of iterations, at which the fit is good enough to compare
            warnings.simplefilter("ignore")
            model.fit(x, classes)
        weight = np.zeros((x.shape[1], max(self.output_size, 2)))
        bias = np.zeros(weight.shape[1])
        if len(model.coef_) == 1:
            weight[:, model.classes_[1]], bias[model.classes_[1]] = model.coef_[0], model.intercept_[0]
        else:
            # by class number, since scikit-learn leaves out classes that no training text has
            weight[:, model.classes_], bias[model.classes_] = model.coef_.T, model.intercept_
        return weight, bias

    def forward(self, tokens: Tensor, pair_tokens: Tensor | None = None) -> Tensor:
        """Return the logits of the classes."""
        self._check(tokens, pair_tokens)
        if not self.is_fitted:
            # Checks run the model before it is fitted.
            return self.scale.new_zeros(len(tokens), self.output_size)
        codes, rows = self._features(tokens, pair_tokens)
        places = torch.searchsorted(self.ngrams, codes).clamp(max=len(self.ngrams) - 1)
        known = self.ngrams[places] == codes
        both, counts = torch.unique(rows[known] * len(self.ngrams) + places[known], return_counts=True)
        rows, places = both // len(self.ngrams), both % len(self.ngrams)
        values = self.scale[places] * (counts if self.features == "tfidf" else torch.ones_like(counts))
        if self.features == "tfidf":
            lengths = values.new_zeros(len(tokens))
            values = values / lengths.index_add_(0, rows, values.square()).sqrt().clamp(min=1e-12)[rows]
        logits = self.bias.expand(len(tokens), -1).clone()
        return logits.index_add_(0, rows, values.unsqueeze(1) * self.weight[places])
