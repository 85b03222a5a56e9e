"""Models of the next character, from three characters and one layer to deep recurrent networks.

The models of fast.ai 2018, lesson 6 (the presets have its names), and of *Dive into Deep Learning*, chapters 9 and 10.
Tokens (T, B) long become logits (T, B, V), or (1, B, V) if only the last position is predicted.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from lab_basics.checks import check_probabilities, check_sizes
from lab_text.carried import CarriesState
from torch import Tensor, nn
from torch.nn import functional

from lab import part
from lab.errors import ParameterError, ShapeError
from lab_charlm.cells import GRUCells, LSTMCells, RNNCells

__all__ = ["Char3", "CharLoop", "CharRNN"]

State = Tensor | tuple[Tensor, Tensor] | None
Cell = Literal["rnn", "gru", "lstm", "rnn_cell", "gru_cell", "lstm_cell"]

CELLS: dict[str, Any] = {
    "rnn": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
    "rnn_cell": RNNCells,
    "gru_cell": GRUCells,
    "lstm_cell": LSTMCells,
}


class Char3(nn.Module):
    """Three-character model with a shared input and hidden layer.

    fast.ai 2018, lesson 6, ``Char3Model``: every character passes through the same input layer with ReLU and is added
    to the hidden state, which passes through a tanh layer. Of longer windows, the last three characters are read.

    Args:
        vocab_size: number of characters.
        hidden_size: width of the hidden layer.
        embedding_dim: width of a character embedding.
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
        """Return the logits (1, B, V) of the character after tokens (T, B), T at least 3."""
        _check_tokens(tokens, self.context)
        hidden = tokens.new_zeros(tokens.shape[1], self.hidden.in_features, dtype=self.output.weight.dtype)
        for each in tokens[-self.context :]:
            hidden = torch.tanh(self.hidden(hidden + functional.relu(self.input(self.embedding(each)))))
        logits: Tensor = self.output(hidden)
        return logits.unsqueeze(0)


class CharLoop(nn.Module):
    """Recurrent network written as a loop over any number of characters.

    fast.ai 2018, lesson 6, ``CharLoopModel`` and ``CharLoopConcatModel``.

    Args:
        vocab_size: number of characters.
        combine: ``add`` a character to the hidden state, or ``concat`` the two.
        hidden_size: width of the hidden layer.
        embedding_dim: width of a character embedding.
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
        """Return the logits (1, B, V) of the character after tokens (T, B)."""
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


class CharRNN(CarriesState):
    """Character-level recurrent network.

    fast.ai 2018, lesson 6, ``CharRnn``, ``CharSeqRnn``, ``CharSeqStatefulRnn`` and ``…LSTM``; *Dive into Deep
    Learning*, sections 9.5 to 10.3 (8.5 to 9.3 of the second Chinese edition). ``rnn_cell``, ``gru_cell`` and
    ``lstm_cell`` are the equations written out. Differs from the course: its ``CharRnn`` and ``CharSeqRnn`` are plain
    recurrences, ``cell="rnn"`` (the presets ``char_rnn_last`` and ``char_seq_rnn``); the default here is a GRU.

    A stateful network carries its detached hidden state to the next batch if that batch continues this one and has the
    same size; otherwise the state is reset. Training and evaluation have separate states. The state is part of a
    checkpoint but not of saved weights.

    Args:
        vocab_size: number of characters.
        cell: torch's ``rnn``, ``gru`` or ``lstm``; or ``rnn_cell``, ``gru_cell`` or ``lstm_cell``, written out.
        layers: number of stacked recurrent layers.
        hidden_size: width of each layer.
        embedding_dim: width of a character embedding.
        one_hot: feed one-hot vectors instead of learned embeddings.
        dropout: dropout probability between layers and before the output.
        output_dropout: dropout probability before the output; None takes ``dropout``. The course's LSTM has none there.
        predict: ``each`` position, or only the ``last``.
        stateful: carry the hidden state from batch to batch.
        identity_init: initialize the recurrent weights, and nothing else, as the identity, as in the course; ``rnn``
            and ``rnn_cell`` only. Le, Jaitly & Hinton 2015, arXiv:1504.00941, do so with ReLU and zero biases.
        bidirectional: read the window from both ends; needs ``predict="last"``. The book shows that a bidirectional
            network that predicts each position has a perplexity of 1.1 and generates nonsense: refused here.
        nonlinearity: ``tanh`` or ``relu``; ``rnn`` and ``rnn_cell`` only.
        gradient_share: probability in (0, 1] that the gradient passes from a step to the one before, in training:
            randomized truncation, ``lab_charlm.cells.truncate``; cells that are written out only.
        gradient_steps: cut the gradient after so many steps of a window, in training; cells that are written out only.
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
        output_dropout: float | None = None,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        gradient_share: float = 1.0,
        gradient_steps: int | None = None,
    ) -> None:
        super().__init__()
        where = "architecture 'char_rnn'"
        check_sizes(where, layers=layers, hidden_size=hidden_size, embedding_dim=embedding_dim)
        check_probabilities(where, dropout=dropout, output_dropout=output_dropout)
        _check_options(cell, predict, identity_init, bidirectional, stateful, nonlinearity)
        _check_cuts(cell, gradient_share, gradient_steps)
        self.predict, self.stateful = predict, stateful
        self.vocab_size, self.one_hot = vocab_size, one_hot
        with part("embedding"):
            self.embedding = None if one_hot else nn.Embedding(vocab_size, embedding_dim)
        # torch warns of dropout in a single layer, where it has no effect.
        options: dict[str, Any] = {"dropout": dropout if layers > 1 else 0.0}
        if bidirectional:
            options["bidirectional"] = True
        if nonlinearity != "tanh":
            options["nonlinearity"] = nonlinearity
        if gradient_share != 1:
            options["gradient_share"] = gradient_share
        if gradient_steps is not None:
            options["gradient_steps"] = gradient_steps
        with part("rnn"):
            self.rnn = CELLS[cell](vocab_size if one_hot else embedding_dim, hidden_size, layers, **options)
        if identity_init:
            _make_identities(self.rnn)
        self.dropout = nn.Dropout(dropout if output_dropout is None else output_dropout)
        with part("output"):
            self.output = nn.Linear(hidden_size * (2 if bidirectional else 1), vocab_size)

    def forward(self, tokens: Tensor, continues: bool = False) -> Tensor:
        """Return the logits (T, B, V) of the character after each token (T, B), or (1, B, V) after the last.

        ``continues``: the tokens start where those of the previous call ended.
        """
        _check_tokens(tokens, 1)
        state = self.carried_state(tokens.shape[1]) if self.stateful and continues else None
        logits, state = self.read(tokens, state)
        if self.stateful:
            self.carry(state)
        return logits

    def read(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return the logits, as ``forward`` does, and the state after the last token; no state is kept."""
        if self.embedding is None:
            entered = functional.one_hot(tokens, self.vocab_size).to(self.output.weight.dtype)
        else:
            entered = self.embedding(tokens)
        outputs, state = self.rnn(entered, state)
        if self.predict == "last":
            outputs = _ends(outputs) if getattr(self.rnn, "bidirectional", False) else outputs[-1:]
        return self.output(self.dropout(outputs)), state


def _check_options(
    cell: str, predict: str, identity_init: bool, bidirectional: bool, stateful: bool, nonlinearity: str
) -> None:
    where = "architecture 'char_rnn'"
    if bidirectional and (predict == "each" or stateful or cell.endswith("_cell")):
        raise ParameterError(
            "a bidirectional network would read the characters that it is to predict",
            where=where,
            hint="use predict='last', stateful=False, and one of torch's cells: rnn, gru, lstm",
        )
    if identity_init and cell not in ("rnn", "rnn_cell"):
        raise ParameterError(f"identity_init needs cell 'rnn' or 'rnn_cell', got '{cell}'", where=where)
    if nonlinearity not in ("tanh", "relu"):
        raise ParameterError(f"nonlinearity must be 'tanh' or 'relu', got '{nonlinearity}'", where=where)
    if nonlinearity == "relu" and cell not in ("rnn", "rnn_cell"):
        raise ParameterError(f"nonlinearity='relu' needs cell 'rnn' or 'rnn_cell', got '{cell}'", where=where)


def _check_cuts(cell: str, gradient_share: float, gradient_steps: int | None) -> None:
    where = "architecture 'char_rnn'"
    if not 0 < gradient_share <= 1:
        raise ParameterError(f"gradient_share must lie in (0, 1], got {gradient_share}", where=where)
    if gradient_steps is not None and gradient_steps < 1:
        raise ParameterError(f"gradient_steps must be at least 1, got {gradient_steps}", where=where)
    if (gradient_share < 1 or gradient_steps is not None) and not cell.endswith("_cell"):
        name = "gradient_share" if gradient_share < 1 else "gradient_steps"
        raise ParameterError(f"{name} needs a cell that is written out", where=where, hint=f"cell='{cell}_cell'")


def _check_tokens(tokens: Tensor, least: int) -> None:
    if tokens.dim() != 2 or len(tokens) < least or tokens.is_floating_point():
        raise ShapeError(
            f"tokens must be integers (T, B) with T at least {least}, "
            f"got {tuple(tokens.shape)} of {str(tokens.dtype).removeprefix('torch.')}"
        )


@torch.no_grad()
def _make_identities(rnn: nn.Module) -> None:
    for name, weight in rnn.named_parameters():
        if name.startswith("weight_hh"):
            nn.init.eye_(weight)


def _ends(outputs: Tensor) -> Tensor:
    """Return the final states of both directions side by side, (1, B, 2 H)."""
    forward, backward = outputs.chunk(2, -1)
    return torch.cat([forward[-1:], backward[:1]], -1)
