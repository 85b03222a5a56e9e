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

    @torch.no_grad()
    def take(self, ours: Any) -> None:
        """Take the weights of lab's ``Transformer``; the rows of special words change places, as their ids do."""
        theirs = self.model
        theirs.src_embed.lut.weight.copy_(_rows(ours.source_embedding.weight))
        theirs.trg_embed.lut.weight.copy_(_rows(ours.target_embedding.weight))
        if theirs.decoder.output_layer.bias is not None:
            theirs.decoder.output_layer.bias.copy_(_rows(ours.output.bias))
        for block, layer in zip(ours.encoder, theirs.encoder.layers, strict=True):
            _take_attention(layer.src_src_att, block.attention)
            _take_feed_forward(layer.feed_forward, block)
            layer.layer_norm.load_state_dict(block.attention_norm.state_dict())
        for block, layer in zip(ours.decoder, theirs.decoder.layers, strict=True):
            _take_attention(layer.trg_trg_att, block.attention)
            _take_attention(layer.src_trg_att, block.cross)
            _take_feed_forward(layer.feed_forward, block)
            layer.x_layer_norm.load_state_dict(block.attention_norm.state_dict())
            layer.dec_layer_norm.load_state_dict(block.cross_norm.state_dict())

    @torch.no_grad()
    def loss(self, batch: Any) -> float:
        """Return the loss per token of a batch, without dropout."""
        self.model.eval()
        joeys = _batch(batch.source, batch.target)
        loss, _, _, _ = self.model(return_type="loss", **vars(joeys))
        return float(joeys.normalize(loss, normalization="tokens"))

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


def _rows(rows: Tensor) -> Tensor:
    """Return the rows (V, …) by lab's ids in the order of Joey's."""
    order = torch.arange(len(rows))
    for ours, joeys in _IDS.items():
        order[joeys] = ours
    return rows[order]


def _take_attention(theirs: Any, ours: Any) -> None:
    for name in ("query", "key", "value", "output"):
        layer = theirs.output_layer if name == "output" else getattr(theirs, f"{name[0]}_layer")
        layer.load_state_dict(getattr(ours, name).state_dict())


def _take_feed_forward(theirs: Any, block: Any) -> None:
    theirs.pwff_layer[0].load_state_dict(block.feed_forward.inner.state_dict())
    theirs.pwff_layer[3].load_state_dict(block.feed_forward.outer.state_dict())
    theirs.layer_norm.load_state_dict(block.feed_forward_norm.state_dict())


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
