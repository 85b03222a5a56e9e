"""Decoder-only Transformer with a cache of keys and values."""

from __future__ import annotations

from collections.abc import Callable

from lab_attention.blocks import BlockOptions, CausalBlock, make_norm
from lab_attention.dropout import Dropout
from lab_attention.multihead import KeyValues
from lab_attention.positions import Positions, positions_factory
from torch import Tensor, nn

from lab import part
from lab.errors import ParameterError
from lab_lm.models import check_tokens
from lab_lm.outputs import Unprojected

__all__ = ["GPT"]

_STD = 0.02
Cache = tuple[KeyValues, ...]


class GPT(nn.Module):
    """Decoder-only Transformer, pre-norm (Radford et al. 2019, *Language models are unsupervised multitask learners*).

    Matrices start normal with a standard deviation of 0.02, and those that end a residual branch with
    0.02 / √(2 layers), as in GPT-2; the output shares the weights of the embedding. Differs from it: positions are
    rotary unless said otherwise, and a window sees nothing of the one before it.

    Args:
        vocab_size: tokens V.
        layers: number of blocks.
        width: width E of the model.
        heads: number of attention heads, which divides the width.
        feed_forward: width of the feed-forward networks; None for 4 · width.
        dropout: probability on the embeddings and inside the blocks.
        positions: ``rotary``, ``learned`` (with ``longest``), or another scheme of ``lab_attention``.
        activation: ``gelu``, ``relu`` or ``swiglu``.
        tied: use the weights of the embedding in the output.

    Attributes:
        max_length: longest text, in tokens, that positions allow; None for any.

    Shapes:
        tokens (T, B) long → (T, B, V)

    Raises:
        ParameterError: a parameter is out of range, or the heads do not divide the width.
        DataError: a window is longer than the learned positions.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        layers: int = 4,
        width: int = 128,
        heads: int = 4,
        feed_forward: int | None = None,
        dropout: float = 0.1,
        positions: str | Callable[..., Positions] = "rotary",
        activation: str = "gelu",
        tied: bool = True,
    ) -> None:
        super().__init__()
        if min(layers, width, heads) < 1 or (feed_forward is not None and feed_forward < 1) or not 0 <= dropout < 1:
            raise ParameterError(
                f"layers={layers}, width={width}, heads={heads}, feed_forward={feed_forward}, dropout={dropout}",
                where="architecture 'gpt'",
                hint="numbers are at least 1, dropout lies in [0, 1)",
            )
        options = BlockOptions(
            width,
            heads,
            4 * width if feed_forward is None else feed_forward,
            dropout,
            dropout,
            norm_first=True,
            activation=activation,  # type: ignore[arg-type]
        )
        with part("embedding"):
            self.embedding = nn.Embedding(vocab_size, width)
            nn.init.normal_(self.embedding.weight, std=_STD)
        with part("positions"):
            self.positions = positions_factory(positions)(width=width, heads=heads)
        self.dropout = Dropout(dropout)
        with part("blocks"):
            self.blocks = nn.ModuleList(CausalBlock(options) for _ in range(layers))
            for name, weight in self.blocks.named_parameters():
                if weight.dim() == 2:
                    ends = name.endswith(("attention.output.weight", "feed_forward.outer.weight"))
                    nn.init.normal_(weight, std=_STD / (2 * layers) ** 0.5 if ends else _STD)
        self.norm = make_norm(options)
        with part("output"):
            self.output = nn.Linear(width, vocab_size, bias=False)
            nn.init.normal_(self.output.weight, std=_STD)
        if tied:
            self.output.weight = self.embedding.weight
        table = getattr(self.positions, "table", None)
        self.max_length = len(table) if isinstance(table, nn.Parameter) else None

    leaves_output = True

    def forward(self, tokens: Tensor, continues: bool = False, *, leave_output: bool = False) -> Tensor | Unprojected:
        """Return the logits (T, B, V) of the token after each; ``continues`` has no effect.

        With ``leave_output``, return their input and the output, for the loss to project.
        """
        check_tokens(tokens)
        if leave_output:
            return Unprojected(self.states(self.embedding(tokens.T))[0].transpose(0, 1), self.output)
        return self.read(tokens)[0]

    def read(self, tokens: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache]:
        """Return the logits and the keys and values of all tokens so far.

        Args:
            tokens: (T, B), those behind the ones of the state.
            state: what the call for the tokens before returned.
        """
        x, state = self.states(self.embedding(tokens.T), state)
        logits: Tensor = self.output(x)
        return logits.transpose(0, 1), state

    def states(self, x: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache]:
        """Return the states (B, T, E) behind the last norm for embeddings (B, T, E), and the cache."""
        start = 0 if state is None else state[0].keys.shape[2]
        x = self.dropout(self.positions.add(x, start))
        caches = []
        for number, block in enumerate(self.blocks):
            x, cache = block(x, self.positions, None if state is None else state[number])
            caches.append(cache)
        return self.norm(x), tuple(caches)

    def select_state(self, state: Cache, rows: Tensor) -> Cache:
        """Return the cache of the texts at these indices, in this order."""
        return tuple(each.select(rows) for each in state)

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return embedding, each block, and the norm with the output, for rates and freezing by group."""
        return [[self.embedding, self.positions], *([block] for block in self.blocks), [self.norm, self.output]]
