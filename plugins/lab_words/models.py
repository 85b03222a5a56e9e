"""Model of word vectors: an input table, an output table, and the products of their rows."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lab.errors import ParameterError, ShapeError
from lab.training.rng import part
from lab_words.vocabulary import WordVocabulary

__all__ = ["WordVectorModel", "ngrams_of", "subword_table"]


class WordVectorModel(nn.Module):
    """Word vectors of word2vec, GloVe and fastText.

    An example's input vector is the mean of the vectors of its words: one for skip-gram, several for CBOW. The logits
    are its products with rows of the output table.

    Args:
        vocab_size: words V.
        vocab: the vocabulary; only needed with ``subwords``.
        objective: of the data; it decides about ``bias`` only.
        embedding_dim: width of the vectors D.
        bias: add a bias of the input word and one of the output row; None does so for counts, as GloVe does.
        subwords: shortest and longest character n-gram whose vectors are added to the word's (Bojanowski et al. 2017);
            None for whole words only.
        buckets: rows that n-grams share by their hash.
        init: ``xavier`` (uniform, both tables) or ``word2vec`` (inputs uniform in ±0.5 / D, outputs zero).

    Shapes:
        words (B, L) int with -1 as padding; candidates (B, C) int with -1 as padding, or (B, 0) for all rows → logits
        (B, C) or (B, V). Candidates (B,), one each → logits (B,).
    """

    def __init__(
        self,
        vocab_size: int,
        vocab: WordVocabulary,
        objective: str,
        *,
        embedding_dim: int = 100,
        bias: bool | None = None,
        subwords: tuple[int, int] | None = None,
        buckets: int = 20_000,
        init: Literal["xavier", "word2vec"] = "xavier",
    ) -> None:
        super().__init__()
        if embedding_dim < 1 or buckets < 1:
            raise ParameterError(
                f"embedding_dim={embedding_dim}, buckets={buckets}, each must be at least 1",
                where="architecture 'word_vectors'",
            )
        rows = vocab_size
        self.subword_ids: Tensor | None
        self.register_buffer("subword_ids", None, persistent=False)
        if subwords is not None:
            if not 1 <= subwords[0] <= subwords[1]:
                raise ParameterError(
                    f"subwords are lengths 1 ≤ shortest ≤ longest, got {tuple(subwords)}",
                    where="architecture 'word_vectors'",
                )
            # one row more, which stays zero and fills up words with few n-grams
            self.subword_ids = subword_table(vocab.words, subwords, buckets)
            rows = vocab_size + buckets
        with part("inputs"):
            self.inputs = nn.Embedding(rows, embedding_dim)
            _initialize(self.inputs, init, embedding_dim)
        with part("outputs"):
            self.outputs = nn.Embedding(vocab_size, embedding_dim)
            _initialize(self.outputs, init, 0)
        bias = objective == "counts" if bias is None else bias
        self.input_bias = nn.Parameter(torch.zeros(vocab_size)) if bias else None
        self.output_bias = nn.Parameter(torch.zeros(vocab_size)) if bias else None

    def forward(self, words: Tensor, candidates: Tensor) -> Tensor:
        """Return logits of the candidates, or of all words if there are none."""
        if candidates.dim() == 1:
            return self.forward(words, candidates.unsqueeze(1)).squeeze(1)
        if words.dim() != 2 or candidates.dim() != 2 or words.is_floating_point() or len(words) != len(candidates):
            raise ShapeError(
                f"words must be (B, L) and candidates (B, C) or (B,), integers, got {tuple(words.shape)} {words.dtype} "
                f"and {tuple(candidates.shape)}"
            )
        hidden = self.lookup(words)
        if not candidates.shape[1]:
            logits = hidden @ self.outputs.weight.T
            return logits if self.output_bias is None else logits + self.output_bias
        rows = candidates.clamp(min=0)
        logits = _Products.apply(hidden, self.outputs.weight, rows)
        if self.input_bias is None or self.output_bias is None:
            return logits
        own = (self.input_bias[words.clamp(min=0)] * _shares(words)).sum(1, keepdim=True)
        return logits + own + self.output_bias[rows]

    def lookup(self, words: Tensor) -> Tensor:
        """Return the input vectors (B, D): the mean over words (B, L), of which -1 is padding."""
        if words.shape[1] == 1:
            return self._vectors(words[:, 0])
        share = _shares(words).to(self.inputs.weight.dtype)
        if self.subword_ids is None:
            return functional.embedding_bag(
                words.clamp(min=0), self.inputs.weight, mode="sum", per_sample_weights=share
            )
        vectors = self._vectors(words.clamp(min=0).flatten()).unflatten(0, words.shape)
        return (vectors * share.unsqueeze(2)).sum(1)

    def _vectors(self, words: Tensor) -> Tensor:
        if self.subword_ids is None:
            rows: Tensor = _Rows.apply(self.inputs.weight, words)
            return rows
        pieces = self.subword_ids[words]
        present = (pieces >= 0).to(self.inputs.weight.dtype)
        return functional.embedding_bag(pieces.clamp(min=0), self.inputs.weight, mode="sum", per_sample_weights=present)

    @torch.no_grad()
    def vectors(self) -> Tensor:
        """Return the input vectors (V, D) of all words, subwords included."""
        every = torch.arange(self.outputs.num_embeddings, device=self.inputs.weight.device)
        return self._vectors(every)


def _shares(words: Tensor) -> Tensor:
    """Return the weight (B, L) of each word in the mean of its row, 0 for padding."""
    known = words >= 0
    return known / known.sum(1, keepdim=True).clamp(min=1)


class _Products(torch.autograd.Function):
    """Products with rows of a table, without a copy of the rows.

    A copy (B, C, D) and batched products of a matrix and a vector take three times as long on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, table, rows)
        return _row_products(hidden, table, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden, table, rows = ctx.saved_tensors
        of_hidden = functional.embedding_bag(rows, table, mode="sum", per_sample_weights=gradient)
        return of_hidden, _row_sums(gradient, hidden, rows, len(table)), None


class _Rows(torch.autograd.Function):
    """Rows (B, D) of a table, with the gradient of the table as one sum."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.size = len(table)
        return table.index_select(0, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return _row_sums(gradient.new_ones(len(rows), 1), gradient, rows[:, None], ctx.size), None


def _row_products(hidden: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Return the products (B, C) of vectors (B, D) and rows (B, C) of a table (V, D)."""
    if hidden.device.type != "cpu":
        return torch.einsum("bd,bcd->bc", hidden, functional.embedding(rows, table))
    count = rows.shape[1]
    starts = torch.arange(0, rows.numel(), count, dtype=rows.dtype)
    owners = torch.arange(len(rows), dtype=rows.dtype).repeat_interleave(count)
    # torch computes these products as the gradient of the weights of a weighted sum of rows
    products: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        hidden.contiguous(), table, rows.flatten(), starts, owners, 0
    )
    return products.view(rows.shape)


def _row_sums(weights: Tensor, hidden: Tensor, rows: Tensor, size: int) -> Tensor:
    """Return the table (size, D) of sums of ``weights[b, c] * hidden[b]`` at row ``rows[b, c]``."""
    if hidden.device.type != "cpu":
        table = hidden.new_zeros(size, hidden.shape[1])
        return table.index_add_(0, rows.flatten(), (weights.unsqueeze(2) * hidden.unsqueeze(1)).flatten(0, 1))
    from scipy.sparse import csr_array

    # scipy transposes by counting, in a tenth of the time of torch's sort
    starts = np.arange(0, rows.numel() + 1, rows.shape[1], dtype=np.int32)
    columns = rows.flatten().to(torch.int32).numpy()
    by_row = csr_array((weights.flatten().numpy(), columns, starts), shape=(len(rows), size)).tocsc()
    examples, firsts = torch.from_numpy(by_row.indices), torch.from_numpy(by_row.indptr[:-1])
    # a weighted sum over the examples of each row: the products themselves are never stored
    return functional.embedding_bag(
        examples, hidden, firsts, mode="sum", per_sample_weights=torch.from_numpy(by_row.data)
    )


def _initialize(table: nn.Embedding, init: str, embedding_dim: int) -> None:
    if init == "xavier":
        nn.init.xavier_uniform_(table.weight)
    elif embedding_dim:
        nn.init.uniform_(table.weight, -0.5 / embedding_dim, 0.5 / embedding_dim)
    else:
        nn.init.zeros_(table.weight)


def ngrams_of(word: str, shortest: int, longest: int) -> list[str]:
    """Return the character n-grams of a word between ``<`` and ``>``, without the whole.

    >>> ngrams_of("where", 3, 3)
    ['<wh', 'whe', 'her', 'ere', 're>']
    """
    marked = f"<{word}>"
    lengths = range(shortest, min(longest, len(marked) - 1) + 1)
    return [marked[start : start + length] for length in lengths for start in range(len(marked) - length + 1)]


def subword_table(words: list[str], lengths: tuple[int, int], buckets: int) -> Tensor:
    """Return the rows (V, P) long of every word: its own, then those of its n-grams; -1 fills up.

    n-grams are hashed into ``buckets`` rows behind the words by FNV-1a, as fastText does.
    """
    lists = [
        [number, *(len(words) + _fnv1a(each) % buckets for each in ngrams_of(word, *lengths))]
        for number, word in enumerate(words)
    ]
    table = torch.full((len(words), max(map(len, lists))), -1)
    for row, pieces in enumerate(lists):
        table[row, : len(pieces)] = torch.tensor(pieces)
    return table


def _fnv1a(text: str) -> int:
    value = 2166136261
    for byte in text.encode():
        # fastText extends each byte with its sign
        value = ((value ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619) & 0xFFFFFFFF
    return value
