"""Networks that foresee the next character, from three characters and one layer to deep recurrent networks.

The models of fast.ai 2018, lesson 6 (its names stand in the presets), and of *Dive into Deep Learning*, chapters 9 and
10, as ordinary modules: tokens (T, B) long to logits (T, B, V), or (1, B, V) where only the last place is foreseen.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import part
from lab.errors import ParameterError, ShapeError
from lab_charlm.cells import GRUCells, RNNCells

__all__ = ["Char3", "CharLoop", "CharRNN"]

State = Tensor | tuple[Tensor, Tensor] | None
Cell = Literal["rnn", "gru", "lstm", "rnn_cell", "gru_cell"]

CELLS: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM, "rnn_cell": RNNCells, "gru_cell": GRUCells}


class Char3(nn.Module):
    """Three characters through one shared layer, one after the other, and what comes next.

    fast.ai 2018, lesson 6, ``Char3Model``: every character passes through the same input layer with ReLU, and the
    hidden layer with tanh takes it up. Of longer windows the last three characters are read.

    Args:
        vocab_size: number of characters.
        hidden_size: width of the hidden layer.
        embedding_dim: width of a character.
    """

    context = 3

    def __init__(self, vocab_size: int, *, hidden_size: int = 256, embedding_dim: int = 42) -> None:
        super().__init__()
        with part("embedding"):
            self.embedding = nn.Embedding(vocab_size, embedding_dim)
        with part("input"):
            self.input = nn.Linear(embedding_dim, hidden_size)
        with part("hidden"):
            self.hidden = nn.Linear(hidden_size, hidden_size)
        with part("output"):
            self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor, continues: bool = False) -> Tensor:
        """Logits (1, B, V) of what follows tokens (T, B), T at least 3."""
        _check_tokens(tokens, self.context)
        hidden = tokens.new_zeros(tokens.shape[1], self.hidden.in_features, dtype=self.output.weight.dtype)
        for each in tokens[-self.context :]:
            hidden = torch.tanh(self.hidden(hidden + functional.relu(self.input(self.embedding(each)))))
        logits: Tensor = self.output(hidden)
        return logits.unsqueeze(0)


class CharLoop(nn.Module):
    """The same for any number of characters, in a loop: a recurrent network by hand.

    fast.ai 2018, lesson 6, ``CharLoopModel`` and ``CharLoopConcatModel``.

    Args:
        vocab_size: number of characters.
        combine: whether a character is added to the hidden state or stands beside it.
        hidden_size: width of the hidden layer.
        embedding_dim: width of a character.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        combine: Literal["add", "concat"] = "add",
        hidden_size: int = 256,
        embedding_dim: int = 42,
    ) -> None:
        super().__init__()
        self.combine = combine
        with part("embedding"):
            self.embedding = nn.Embedding(vocab_size, embedding_dim)
        with part("input"):
            width = embedding_dim + (hidden_size if combine == "concat" else 0)
            self.input = nn.Linear(width, hidden_size)
        with part("hidden"):
            self.hidden = nn.Linear(hidden_size, hidden_size)
        with part("output"):
            self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor, continues: bool = False) -> Tensor:
        """Logits (1, B, V) of what follows tokens (T, B)."""
        _check_tokens(tokens, 1)
        hidden = tokens.new_zeros(tokens.shape[1], self.hidden.in_features, dtype=self.output.weight.dtype)
        for each in self.embedding(tokens):
            if self.combine == "concat":
                entered = functional.relu(self.input(torch.cat([hidden, each], 1)))
            else:
                entered = hidden + functional.relu(self.input(each))
            hidden = torch.tanh(self.hidden(entered))
        logits: Tensor = self.output(hidden)
        return logits.unsqueeze(0)


class CharRNN(nn.Module):
    """A recurrent network over characters.

    fast.ai 2018, lesson 6, ``CharRnn``, ``CharSeqRnn``, ``CharSeqStatefulRnn`` and ``…LSTM``; *Dive into Deep
    Learning*, sections 9.5 to 10.3. ``rnn_cell`` and ``gru_cell`` are the equations written out.

    A stateful network keeps its hidden state from batch to batch, detached, while batches say that they continue and
    have the same size; otherwise it begins anew. Training and evaluation have a state each. The state belongs to a
    checkpoint but not to the file of weights.

    Args:
        vocab_size: number of characters.
        cell: ``rnn`` (tanh), ``gru`` or ``lstm`` of torch, ``rnn_cell`` or ``gru_cell`` written out.
        layers: recurrent layers upon each other.
        hidden_size: width of each.
        embedding_dim: width of a character.
        one_hot: characters are unit vectors as wide as the vocabulary, and nothing is learnt for them.
        dropout: share of activations left out between layers and before the output.
        predict: ``each`` place, or the ``last`` alone.
        stateful: carry the hidden state over.
        identity_init: the recurrent weights start as the identity (Le, Jaitly & Hinton 2015, arXiv:1504.00941);
            ``rnn`` and ``rnn_cell`` only.
        bidirectional: read from both ends, for a representation of a whole window; needs ``predict="last"``.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        cell: Cell = "gru",
        layers: int = 1,
        hidden_size: int = 256,
        embedding_dim: int = 42,
        one_hot: bool = False,
        dropout: float = 0.0,
        predict: Literal["each", "last"] = "each",
        stateful: bool = False,
        identity_init: bool = False,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        _check_options(cell, predict, identity_init, bidirectional, stateful)
        self.predict, self.stateful = predict, stateful
        self.vocab_size, self.one_hot = vocab_size, one_hot
        with part("embedding"):
            self.embedding = None if one_hot else nn.Embedding(vocab_size, embedding_dim)
        options: dict[str, Any] = {"dropout": dropout if layers > 1 else 0.0}
        if bidirectional:
            options["bidirectional"] = True
        with part("rnn"):
            self.rnn = CELLS[cell](vocab_size if one_hot else embedding_dim, hidden_size, layers, **options)
        if identity_init:
            _make_identities(self.rnn)
        self.dropout = nn.Dropout(dropout)
        with part("output"):
            self.output = nn.Linear(hidden_size * (2 if bidirectional else 1), vocab_size)
        self.carried: dict[bool, State] = {True: None, False: None}

    def forward(self, tokens: Tensor, continues: bool = False) -> Tensor:
        """Logits (T, B, V) of what follows each of tokens (T, B), or (1, B, V) of what follows the last.

        ``continues`` says whether the tokens go on where those of the last call ended.
        """
        _check_tokens(tokens, 1)
        state = self._carried_state(tokens.shape[1]) if self.stateful and continues else None
        logits, state = self.read(tokens, state)
        if self.stateful:
            self.carried[self.training] = _detached(state)
        return logits

    def read(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Logits as ``forward`` gives them, and the state after the last token; nothing is kept."""
        if self.embedding is None:
            entered = functional.one_hot(tokens, self.vocab_size).to(self.output.weight.dtype)
        else:
            entered = self.embedding(tokens)
        outputs, state = self.rnn(entered, state)
        if self.predict == "last":
            outputs = _ends(outputs) if getattr(self.rnn, "bidirectional", False) else outputs[-1:]
        return self.output(self.dropout(outputs)), state

    def _carried_state(self, batch_size: int) -> State:
        state = self.carried[self.training]
        first = state[0] if isinstance(state, tuple) else state
        return state if first is not None and first.shape[1] == batch_size else None

    def get_extra_state(self) -> Any:
        """What training carries from batch to batch."""
        return self.carried[True]

    def set_extra_state(self, state: Any) -> None:
        """Go on with what ``get_extra_state`` gave."""
        device = self.output.weight.device
        moved = tuple(each.to(device) for each in state) if isinstance(state, tuple) else state
        self.carried[True] = moved.to(device) if isinstance(moved, Tensor) else moved


def _check_options(cell: str, predict: str, identity_init: bool, bidirectional: bool, stateful: bool) -> None:
    where = "architecture 'char_rnn'"
    if bidirectional and (predict == "each" or stateful or cell.endswith("_cell")):
        raise ParameterError(
            "a bidirectional network would read the characters that it is to foresee",
            where=where,
            hint="predict='last' represents a whole window; stateful and the written-out cells read one way",
        )
    if identity_init and cell not in ("rnn", "rnn_cell"):
        raise ParameterError(f"identity_init is for the plain recurrence, not for '{cell}'", where=where)


def _check_tokens(tokens: Tensor, least: int) -> None:
    if tokens.dim() != 2 or len(tokens) < least or tokens.is_floating_point():
        raise ShapeError(
            f"tokens must be whole numbers (T, B) with T at least {least}, "
            f"got {tuple(tokens.shape)} of {str(tokens.dtype).removeprefix('torch.')}"
        )


@torch.no_grad()
def _make_identities(rnn: nn.Module) -> None:
    for name, weight in rnn.named_parameters():
        if name.startswith("weight_hh"):
            nn.init.eye_(weight)
        elif name.startswith("bias"):
            nn.init.zeros_(weight)
        elif name.startswith("weight_ih"):
            nn.init.normal_(weight, std=1 / math.sqrt(weight.shape[1]))


def _ends(outputs: Tensor) -> Tensor:
    """The last state of the way forth beside the first of the way back, (1, B, 2 H)."""
    forth, back = outputs.chunk(2, -1)
    return torch.cat([forth[-1:], back[:1]], -1)


def _detached(state: State) -> State:
    if isinstance(state, tuple):
        return state[0].detach(), state[1].detach()
    return None if state is None else state.detach()
