"""Training a Transformer on Multi30k, against a plain loop around ``torch.nn.Transformer``, and against JoeyNMT.

The plain side is the usual one of tutorials: padded batches, logits of every position, cross-entropy that ignores
padding, ``torch.optim.Adam``, no settings of the process. Both sides have the sizes of ``transformer_tiny``, one tied
output, the same initial weights, random batches and two threads, and take their steps in turns. JoeyNMT has the same
model in its own terms, but for the biases of the output, where it is installed.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from lab_attention.positions import SinusoidalPositions
from lab_basics.optimizers import adam
from lab_basics.samplers import Shuffle
from lab_seq2seq.losses import seq2seq_loss
from lab_seq2seq.transformer import Transformer
from lab_text.parallel import multi30k
from torch import Tensor, nn
from torch.nn import functional

from lab.training.cpu import configured_cpu
from tests.benchmarks.test_sequence_training import JOEY, PAD, THREADS, batches

WIDTH, HEADS, LAYERS, FEED_FORWARD, DROPOUT = 128, 4, 4, 256, 0.1

pytestmark = pytest.mark.skipif(not os.environ.get("LAB_DATA"), reason="LAB_DATA is not set: no Multi30k here")


class PlainTransformer(nn.Module):
    """``nn.Transformer`` with embeddings, sinusoidal positions and a tied output: (S, B), (T, B) -> (B, T, V).

    Without the norm that ``nn.Transformer`` has behind each stack of its own, which neither lab nor the paper has.
    """

    def __init__(self, data: Any) -> None:
        super().__init__()
        self.bos_id = data.bos_id
        self.source = nn.Embedding(data.source_vocab_size, WIDTH, padding_idx=PAD)
        self.target = nn.Embedding(data.target_vocab_size, WIDTH, padding_idx=PAD)
        self.positions, self.dropout = SinusoidalPositions(WIDTH, HEADS), nn.Dropout(DROPOUT)
        sizes = (WIDTH, HEADS, FEED_FORWARD, DROPOUT)
        layer = nn.TransformerEncoderLayer(*sizes, batch_first=True)
        # Nested tensors, which only evaluation uses, warn that they are a prototype.
        encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(*sizes, batch_first=True), LAYERS)
        self.transformer = nn.Transformer(
            WIDTH, HEADS, custom_encoder=encoder, custom_decoder=decoder, batch_first=True
        )
        self.output = nn.Linear(WIDTH, data.target_vocab_size)
        for embedding in (self.source, self.target):
            nn.init.normal_(embedding.weight, std=WIDTH**-0.5)
        self.output.weight = self.target.weight

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        source = source.t()
        inputs = torch.cat([torch.full_like(target[:1], self.bos_id), target[:-1]]).t()
        words, written = (
            self.dropout(self.positions.add(embedding(ids) * math.sqrt(WIDTH)))
            for embedding, ids in ((self.source, source), (self.target, inputs))
        )
        features = self.transformer(
            words,
            written,
            tgt_mask=torch.ones(2 * (inputs.shape[1],), dtype=torch.bool).triu(1),
            src_key_padding_mask=source == PAD,
            memory_key_padding_mask=source == PAD,
            tgt_is_causal=True,
        )
        return self.output(features)


def equal_plain(ours: Transformer, data: Any) -> PlainTransformer:
    """Return a ``PlainTransformer`` with the weights of ``ours``."""
    theirs = PlainTransformer(data)
    theirs.source.load_state_dict(ours.source_embedding.state_dict())
    theirs.target.load_state_dict(ours.target_embedding.state_dict())
    theirs.output.bias.data.copy_(ours.output.bias)
    encoder: Any = theirs.transformer.encoder
    decoder: Any = theirs.transformer.decoder
    for block, layer in zip(ours.encoder, encoder.layers, strict=True):
        _copy_attention(block.attention, layer.self_attn)
        _copy_rest(block, layer, [block.attention_norm, block.feed_forward_norm])
    for block, layer in zip(ours.decoder, decoder.layers, strict=True):
        _copy_attention(block.attention, layer.self_attn)
        _copy_attention(block.cross, layer.multihead_attn)
        _copy_rest(block, layer, [block.attention_norm, block.cross_norm, block.feed_forward_norm])
    return theirs


@torch.no_grad()
def _copy_attention(ours: Any, theirs: nn.MultiheadAttention) -> None:
    parts = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.copy_(torch.cat([each.weight for each in parts]))
    theirs.in_proj_bias.copy_(torch.cat([each.bias for each in parts]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def _copy_rest(ours: Any, theirs: Any, norms: list[nn.Module]) -> None:
    theirs.linear1.load_state_dict(ours.feed_forward.inner.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.outer.state_dict())
    for number, norm in enumerate(norms, 1):
        getattr(theirs, f"norm{number}").load_state_dict(norm.state_dict())


def plain_loss(model: Any, batch: Any) -> Tensor:
    logits = model(batch.source, batch.target)
    return functional.cross_entropy(logits.flatten(0, 1), batch.target.t().flatten(), ignore_index=PAD)


def lab_loss(model: Any, batch: Any) -> Tensor:
    forced = [True] * len(batch.target)
    output = model(batch.source, batch.target, forced, packed=True, unprojected=True)
    return seq2seq_loss(output, batch.target, PAD)


def lowered_loss(model: Any, batch: Any) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return lab_loss(model, batch)


def transformer(data: Any) -> Transformer:
    ids = (data.pad_id, data.bos_id, data.eos_id, data.max_length)
    return Transformer(
        data.source_vocab_size, data.target_vocab_size, None, None, *ids, width=WIDTH, heads=HEADS,
        encoder_layers=LAYERS, decoder_layers=LAYERS, feed_forward=FEED_FORWARD, dropout=DROPOUT,
    )  # fmt: skip


def test_training_reads_more_tokens_per_second_than_a_plain_loop_and_joeynmt(figure: Any, short: bool) -> None:
    count, rounds = (1, 3) if short else (4, 5)
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    data = multi30k(source="en", target="de")
    given = batches(data, Shuffle, count)
    torch.manual_seed(0)
    ours = transformer(data)
    plain = equal_plain(ours, data)
    with torch.no_grad():
        assert float(plain_loss(plain.eval(), given[0])) == pytest.approx(float(lab_loss(ours.eval(), given[0])), 1e-4)
    sides: dict[str, tuple[Any, Callable[[Any, Any], Tensor], Any, Any]] = {
        "plain": (plain, plain_loss, torch.optim.Adam, nullcontext),
        "float32": (ours, lab_loss, adam, configured_cpu),
        "bfloat16": (transformer(data), lowered_loss, adam, configured_cpu),
    }
    steps: dict[str, tuple[Callable[[Any], Any], Any]] = {
        name: (_step(model.train(), loss, optimizer(model.parameters(), lr=1e-3)), settings)
        for name, (model, loss, optimizer, settings) in sides.items()
    }
    if find_spec("joeynmt") is not None:
        from tests.benchmarks.joey import JoeyTranslation

        steps[JOEY] = (JoeyTranslation(data, model="transformer").train, nullcontext)
    taken: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for place, batch in enumerate(given):
            for name, (step, settings) in steps.items():
                with settings():
                    started = time.perf_counter()
                    step(batch)
                    taken.setdefault((name, place), []).append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    tokens = sum(int((batch.source != PAD).sum() + (batch.target != PAD).sum()) for batch in given)
    speeds = {name: tokens / sum(statistics.median(taken[name, place][1:]) for place in range(count)) for name in steps}
    for name, bound in (("float32", 1.2), ("bfloat16", None)):
        figure.ratio(
            f"transformer_tiny on Multi30k, training in {name}, 2 threads",
            lab=speeds[name],
            peer=speeds["plain"],
            unit="tokens/s",
            beside="a plain loop around nn.Transformer in float32",
            at_least=bound,
        )
    if JOEY in speeds:
        figure.ratio(
            "transformer_tiny on Multi30k, training in float32, 2 threads",
            lab=speeds["float32"],
            peer=speeds[JOEY],
            unit="tokens/s",
            beside=JOEY,
            at_least=1.5,
        )


def _step(model: Any, loss: Callable[[Any, Any], Tensor], optimizer: Any) -> Callable[[Any], None]:
    def step(batch: Any) -> None:
        loss(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
