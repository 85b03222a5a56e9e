"""AWD-LSTM: LSTM with dropped recurrent weights, locked dropout and embedding dropout, and NT-ASGD.

Merity, Keskar & Socher 2017, *Regularizing and optimizing LSTM language models*, arXiv:1708.02182.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from lab_attention.dropout import dropout, scaled_mask
from lab_basics.averaging import AveragedWeights
from lab_basics.monitor import finished_epoch
from lab_text.carried import CarriesState
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import get_swa_multi_avg_fn

from lab import part
from lab.errors import ParameterError
from lab_lm.models import check_tokens
from lab_lm.outputs import Unprojected
from lab_lm.steppers import NextToken

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = [
    "NTASGD",
    "AwdLSTM",
    "LockedDropout",
    "RegularizedNextToken",
    "StackedLSTM",
    "WeightDropLSTM",
    "dropped_embedding",
]

State = tuple[tuple[Tensor, Tensor], ...]


class WeightDropLSTM(nn.Module):
    """LSTM layer whose recurrent weights are dropped, the same ones at all steps of a call (DropConnect).

    Section 2 of the paper. Weights have the names and the start of ``nn.LSTM``.

    Args:
        input_size: width of the input.
        hidden_size: width H of the layer.
        weight_dropout: probability of a zero in ``weight_hh_l0``, in training.

    Shapes:
        x (T, B, I), state of (1, B, H) twice or None → (T, B, H), state
    """

    def __init__(self, input_size: int, hidden_size: int, weight_dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden_size, self.weight_dropout = hidden_size, weight_dropout
        bound, rows = 1 / math.sqrt(hidden_size), 4 * hidden_size
        for name, shape in (
            ("weight_ih_l0", (rows, input_size)),
            ("weight_hh_l0", (rows, hidden_size)),
            ("bias_ih_l0", (rows,)),
            ("bias_hh_l0", (rows,)),
        ):
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the outputs and the state behind the last step."""
        if state is None:
            zeros = x.new_zeros(1, x.shape[1], self.hidden_size)
            state = (zeros, zeros)
        recurrent = self.weight_hh_l0
        if self.training and self.weight_dropout:
            recurrent = dropout(recurrent, self.weight_dropout)
        weights = (self.weight_ih_l0, recurrent, self.bias_ih_l0, self.bias_hh_l0)
        # torch's function behind nn.LSTM: the module's own weights must not be replaced.
        outputs, hidden, cell = torch.lstm(x, state, weights, True, 1, 0.0, self.training, False, False)
        return outputs, (hidden, cell)


class LockedDropout(nn.Module):
    """Variational dropout: one mask for all steps of a call (Gal & Ghahramani 2016, arXiv:1512.05287).

    Args:
        p: probability of a zero, in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return (T, B, E) of (T, B, E), with the same values zeroed at every step."""
        if not self.training or not self.p:
            return x
        return x * scaled_mask(x[:1], self.p)


def dropped_embedding(tokens: Tensor, weight: Tensor, probability: float) -> Tensor:
    """Return the embeddings of tokens, with those of whole words zeroed wherever they occur in the batch.

    Args:
        tokens: any shape, long.
        weight: (V, E).
        probability: of a word to be zeroed; the others are scaled to keep the mean.
    """
    if not probability:
        return functional.embedding(tokens, weight)
    # The mask is looked up for the batch's tokens, so that the matrix of all words is not copied.
    return functional.embedding(tokens, weight) * scaled_mask(weight[:, :1], probability)[tokens]


class StackedLSTM(nn.Module):
    """Stacked layers with locked dropout between them."""

    def __init__(self, sizes: list[int], weight_dropout: float, hidden_dropout: float) -> None:
        super().__init__()
        pairs = pairwise(sizes)
        self.layers = nn.ModuleList(WeightDropLSTM(before, after, weight_dropout) for before, after in pairs)
        self.hidden_dropout = LockedDropout(hidden_dropout)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        states = []
        for number, layer in enumerate(self.layers):
            x = self.hidden_dropout(x) if number else x
            x, own = layer(x, None if state is None else state[number])
            states.append(own)
        return x, tuple(states)


class AwdLSTM(CarriesState):
    """AWD-LSTM, with tied embedding and output; the presets have the paper's and smaller sizes.

    Train it with the stepper ``regularized_next_token`` (AR, TAR), ``sampler=use("streams", vary=True)`` and the
    callback ``nt_asgd``. Differs from the paper: the learning rate does not follow the length of a window.

    Args:
        vocab_size: tokens V.
        embedding_dim: width of an embedding, and of the last layer.
        hidden_size: width of the other layers.
        layers: number of layers.
        weight_dropout: probability of a zero in the recurrent weights.
        embedding_dropout: probability of a whole word.
        input_dropout: locked dropout on the embeddings.
        hidden_dropout: locked dropout between layers.
        output_dropout: locked dropout before the output.
        init_scale: the embedding starts uniform in ± this.

    Shapes:
        tokens (T, B) long → (T, B, V)

    Raises:
        ParameterError: a parameter is out of range.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding_dim: int = 400,
        hidden_size: int = 1150,
        layers: int = 3,
        weight_dropout: float = 0.5,
        embedding_dropout: float = 0.1,
        input_dropout: float = 0.4,
        hidden_dropout: float = 0.25,
        output_dropout: float = 0.4,
        init_scale: float = 0.1,
    ) -> None:
        super().__init__()
        drops = {
            "weight_dropout": weight_dropout,
            "embedding_dropout": embedding_dropout,
            "input_dropout": input_dropout,
            "hidden_dropout": hidden_dropout,
            "output_dropout": output_dropout,
        }
        for name, value in drops.items():
            if not 0 <= value < 1:
                raise ParameterError(f"{name} must lie in [0, 1), got {value}", where="architecture 'awd_lstm'")
        if min(embedding_dim, hidden_size, layers) < 1:
            raise ParameterError(
                f"embedding_dim={embedding_dim}, hidden_size={hidden_size}, layers={layers}, each must be at least 1",
                where="architecture 'awd_lstm'",
            )
        self.embedding_dropout = embedding_dropout
        with part("embedding"):
            self.embedding = nn.Embedding(vocab_size, embedding_dim)
            nn.init.uniform_(self.embedding.weight, -init_scale, init_scale)
        self.input_dropout = LockedDropout(input_dropout)
        with part("rnn"):
            sizes = [embedding_dim, *[hidden_size] * (layers - 1), embedding_dim]
            self.rnn = StackedLSTM(sizes, weight_dropout, hidden_dropout)
        self.output_dropout = LockedDropout(output_dropout)
        self.output = nn.Linear(embedding_dim, vocab_size)
        nn.init.zeros_(self.output.bias)
        self.output.weight = self.embedding.weight

    leaves_output = True

    def forward(self, tokens: Tensor, continues: bool = False, *, leave_output: bool = False) -> Tensor | Unprojected:
        """Return the logits (T, B, V) of the token after each; with ``leave_output`` their input and the output."""
        check_tokens(tokens)
        features, state = self.features(tokens, self.carried_state(tokens.shape[1]) if continues else None)
        self.carry(state)
        if leave_output:
            return Unprojected(features, self.output)
        logits: Tensor = self.output(features)
        return logits

    def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the logits, as ``forward`` does, and the state after the last token; no state is kept."""
        features, state = self.features(tokens, state)
        return self.output(features), state

    def features(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the input (T, B, E) of the output, and the state after the last token."""
        x = dropped_embedding(tokens, self.embedding.weight, self.embedding_dropout if self.training else 0.0)
        outputs, state = self.rnn(self.input_dropout(x), state)
        return self.output_dropout(outputs), state

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return embedding with output, then each layer, for rates and freezing by group."""
        return [[self.embedding, self.output], *([layer] for layer in self.rnn.layers)]


class RegularizedNextToken(NextToken):
    """Step of AWD-LSTM: activation regularization (AR) and temporal activation regularization (TAR).

    Section 4.6 of the paper, after Merity, McCann & Socher 2017, arXiv:1708.01009: ``alpha`` times the mean square of
    the activations behind the last dropout (AR), and ``beta`` times the mean square of the differences between steps of
    the outputs before it (TAR), are added to the loss. Mean squares, as in the authors' code. The training loss that is
    reported is without them.

    Args:
        alpha: weight of AR.
        beta: weight of TAR.
        dropped: submodule whose output (T, B, H) is regularized by AR.
        outputs: submodule whose output (T, B, H), or its first, is regularized by TAR.
        clip: maximum norm of all gradients together; None does not clip.

    Raises:
        ParameterError: a weight is negative, or the model has no such submodule.
    """

    def __init__(
        self,
        *,
        alpha: float = 2.0,
        beta: float = 1.0,
        dropped: str = "output_dropout",
        outputs: str = "rnn",
        clip: float | None = 0.25,
    ) -> None:
        super().__init__(clip=clip)
        if min(alpha, beta) < 0:
            raise ParameterError(
                f"alpha and beta must be at least 0, got {alpha} and {beta}", where="stepper 'regularized_next_token'"
            )
        self.alpha, self.beta, self.dropped, self.outputs = alpha, beta, dropped, outputs
        self._plain: Tensor | None = None

    def attach(self, learner: Learner) -> None:
        super().attach(learner)
        modules = dict(learner.model.named_modules())
        for name in (self.dropped, self.outputs):
            if name not in modules:
                raise ParameterError(
                    f"the model has no module '{name}'",
                    where="stepper 'regularized_next_token'",
                    hint=f"modules: {', '.join(each for each in modules if each and '.' not in each) or 'none'}",
                )
        self._watched = (modules[self.dropped], modules[self.outputs])

    def train_step(self, batch: Any) -> Tensor:
        self._plain = None
        loss = super().train_step(batch)
        return loss if self._plain is None else self._plain

    def train_loss(self, batch: Any) -> Tensor:
        with _outputs_of(*self._watched) as (dropped, raw):
            loss = super().train_loss(batch)
        self._plain = loss.detach()
        for activations in dropped:
            loss = loss + self.alpha * activations.square().mean()
        for activations in raw:
            if len(activations) > 1:
                loss = loss + self.beta * activations.diff(dim=0).square().mean()
        return loss


@contextmanager
def _outputs_of(*modules: nn.Module) -> Iterator[list[list[Tensor]]]:
    """Collect the output, or its first tensor, of each call of the modules inside the block."""
    found: list[list[Tensor]] = [[] for _ in modules]
    with ExitStack() as stack:
        for module, outputs in zip(modules, found, strict=True):

            def keep(_: Any, __: Any, output: Any, outputs: list[Tensor] = outputs) -> None:
                outputs.append(output[0] if isinstance(output, tuple) else output)

            stack.callback(module.register_forward_hook(keep).remove)
        yield found


class NTASGD(AveragedWeights):
    """Non-monotonically triggered averaging of the weights of SGD (NT-ASGD, section 3 of the paper).

    Averaging starts when the validation loss is not better than the best of all epochs but the last ``patience``; from
    then on the mean of the weights of every step is evaluated, and kept at the end. With another optimizer than SGD the
    average is the same, but the paper's argument is of SGD.

    Args:
        patience: n, epochs without an improvement that start averaging.

    Raises:
        ParameterError: ``patience`` is less than 1.
    """

    reads_metrics = True

    def __init__(self, *, patience: int = 5) -> None:
        super().__init__()
        if patience < 1:
            raise ParameterError(f"patience must be at least 1, got {patience}", where="callback 'nt_asgd'")
        self.patience, self.triggered = patience, False
        self._losses: list[float] = []

    def before_fit(self, learner: Learner) -> None:
        super().before_fit(learner)
        if learner.position.step == 0:
            self.triggered, self._losses = False, []

    def after_step(self, learner: Learner) -> None:
        # Empty if a single step is made outside a fit.
        if self.triggered and self._average:
            self._move_average(learner, get_swa_multi_avg_fn())

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is None or self.triggered:
            return
        loss = row["valid_loss"]
        if len(self._losses) > self.patience and loss > min(self._losses[: -self.patience]):
            self.triggered = True
            learner.say(f"nt_asgd averages weights from epoch {learner.position.epoch + 2} on")
        self._losses.append(loss)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "triggered": self.triggered, "losses": list(self._losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.triggered, self._losses = state["triggered"], list(state["losses"])
