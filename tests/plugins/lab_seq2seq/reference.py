"""Reference for both passes of the model, fused and step by step: torch's own layers, written out once more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lab_seq2seq.models import Encoded, Seq2SeqRNN
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def plain_forward(model: Seq2SeqRNN, source: Tensor, target: Tensor, forced: Sequence[bool]) -> Tensor:
    """Return logits (T, B, V): at each step embed, attend, recur, project and choose the next input."""
    encoded = plain_encode(model, source)
    hidden = model.bridge(encoded.hidden)
    memory = model.attention.remember(encoded.keys, encoded.mask) if model.attention is not None else None
    tokens = torch.full_like(target[0], model.bos_id)
    results = []
    for step in range(len(target)):
        inputs = model.embedding(tokens)
        if memory is not None and model.attend == "before":
            context, _ = model.attention.attend(hidden[0][-1], memory)
            inputs = model.context(torch.cat([inputs, context], 1))
        outputs, state = model.decoder.rnn(inputs.unsqueeze(0), hidden if len(hidden) == 2 else hidden[0])
        hidden, features = state if isinstance(state, tuple) else (state,), outputs[0]
        if memory is not None and model.attend == "after":
            context, _ = model.attention.attend(features, memory)
            features = torch.tanh(model.context(torch.cat([features, context], 1)))
        logits = model.output(functional.dropout(features, model.output_dropout.p, model.training))
        results.append(logits)
        tokens = logits.detach().argmax(1)
        if step + 1 < len(target) and forced[step + 1]:
            tokens = target[step]
    return torch.stack(results)


def plain_encode(model: Seq2SeqRNN, source: Tensor) -> Encoded:
    """Encode a source (S, B) with torch's own recurrence."""
    encoder, rnn = model.encoder, model.encoder.recurrent.rnn
    embedded = functional.dropout(encoder.embedding(source), encoder.embedding_dropout.p, model.training)
    if not encoder.mask_padding:
        keys, state = rnn(embedded)
        mask = None
    else:
        positions = torch.arange(1, len(source) + 1).unsqueeze(1)
        lengths = (positions * (source != model.pad_id)).amax(0).clamp(min=1)
        packed, state = rnn(pack_padded_sequence(embedded, lengths, enforce_sorted=False))
        keys, _ = pad_packed_sequence(packed, total_length=len(source))
        mask = positions <= lengths
    parts = state if isinstance(state, tuple) else (state,)
    if rnn.bidirectional:
        parts = tuple(torch.cat([part[0::2], part[1::2]], 2) for part in parts)
    return Encoded(keys, parts, mask)


def plain_loss(logits: Tensor, target: Tensor, pad_id: int) -> Tensor:
    """Return the mean cross-entropy over the real tokens."""
    return functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=pad_id)
