"""JoeyNMT 2.3 with models of lab in its own terms, on the data of lab.

``recurrent`` is ``seq2seq_bidir_attn``: encoder and decoder of two GRU layers, bidirectional encoder, Bahdanau
attention, the same widths, vocabularies and tied output weights. Joey's decoder also feeds its attention vector back
(``input_feeding``), its own default. ``transformer`` has the sizes of ``transformer_tiny``, with norms behind the
blocks and a tied output as there. Needs the packages ``joeynmt`` and ``subword-nmt`` (``pip install --no-deps``).
"""

from __future__ import annotations

import copy
import logging
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = ["JoeyTranslation"]

_IDS = {0: 2, 1: 1, 2: 3, 3: 0}  # lab's bos, pad, eos, unk in Joey's vocabulary


class JoeyTranslation:
    """Joey's model for lab's data, for training steps and translations.

    Args:
        data: a ``TranslationData``.
        lr: Adam's learning rate.
        model: which of the two.
    """

    def __init__(
        self, data: Any, lr: float = 1e-3, *, model: Literal["recurrent", "transformer"] = "recurrent"
    ) -> None:
        logging.getLogger("joeynmt").setLevel(logging.WARNING)
        from joeynmt.model import build_model

        settings = copy.deepcopy(_CONFIGURATIONS[model])
        self.model = build_model(settings, _vocabulary(data.source_vocab), _vocabulary(data.target_vocab))
        self.model.loss_function = ("crossentropy", 0.0)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)

    def train(self, batch: Any) -> float:
        """Train one step like Joey's ``TrainManager``, with the loss per token."""
        self.model.train()
        joeys = _batch(batch.source, batch.target)
        joeys.sort_by_src_length()
        loss, _, _, correct = self.model(return_type="loss", **vars(joeys))
        mean = joeys.normalize(loss, normalization="tokens")
        mean.backward()
        mean, _ = mean.item(), correct.item()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(mean)

    @torch.no_grad()
    def translate(self, source: Tensor, beam: int, max_length: int, *, at_least: int = 1) -> list[list[int]]:
        """Return lab's ids of the best translation of each sentence of (S, B), without ``eos``."""
        from joeynmt.search import search

        self.model.eval()
        batch = _batch(source, None)
        back = batch.sort_by_src_length()
        found, _, _ = search(
            self.model, batch, max_output_length=max_length, beam_size=beam, beam_alpha=1.0, min_output_length=at_least
        )
        labs = {joeys: ours for ours, joeys in _IDS.items()}
        rows = [[labs.get(token, token) for token in row] for row in found[back].tolist()]
        return [row[: row.index(2)] if 2 in row else row for row in rows]


def _batch(source: Tensor, target: Tensor | None) -> Any:
    from joeynmt.batch import Batch

    source, lengths = _joeys(source), (source != 1).sum(0)
    if target is not None:
        target = torch.cat([torch.full_like(target[:1], 2), _joeys(target).t()]).t()
    return Batch(source.contiguous(), lengths, None, target, None, torch.arange(len(source)), torch.device("cpu"), 1, 3)


def _joeys(ids: Tensor) -> Tensor:
    """Convert (T, B) of lab's ids to (B, T) of Joey's."""
    table = torch.arange(int(ids.max()) + 5)
    for ours, joeys in _IDS.items():
        table[ours] = joeys
    return table[ids].t()


def _vocabulary(vocabulary: Any) -> Any:
    from joeynmt.vocabulary import Vocabulary

    special = SimpleNamespace(
        unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>", sep_token=None, lang_tags=[],
        unk_id=0, pad_id=1, bos_id=2, eos_id=3, sep_id=None,
    )  # fmt: skip
    return Vocabulary(list(vocabulary.words[4:]), special)


_SHARED = {
    "initializer": "xavier_uniform",
    "bias_initializer": "zeros",
    "embed_initializer": "normal",
    "tied_softmax": True,
}
_BLOCKS = {
    "type": "transformer",
    "num_layers": 4,
    "num_heads": 4,
    "hidden_size": 128,
    "ff_size": 256,
    "dropout": 0.1,
    "layer_norm": "post",
    "embeddings": {"embedding_dim": 128, "scale": True, "dropout": 0.1},
}
_CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "recurrent": {
        **_SHARED,
        "embed_init_weight": 0.1,
        "encoder": {
            "type": "recurrent",
            "rnn_type": "gru",
            "bidirectional": True,
            "num_layers": 2,
            "hidden_size": 256,
            "dropout": 0.25,
            "embeddings": {"embedding_dim": 300, "scale": False, "dropout": 0.15},
        },
        "decoder": {
            "type": "recurrent",
            "rnn_type": "gru",
            "num_layers": 2,
            "hidden_size": 300,
            "attention": "bahdanau",
            "init_hidden": "bridge",
            "input_feeding": True,
            "dropout": 0.1,
            "hidden_dropout": 0.35,
            "embeddings": {"embedding_dim": 300, "scale": False, "dropout": 0.0},
        },
    },
    # 128 ** -0.5, as lab draws embeddings
    "transformer": {**_SHARED, "embed_init_weight": 0.088, "encoder": _BLOCKS, "decoder": _BLOCKS},
}
