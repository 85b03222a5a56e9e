"""Recurrent language models: tokens (T, B) to the logits (T, B, V) of the token after each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from lab_attention.dropout import Dropout
from lab_text.carried import CarriesState
from torch import Tensor, nn

from lab import part
from lab.errors import ParameterError, ShapeError
from lab_lm.outputs import AdaptiveSoftmax, Unprojected
from lab_lm.qrnn import QRNN

__all__ = ["CELLS", "Cell", "RnnLM", "check_tokens"]

Cell = Literal["rnn", "gru", "lstm", "qrnn"]
CELLS: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM, "qrnn": QRNN}


class RnnLM(CarriesState):
    """Recurrent language model: embedding, stacked recurrent layers, linear output.

    With ``cell="lstm", layers=2`` and dropout this is Zaremba, Sutskever & Vinyals 2014, arXiv:1409.2329 (their small
    model: width 200, no dropout, 20 streams of 20 steps). Dropout is not applied to recurrent connections. With
    ``tied`` the output uses the weights of the embedding (Inan, Khosravi & Socher 2017, arXiv:1611.01462; Press & Wolf
    2017, arXiv:1608.05859). Differs from Zaremba et al.: weights of the recurrent layers start as torch's.

    The detached hidden state is carried to the next batch if that continues this one and has the same size; otherwise
    the state is reset.

    Args:
        vocab_size: tokens V.
        cell: ``rnn`` (tanh), ``gru``, ``lstm`` or ``qrnn`` (quasi-recurrent, arXiv:1611.01576).
        layers: number of stacked recurrent layers.
        hidden_size: width of each layer.
        embedding_dim: width of an embedding; None for ``hidden_size``.
        tied: use the weights of the embedding in the output; where the widths differ, a linear layer stands between.
        dropout: probability behind each recurrent layer.
        input_dropout: probability on the embeddings; None for ``dropout``.
        init_scale: embedding and output start uniform in ± this.
        cutoffs: ids at which the clusters of an adaptive softmax begin, for example (2_000, 10_000); None for a full
            one. For large vocabularies, with ``loss="projected_nll"``.

    Shapes:
        tokens (T, B) long → (T, B, V)

    Raises:
        ParameterError: a parameter is out of range.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        cell: Cell = "lstm",
        layers: int = 2,
        hidden_size: int = 200,
        embedding_dim: int | None = None,
        tied: bool = False,
        dropout: float = 0.2,
        input_dropout: float | None = None,
        init_scale: float = 0.1,
        cutoffs: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if tied and cutoffs is not None:
            raise ParameterError(
                "an adaptive softmax has no weights of the embedding's shape to share",
                where="architecture 'rnn_lm'",
                hint="tied=False, or cutoffs=None",
            )
        input_dropout = dropout if input_dropout is None else input_dropout
        width = hidden_size if embedding_dim is None else embedding_dim
        if min(layers, hidden_size, width) < 1 or not (0 <= dropout < 1 and 0 <= input_dropout < 1):
            raise ParameterError(
                f"layers={layers}, hidden_size={hidden_size}, embedding_dim={width}, dropout={dropout}, "
                f"input_dropout={input_dropout}",
                where="architecture 'rnn_lm'",
                hint="numbers are at least 1, dropout lies in [0, 1)",
            )
        with part("embedding"):
            self.embedding = nn.Embedding(vocab_size, width)
            nn.init.uniform_(self.embedding.weight, -init_scale, init_scale)
        self.input_dropout = Dropout(input_dropout)
        with part("rnn"):
            # torch warns of dropout in a single layer, where it has no effect.
            self.rnn = CELLS[cell](width, hidden_size, layers, dropout=dropout if layers > 1 else 0.0)
        self.dropout = Dropout(dropout)
        with part("output"):
            self.projection = nn.Linear(hidden_size, width) if tied and width != hidden_size else nn.Identity()
            self.output: nn.Module
            if cutoffs is not None:
                self.output = AdaptiveSoftmax(hidden_size, vocab_size, cutoffs)
            else:
                self.output = nn.Linear(width if tied else hidden_size, vocab_size)
                nn.init.uniform_(self.output.weight, -init_scale, init_scale)
                nn.init.zeros_(self.output.bias)
        if tied:
            self.output.weight = self.embedding.weight

    leaves_output = True

    def forward(self, tokens: Tensor, continues: bool = False, *, leave_output: bool = False) -> Tensor | Unprojected:
        """Return the logits (T, B, V) of the token after each.

        Args:
            tokens: (T, B).
            continues: the tokens start where those of the previous call ended.
            leave_output: return the features and the output, for the loss to project.
        """
        check_tokens(tokens)
        features, state = self.features(tokens, self.carried_state(tokens.shape[1]) if continues else None)
        self.carry(state)
        if leave_output:
            return Unprojected(features, self.output)
        logits: Tensor = self.output(features)
        return logits

    def features(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return the input (T, B, E) of the output, and the state after the last token."""
        outputs, state = self.rnn(self.input_dropout(self.embedding(tokens)), state)
        return self.projection(self.dropout(outputs)), state

    def read(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return the logits, as ``forward`` does, and the state after the last token; no state is kept."""
        features, state = self.features(tokens, state)
        return self.output(features), state

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return embedding, recurrent layers and output, for rates and freezing by group."""
        return [[self.embedding], [self.rnn], [self.projection, self.output]]


def check_tokens(tokens: Tensor) -> None:
    """Raise a ShapeError unless tokens are (T, B) integers, T at least 1."""
    if tokens.dim() != 2 or len(tokens) < 1 or tokens.is_floating_point():
        raise ShapeError(
            f"tokens must be integers (T, B) with T at least 1, "
            f"got {tuple(tokens.shape)} of {str(tokens.dtype).removeprefix('torch.')}"
        )
