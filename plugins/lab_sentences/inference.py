"""Decomposable attention for pairs of texts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lab.errors import ParameterError
from lab.training.rng import part
from lab_sentences.embeddings import Embeddings, WordEmbedding
from lab_sentences.models import check_tokens, mask_of

__all__ = ["Alignment", "DecomposableAttention"]

_SAME_WORD = 3.0


class Alignment(NamedTuple):
    """Soft alignment of two texts; padding has the weight 0.

    Attributes:
        forward: (B, T, S), of each word of the first text over those of the second; rows sum to 1.
        backward: (B, S, T), of each word of the second over those of the first.
    """

    forward: Tensor
    backward: Tensor


class DecomposableAttention(nn.Module):
    """Attend, compare, aggregate (Parikh et al. 2016, arXiv:1606.01933, section 3).

    Words ``a`` of the first text are aligned with the words ``b`` of the second, ``e_ij = F(a_i) · F(b_j)``; each word
    is compared with the mean of what it is aligned with, ``G([a_i, β_i])``; the sums of both sides are classified,
    ``H([v_1, v_2])``. F, G and H are networks of two layers. Each of the three steps can be left out.

    Differs from the paper: words are projected to no other width first, and there is no NULL word. ``same_word`` is
    not in the paper, whose 300-dimensional vectors of 840 billion words bring identical and related words together;
    with vectors that are learned from a few thousand pairs, most words are too rare for that. ``scale_scores`` is that
    of Vaswani et al. 2017 (arXiv:1706.03762, section 3.2.1).

    Args:
        vocab_size: words V.
        output_size: classes C, or 1 for numbers.
        pad_id: of padding; other words of a text stand before it.
        word_vectors: (V, D) to start from, or None.
        text_count: must be 2.
        attend: align; otherwise all words of the other text weigh the same.
        compare: the network G; otherwise the sums are of ``[a_i, β_i]`` itself.
        aggregate: the network H before the last linear layer.
        hidden_size: width of the networks.
        embedding_dim: width of the embedding; that of ``word_vectors`` if there are some.
        embeddings: ``trained``, ``frozen``, or ``both`` side by side.
        dropout: probability before each linear layer of the networks.
        embedding_dropout: probability on the vectors of words.
        scale_scores: divide the scores by the root of ``hidden_size``.
        same_word: add a learned number, at first 3, to the score of two identical words, and tell G of each word
            whether the other text has it (the exact match of Chen et al. 2017, arXiv:1704.00051, section 3.2). Words
            outside of the vocabulary count as one word.

    Shapes:
        tokens (B, T) long, pair_tokens (B, S) long → logits (B, C)

    Raises:
        ParameterError: the data have one text per example, or a parameter is out of range.
    """

    def __init__(
        self,
        vocab_size: int,
        output_size: int,
        pad_id: int,
        word_vectors: Tensor | None,
        text_count: int,
        *,
        attend: bool = True,
        compare: bool = True,
        aggregate: bool = True,
        hidden_size: int = 200,
        embedding_dim: int = 100,
        embeddings: Embeddings = "trained",
        dropout: float = 0.2,
        embedding_dropout: float = 0.0,
        scale_scores: bool = False,
        same_word: bool = False,
    ) -> None:
        super().__init__()
        where = "architecture 'decomposable_attention'"
        if text_count != 2:
            raise ParameterError(
                "decomposable attention compares two texts, and the data have one",
                where=where,
                hint="a corpus of pairs such as snli, or dataset.text_pair=COLUMN",
            )
        if min(hidden_size, embedding_dim) < 1 or not 0 <= dropout < 1 or not 0 <= embedding_dropout < 1:
            raise ParameterError(
                f"hidden_size={hidden_size}, embedding_dim={embedding_dim}, dropout={dropout}, "
                f"embedding_dropout={embedding_dropout}",
                where=where,
                hint="sizes are at least 1, dropout in [0, 1)",
            )
        self.pad_id = pad_id
        with part("embedding"):
            self.embedding = WordEmbedding(vocab_size, pad_id, word_vectors, embedding_dim, embeddings)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.scale = hidden_size**-0.5 if scale_scores else 1.0
        self.sees_same_word = same_word
        self.same_word = nn.Parameter(torch.tensor(_SAME_WORD)) if same_word and attend else None
        width = self.embedding.output_size
        with part("attend"):
            self.attend = _network(width, hidden_size, dropout) if attend else None
        aligned = 2 * width + (1 if same_word else 0)
        with part("compare"):
            self.compare = _network(aligned, hidden_size, dropout) if compare else None
        compared = hidden_size if compare else aligned
        with part("aggregate"):
            self.aggregate = _network(2 * compared, hidden_size, dropout) if aggregate else None
        with part("head"):
            self.head = nn.Linear(hidden_size if aggregate else 2 * compared, output_size)

    def align(self, tokens: Tensor, pair_tokens: Tensor) -> Alignment:
        """Return the alignment of the words of two texts."""
        check_tokens(tokens)
        check_tokens(pair_tokens, "pair_tokens")
        return self._align(
            self.embedding(tokens),
            self.embedding(pair_tokens),
            mask_of(tokens, self.pad_id),
            mask_of(pair_tokens, self.pad_id),
            self._same(tokens, pair_tokens),
        )

    def _same(self, tokens: Tensor, pair_tokens: Tensor) -> Tensor | None:
        """Return (B, T, S), True for two identical words, if the model uses them; padding equals nothing."""
        if not self.sees_same_word:
            return None
        return (tokens.unsqueeze(2) == pair_tokens.unsqueeze(1)) & (tokens != self.pad_id).unsqueeze(2)

    def _align(self, a: Tensor, b: Tensor, mask_a: Tensor, mask_b: Tensor, same: Tensor | None) -> Alignment:
        if self.attend is None:
            scores = a.new_zeros(a.shape[0], a.shape[1], b.shape[1])
        else:
            scores = self.scale * (self.attend(a) @ self.attend(b).transpose(1, 2))
            if self.same_word is not None:
                scores = scores + self.same_word * same
        forward = scores.masked_fill(~mask_b.unsqueeze(1), -torch.inf).softmax(2)
        backward = scores.transpose(1, 2).masked_fill(~mask_a.unsqueeze(1), -torch.inf).softmax(2)
        return Alignment(forward, backward)

    def forward(self, tokens: Tensor, pair_tokens: Tensor) -> Tensor:
        """Return the logits of the classes."""
        check_tokens(tokens)
        check_tokens(pair_tokens, "pair_tokens")
        mask_a, mask_b = mask_of(tokens, self.pad_id), mask_of(pair_tokens, self.pad_id)
        a, b = (self.embedding_dropout(self.embedding(each)) for each in (tokens, pair_tokens))
        same = self._same(tokens, pair_tokens)
        forward, backward = self._align(a, b, mask_a, mask_b, same)
        found = ([], []) if same is None else ([same.any(2, keepdim=True)], [same.any(1).unsqueeze(2)])
        sides = []
        for own, other, shared, mask in ((a, forward @ b, found[0], mask_a), (b, backward @ a, found[1], mask_b)):
            compared = torch.cat([own, other, *(each.to(own.dtype) for each in shared)], 2)
            compared = compared if self.compare is None else self.compare(compared)
            sides.append((compared * mask.unsqueeze(2)).sum(1))
        both = torch.cat(sides, 1)
        logits: Tensor = self.head(both if self.aggregate is None else self.aggregate(both))
        return logits


def _network(input_size: int, hidden_size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in (input_size, hidden_size):
        layers += [nn.Dropout(dropout), nn.Linear(size, hidden_size), nn.ReLU()]
    return nn.Sequential(*layers)
