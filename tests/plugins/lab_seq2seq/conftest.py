from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import attrs
import pytest
import torch
from lab_seq2seq.models import Seq2SeqRNN
from lab_text.vocabulary import Vocabulary
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lab.training import Data

BOS, PAD, EOS = 0, 1, 2
FACTS = {"source_vectors": None, "target_vectors": None, "pad_id": PAD, "bos_id": BOS, "eos_id": EOS}
NO_DROPOUT = dict.fromkeys(
    ["embedding_dropout", "encoder_dropout", "bridge_dropout", "decoder_dropout", "output_dropout"], 0.0
)


class Batch(NamedTuple):
    source: Tensor
    target: Tensor
    references: tuple[str, ...]


class Split(list):
    """(source ids, target ids, reference) triples."""


@attrs.define(eq=False, kw_only=True)
class ToyTranslation(Data):
    """French letters, read backwards as English ones: ``a b c`` is ``C B A``."""

    source_vocab: Vocabulary
    target_vocab: Vocabulary
    source_vocab_size: int
    target_vocab_size: int
    source_vectors: Tensor | None = None
    target_vectors: Tensor | None = None
    bos_id: int = BOS
    pad_id: int = PAD
    eos_id: int = EOS
    max_length: int = 9

    def encode(self, texts: Sequence[str]) -> Tensor:
        ids = [torch.tensor([*self.source_vocab.ids(text.split()), EOS]) for text in texts]
        return pad_sequence(ids, padding_value=PAD)

    def decode(self, ids: Tensor) -> list[str]:
        return [" ".join(self.target_vocab.tokens(column)) for column in ids.T.tolist()]


def collate(samples: Sequence[tuple[Tensor, Tensor, str]]) -> Batch:
    sources, targets, references = zip(*samples, strict=True)
    padded = [pad_sequence(list(ids), padding_value=PAD) for ids in (sources, targets)]
    return Batch(padded[0], padded[1], tuple(references))


def toy_data(size: int = 64, letters: str = "abcdef", longest: int = 5) -> ToyTranslation:
    generator = torch.Generator().manual_seed(0)
    vocabularies = Vocabulary(list(letters)), Vocabulary(list(letters.upper()))
    samples = Split()
    for _ in range(size):
        length = int(torch.randint(2, longest + 1, (), generator=generator))
        words = [letters[place] for place in torch.randint(len(letters), (length,), generator=generator).tolist()]
        answer = [word.upper() for word in reversed(words)]
        ids = [
            torch.tensor([*vocabulary.ids(tokens), EOS])
            for vocabulary, tokens in zip(vocabularies, (words, answer), strict=True)
        ]
        samples.append((ids[0], ids[1], " ".join(answer)))
    sizes = {"source_vocab_size": len(vocabularies[0]), "target_vocab_size": len(vocabularies[1])}
    return ToyTranslation(
        train=samples,
        valid=Split(samples[: size // 4]),
        collate=collate,
        fingerprint="toy",
        source_vocab=vocabularies[0],
        target_vocab=vocabularies[1],
        **sizes,
    )


def small_model(data: Any = None, *, vocab: int = 20, **options: Any) -> Seq2SeqRNN:
    sizes = (vocab, vocab) if data is None else (data.source_vocab_size, data.target_vocab_size)
    defaults = {"embedding_dim": 12, "hidden_size": 10, **NO_DROPOUT}
    return Seq2SeqRNN(*sizes, **FACTS, max_length=9, **{**defaults, **options})


def ragged_batch(vocab: int = 20, batch: int = 6, longest: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Source (S, B) and target (T, B) of sentences of many lengths, in no order."""
    generator = torch.Generator().manual_seed(seed)
    sides = []
    for steps in (longest, longest + 1):
        ids = torch.randint(4, vocab, (steps, batch), generator=generator)
        lengths = torch.randint(1, steps + 1, (batch,), generator=generator)
        lengths[batch // 2] = steps
        ids[lengths - 1, torch.arange(batch)] = EOS
        ids[torch.arange(steps).unsqueeze(1) >= lengths] = PAD
        sides.append(ids)
    return sides[0], sides[1]


@pytest.fixture(autouse=True)
def one_thread_and_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def data() -> ToyTranslation:
    return toy_data()


@pytest.fixture
def make_model() -> Callable[..., Seq2SeqRNN]:
    return small_model


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return ragged_batch()
