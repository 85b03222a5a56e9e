"""The plain step-by-step loop that the fast path must agree with: one step after the other, written as one would."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lab_seq2seq.models import Seq2SeqRNN
from torch import Tensor
from torch.nn import functional


def plain_forward(model: Seq2SeqRNN, source: Tensor, target: Tensor, forced: Sequence[bool]) -> Tensor:
    """Logits (T, B, V): at every step embed, attend, one step of the recurrence, project, choose the next input."""
    encoded = model.encoder(source)
    hidden = model.bridge(encoded.hidden)
    memory = model.attention.remember(encoded.keys, encoded.mask) if model.attention is not None else None
    tokens = torch.full_like(target[0], model.bos_id)
    results = []
    for step in range(len(target)):
        inputs = model.embedding(tokens)
        if memory is not None:
            context, _ = model.attention.attend(hidden[0][-1], memory)
            inputs = model.context(torch.cat([inputs, context], 1))
        outputs, state = model.decoder.rnn(inputs.unsqueeze(0), hidden if len(hidden) == 2 else hidden[0])
        hidden = state if isinstance(state, tuple) else (state,)
        logits = model.output(model.output_dropout(outputs[0]))
        results.append(logits)
        tokens = logits.detach().argmax(1)
        if step + 1 < len(target) and forced[step + 1]:
            tokens = target[step]
    return torch.stack(results)


def plain_loss(logits: Tensor, target: Tensor, pad_id: int) -> Tensor:
    """Mean cross-entropy over the real tokens."""
    return functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=pad_id)
