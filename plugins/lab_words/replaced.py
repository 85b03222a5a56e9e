"""Pretext task on windows of words: was the middle word replaced?

fast.ai 2018 uses it to show that vectors learn from a task without labels.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
import torch
from lab_basics.notes import counted, log_notes
from torch import Tensor, nn

from lab.errors import DataError, ParameterError, ShapeError
from lab.training.rng import derive_seed, part
from lab_words.corpora import read_sentences
from lab_words.data import WordData, as_it_is, encode
from lab_words.vocabulary import WordVocabulary

__all__ = ["WindowBatch", "WindowClassifier", "Windows", "replaced_middle"]


class WindowBatch(NamedTuple):
    """A batch of windows.

    Attributes:
        words: (B, W) long.
        target: (B,) float, 1 where the middle word was replaced.
    """

    words: Tensor
    target: Tensor


class Windows:
    """Dataset of windows, fetched a batch at a time: words (N, W) int32 and target (N,) float."""

    def __init__(self, words: Tensor, target: Tensor) -> None:
        self.words, self.target = words, target

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> WindowBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        return self.__getitems__([index])

    def __getitems__(self, indices: Any) -> WindowBatch:
        """Return windows as a batch."""
        chosen = torch.from_numpy(np.asarray(indices, np.int64))
        return WindowBatch(self.words[chosen].long(), self.target[chosen])


def replaced_middle(
    corpus: str = "embedded",
    *,
    path: str | None = None,
    min_freq: int = 10,
    width: int = 11,
    valid_share: float = 0.1,
    seed: int = 0,
) -> WordData:
    """Windows of consecutive words whose middle word is replaced by a random one in half of them.

    Windows run over the ends of sentences, and replacements are drawn uniformly from the other words.

    Args:
        corpus: as in ``word_pairs``.
        path: a text file to use instead of a corpus.
        min_freq: rarer words are left out.
        width: words per window, odd.
        valid_share: fraction of the sentences that validates, in (0, 1).
        seed: of the replacements.

    Raises:
        DataError: a part has fewer known words than a window, or no word is frequent enough.
        ParameterError: a parameter is out of range.
    """
    if width < 3 or width % 2 == 0 or min_freq < 1 or not 0 < valid_share < 1:
        raise ParameterError(
            f"width={width}, min_freq={min_freq}, valid_share={valid_share}",
            where="dataset 'replaced_middle'",
            hint="width is odd and at least 3, min_freq at least 1, valid_share in (0, 1)",
        )
    train, valid, name = read_sentences(corpus, path, valid_share)
    vocab = WordVocabulary.of(train, min_freq, name)
    digest, splits = hashlib.sha256("\0".join(vocab.words).encode()), []
    for label, sentences in (("train", train), ("valid", valid)):
        ids, _ = encode(sentences, vocab)
        if len(ids) < width:
            raise DataError(
                f"the {label} part has {counted(len(ids), 'known word')}, fewer than a window of {width}",
                where=name,
                hint="use a longer text, a lower min_freq or a smaller width",
            )
        windows = np.lib.stride_tricks.sliding_window_view(ids, width).copy()
        generator = np.random.default_rng(derive_seed(seed, "words", "replaced", label))
        replaced = generator.random(len(windows)) < 0.5
        # a shift that is never 0 modulo V draws uniformly from the other words
        shift = generator.integers(1, len(vocab), len(windows))
        middle = windows[:, width // 2]
        windows[:, width // 2] = np.where(replaced, (middle + shift) % len(vocab), middle)
        digest.update(windows.tobytes())
        splits.append(Windows(torch.from_numpy(windows), torch.from_numpy(replaced.astype(np.float32))))
    notes = [f"{counted(len(vocab), 'word')}, {counted(len(splits[0]), 'window')} to train on"]
    log_notes(name, notes, [])
    return WordData(
        *splits,
        collate=as_it_is,
        fingerprint=digest.hexdigest(),
        vocab=vocab,
        vocab_size=len(vocab),
        sentence_count=len(train),
        notes=tuple(notes),
    )


class WindowClassifier(nn.Module):
    """Network with one hidden layer on the middle word's vector and the mean of the others.

    Args:
        vocab_size: words V.
        embedding_dim: width of the vectors.
        hidden_size: width of the hidden layer.

    Shapes:
        words (B, W) long → logits (B,)
    """

    def __init__(self, vocab_size: int, *, embedding_dim: int = 50, hidden_size: int = 100) -> None:
        super().__init__()
        with part("inputs"):
            self.inputs = nn.Embedding(vocab_size, embedding_dim)
            nn.init.xavier_uniform_(self.inputs.weight)
        with part("outputs"):
            self.middle = nn.Linear(embedding_dim, hidden_size)
            self.around = nn.Linear(embedding_dim, hidden_size, bias=False)
            self.outputs = nn.Linear(hidden_size, 1)

    def forward(self, words: Tensor) -> Tensor:
        """Return one logit per window."""
        if words.dim() != 2 or words.is_floating_point():
            raise ShapeError(f"words must be (B, W) integers, got {tuple(words.shape)} {words.dtype}")
        vectors, center = self.inputs(words), words.shape[1] // 2
        others = (vectors.sum(1) - vectors[:, center]) / max(1, words.shape[1] - 1)
        logits: Tensor = self.outputs(torch.relu(self.middle(vectors[:, center]) + self.around(others)))
        return logits.squeeze(1)

    @torch.no_grad()
    def vectors(self) -> Tensor:
        """Return the vectors (V, D) of all words."""
        return self.inputs.weight.detach()
