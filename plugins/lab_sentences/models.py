"""Models of texts and of pairs of them: classifier, similarity."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Literal

import torch
from lab_text.encoders import TextEncoder
from torch import Tensor, nn

from lab.errors import ParameterError, ShapeError
from lab.training.rng import part
from lab_sentences.embeddings import Embeddings, WordEmbedding
from lab_sentences.encoders import encoder_factory
from lab_sentences.poolings import Pooling, pooling_factory

__all__ = ["Head", "TextClassifier", "TextSimilarity", "check_count", "check_tokens", "mask_of", "reversed_words"]


def check_tokens(tokens: Tensor, name: str = "tokens") -> None:
    """Raise a ShapeError unless tokens are (B, T) integers."""
    if tokens.dim() != 2 or tokens.is_floating_point():
        raise ShapeError(f"{name} must be (B, T) integers, got {tuple(tokens.shape)} {tokens.dtype}")


def mask_of(tokens: Tensor, pad_id: int) -> Tensor:
    """Return the mask (B, T) of words; a text of padding alone has one, so that there is something to pool."""
    mask = tokens != pad_id
    return mask | (~mask.any(1, keepdim=True) & (torch.arange(tokens.shape[1], device=tokens.device) == 0))


def reversed_words(tokens: Tensor, pad_id: int) -> Tensor:
    """Return tokens (B, T) with the words of each text in reverse order; padding stays where it is.

    >>> reversed_words(torch.tensor([[0, 0, 5, 6, 7], [8, 9, 0, 0, 0]]), 0)
    tensor([[0, 0, 7, 6, 5],
            [9, 8, 0, 0, 0]])
    """
    is_word = tokens != pad_id
    places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    # padding stands before the words or behind them, never between
    first = is_word.int().argmax(1, keepdim=True)
    last = first + is_word.sum(1, keepdim=True) - 1
    return tokens.gather(1, torch.where(is_word, first + last - places, places))


class Head(nn.Module):
    """Last layers: linear; or batch norm, dropout and linear, twice, with a ReLU between (fast.ai's pooling head).

    Args:
        input_size: width of the input.
        output_size: width of the output.
        hidden_size: width between; 0 for a linear layer alone.
        dropout: probability before each linear layer.
    """

    def __init__(self, input_size: int, output_size: int, hidden_size: int = 0, dropout: float = 0.3) -> None:
        super().__init__()
        sizes = [input_size, *([hidden_size] if hidden_size else []), output_size]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.ReLU()] if layers else []
            layers += [nn.BatchNorm1d(before)] if hidden_size else []
            layers += [nn.Dropout(dropout), nn.Linear(before, after)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, output_size) of (B, input_size)."""
        result: Tensor = self.layers(x)
        return result


class _TextModel(nn.Module):
    """Embedding, encoder and pooling, shared by the texts of a pair."""

    def __init__(
        self,
        vocab_size: int,
        pad_id: int,
        word_vectors: Tensor | None,
        encoder: str | Callable[..., TextEncoder],
        pooling: str | Callable[..., Pooling],
        embedding_dim: int,
        embeddings: Embeddings,
        dropout: float,
        where: str,
    ) -> None:
        super().__init__()
        if embedding_dim < 1 or not 0 <= dropout < 1:
            raise ParameterError(
                f"embedding_dim={embedding_dim}, dropout={dropout}",
                where=where,
                hint="embedding_dim is at least 1, dropout in [0, 1)",
            )
        self.pad_id = pad_id
        with part("embedding"):
            self.embedding = WordEmbedding(vocab_size, pad_id, word_vectors, embedding_dim, embeddings)
        with part("encoder"):
            self.encoder = encoder_factory(encoder)(input_size=self.embedding.output_size)
        with part("pooling"):
            self.pooling = pooling_factory(pooling)(input_size=self.encoder.output_size)
        self.dropout = nn.Dropout(dropout)

    def layer_groups(self) -> list[Any]:
        """Return embedding, the encoder's groups, and the rest; one group if the encoder names none."""
        named = getattr(self.encoder, "layer_groups", None)
        if named is None:
            return [self]
        own = [weight for name, weight in self.named_parameters() if not name.startswith(("embedding.", "encoder."))]
        return [[self.embedding], *named(), own]

    def encode(self, tokens: Tensor, name: str = "tokens") -> Tensor:
        """Return one vector per text, (B, W)."""
        check_tokens(tokens, name)
        mask = mask_of(tokens, self.pad_id)
        pooled: Tensor = self.pooling(self.encoder(self.dropout(self.embedding(tokens)), mask), mask)
        return pooled


def check_count(text_count: int, pair_tokens: Tensor | None) -> None:
    """Raise a ShapeError unless a model of two texts has both, and one of one text has no other."""
    if (pair_tokens is not None) != (text_count == 2):
        raise ShapeError(
            f"this model takes {text_count} text{'s' if text_count == 2 else ''} per example",
            hint="build it with text_count=2 for pairs, 1 otherwise",
        )


class TextClassifier(_TextModel):
    """Embedding, encoder, pooling, and a linear layer; of a pair, both texts u and v go through the same encoder.

    The head of pairs sees ``[u, v, |u − v|, u · v]`` (Conneau et al. 2017, arXiv:1705.02364, section 3.1).

    Args:
        vocab_size: words V.
        output_size: classes C, or 1 for numbers.
        pad_id: of padding; other words of a text stand before it.
        word_vectors: (V, D) to start from, or None.
        text_count: 2 for pairs, else 1.
        encoder: name or factory, called with ``input_size``.
        pooling: name or factory, called with ``input_size``.
        embedding_dim: width of the embedding; that of ``word_vectors`` if there are some.
        embeddings: ``trained``, ``frozen``, or ``both`` side by side.
        head_size: width of a hidden layer behind the pooling; 0 for none.
        reads: of a pair, ``both`` texts, or the ``first`` or ``second`` alone: how much needs no comparison?
        dropout: probability, on the embedding and on the pooled vector.
        backward: read texts from their end, as the second model of the fast.ai lesson's forward and backward ensemble
            (Howard & Ruder 2018, arXiv:1801.06146, section 3.3). The other half is ``Study.ensemble``.

    Shapes:
        tokens (B, T) long, of pairs also pair_tokens (B, S) long → logits (B, C)
    """

    former_weights = (
        ("embedding.weight", "embedding.trained.weight"),
        ("head.weight", "head.layers.1.weight"),
        ("head.bias", "head.layers.1.bias"),
    )

    def __init__(
        self,
        vocab_size: int,
        output_size: int,
        pad_id: int,
        word_vectors: Tensor | None,
        text_count: int,
        *,
        encoder: str | Callable[..., TextEncoder] = "bag_of_words",
        pooling: str | Callable[..., Pooling] = "mean",
        embedding_dim: int = 100,
        embeddings: Embeddings = "trained",
        head_size: int = 0,
        reads: Literal["both", "first", "second"] = "both",
        dropout: float = 0.3,
        backward: bool = False,
    ) -> None:
        where = "architecture 'text_classifier'"
        if reads != "both" and text_count != 2:
            raise ParameterError(
                f"reads='{reads}', and the data have one text", where=where, hint="dataset.text_pair=COLUMN"
            )
        if head_size < 0:
            raise ParameterError(f"head_size={head_size}, at least 0", where=where)
        super().__init__(vocab_size, pad_id, word_vectors, encoder, pooling, embedding_dim, embeddings, dropout, where)
        self.text_count, self.reads, self.backward = text_count, reads, backward
        width = self.pooling.output_size * (4 if text_count == 2 and reads == "both" else 1)
        with part("head"):
            self.head = Head(width, output_size, head_size, dropout)

    def forward(self, tokens: Tensor, pair_tokens: Tensor | None = None) -> Tensor:
        """Return the logits of the classes."""
        check_count(self.text_count, pair_tokens)
        if pair_tokens is not None and self.reads == "second":
            tokens = pair_tokens
        u = self.encode(tokens)
        if pair_tokens is not None and self.reads == "both":
            v = self.encode(pair_tokens, "pair_tokens")
            u = torch.cat([u, v, (u - v).abs(), u * v], 1)
        logits: Tensor = self.head(u)
        return logits

    def encode(self, tokens: Tensor, name: str = "tokens") -> Tensor:
        """Return one vector per text, (B, W)."""
        if self.backward:
            check_tokens(tokens, name)
            tokens = reversed_words(tokens, self.pad_id)
        return super().encode(tokens, name)


class TextSimilarity(_TextModel):
    """Similarity of two texts: the cosine of their vectors, stretched to the range of the labels.

    A "bi-encoder": each text is encoded once, by the same encoder, and compared with any other. The prediction is
    ``scale · cos(u, v) + offset``, which are learned from a start at which a cosine of 0 is the lowest label and 1
    the highest.

    Args:
        vocab_size: words V.
        pad_id: of padding; other words of a text stand before it.
        word_vectors: (V, D) to start from, or None.
        text_count: must be 2.
        target_range: lowest and highest label.
        encoder: name or factory, called with ``input_size``.
        pooling: name or factory, called with ``input_size``.
        embedding_dim: width of the embedding; that of ``word_vectors`` if there are some.
        embeddings: ``trained``, ``frozen``, or ``both`` side by side.
        dropout: probability, on the embedding.

    Shapes:
        tokens (B, T) long, pair_tokens (B, S) long → (B,)

    Raises:
        ParameterError: the data have one text per example.
    """

    def __init__(
        self,
        vocab_size: int,
        pad_id: int,
        word_vectors: Tensor | None,
        text_count: int,
        target_range: tuple[float, float],
        *,
        encoder: str | Callable[..., TextEncoder] = "bag_of_words",
        pooling: str | Callable[..., Pooling] = "mean",
        embedding_dim: int = 100,
        embeddings: Embeddings = "trained",
        dropout: float = 0.1,
    ) -> None:
        where = "architecture 'text_similarity'"
        if text_count != 2:
            raise ParameterError(
                "similarity is of two texts, and the data have one", where=where, hint="dataset.text_pair=COLUMN"
            )
        super().__init__(vocab_size, pad_id, word_vectors, encoder, pooling, embedding_dim, embeddings, dropout, where)
        low, high = target_range
        self.scale = nn.Parameter(torch.tensor(float(high - low)))
        self.offset = nn.Parameter(torch.tensor(float(low)))

    def forward(self, tokens: Tensor, pair_tokens: Tensor) -> Tensor:
        """Return the similarity of each pair."""
        cosine = torch.cosine_similarity(self.encode(tokens), self.encode(pair_tokens, "pair_tokens"), dim=1)
        return self.scale * cosine + self.offset
