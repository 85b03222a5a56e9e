"""Loss of sequence models: cross-entropy over the flattened sequence."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lab_attention.fused.projection import projected_cross_entropy
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from lab.errors import ParameterError, ShapeError
from lab_seq2seq.fused.projection import Unprojected

__all__ = ["Padding", "Seq2SeqLoss", "fit_length", "seq2seq_loss", "token_losses"]

Padding = Literal["ignore", "count"]


def seq2seq_loss(
    output: Tensor | PackedSequence | Unprojected,
    target: Tensor,
    pad_id: int,
    *,
    padding: Padding = "ignore",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross-entropy over the flattened sequence; shorter outputs are padded with zeros, longer ones cut.

    fast.ai's 2018 translation lesson; there padding counts as a word to be predicted (``padding="count"``). Label
    smoothing after Szegedy et al. 2016, arXiv:1512.00567.

    Args:
        output: (T', B, V) logits, or the packed logits of the real tokens alone, or their features with the projection
            that makes logits of them; then logits are made chunk by chunk and never whole.
        target: (T, B) ids.
        pad_id: id of padding.
        padding: "ignore" takes the mean over real tokens, "count" over all positions.
        label_smoothing: share of the target probability spread over all words, in [0, 1).

    Raises:
        ShapeError: batch sizes disagree; the message gives both shapes.
        ParameterError: packed logits or features with ``padding="count"``.
    """
    if isinstance(output, Unprojected):
        if padding != "ignore":
            raise ParameterError("packed features hold no padding to be counted", where="seq2seq_loss")
        features, weight, bias = output
        ids = packed_like(target, features)
        return projected_cross_entropy(features.data, weight, bias, ids, label_smoothing=label_smoothing)
    if isinstance(output, PackedSequence):
        if padding != "ignore":
            raise ParameterError("packed logits hold no padding to be counted", where="seq2seq_loss")
        losses = token_losses(output.data, packed_like(target, output), label_smoothing)
        return losses.mean()
    _check(output, target)
    output = fit_length(output, len(target))
    if padding == "count":
        return token_losses(output.flatten(0, 1), target.flatten(), label_smoothing).mean()
    real = target.flatten() != pad_id
    losses = token_losses(output.flatten(0, 1), target.flatten(), label_smoothing)
    # where and not indexing: boolean indexing would synchronize with a GPU to learn the size.
    return torch.where(real, losses, 0).sum() / real.sum()


class Seq2SeqLoss(nn.Module):
    """``seq2seq_loss`` as a component.

    Attributes:
        accepts_packed: whether a stepper may leave padding out and hand over packed logits.
        accepts_unprojected: whether it may hand over packed features and leave the projection onto the vocabulary here.

    Args:
        pad_id: id of padding.
        padding: "ignore" takes the mean over real tokens; "count" over all positions, as fast.ai's 2018 lesson does.
        label_smoothing: share of the target probability spread over all words, in [0, 1).
    """

    def __init__(self, pad_id: int, *, padding: Padding = "ignore", label_smoothing: float = 0.0) -> None:
        super().__init__()
        if padding not in ("ignore", "count"):
            raise ParameterError(
                f"unknown padding '{padding}'", where="loss 'seq2seq_loss'", hint="one of: ignore, count"
            )
        if not 0 <= label_smoothing < 1:
            raise ParameterError(
                f"label_smoothing must lie in [0, 1), got {label_smoothing}", where="loss 'seq2seq_loss'"
            )
        self.pad_id, self.padding, self.label_smoothing = pad_id, padding, label_smoothing

    @property
    def accepts_packed(self) -> bool:
        return self.padding == "ignore"

    @property
    def accepts_unprojected(self) -> bool:
        return self.padding == "ignore"

    def forward(self, output: Tensor | PackedSequence | Unprojected, target: Tensor) -> Tensor:
        return seq2seq_loss(output, target, self.pad_id, padding=self.padding, label_smoothing=self.label_smoothing)

    def mean_over(self, output: Any, target: Tensor) -> Tensor:
        """Return the weight of a batch (T, B) in an epoch's mean: its real tokens, or with "count" its sentences."""
        # The lesson averages batches by their number of sentences.
        return target.new_tensor(target.shape[1]) if self.padding == "count" else (target != self.pad_id).sum()


def token_losses(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of every position: logits (N, V), ids (N) -> (N)."""
    return functional.cross_entropy(logits, target, reduction="none", label_smoothing=label_smoothing)


def packed_like(target: Tensor, output: PackedSequence) -> Tensor:
    """Return the ids (N,) of (T, B) at the positions of the values of ``output``."""
    if output.sorted_indices is not None:
        target = target.index_select(1, output.sorted_indices)
    # The batch sizes are on the CPU, so this needs no synchronization.
    return torch.cat([row[:size] for row, size in zip(target, output.batch_sizes.tolist(), strict=False)])


def fit_length(output: Tensor, length: int) -> Tensor:
    """Return (T', B, V) logits with exactly ``length`` steps: cut, or padded with zeros (all words equally likely)."""
    missing = length - len(output)
    return functional.pad(output, (0, 0, 0, 0, 0, missing)) if missing > 0 else output[:length]


def _check(output: Tensor, target: Tensor) -> None:
    if output.dim() != 3 or target.dim() != 2 or output.shape[1] != target.shape[1]:
        raise ShapeError(
            f"the loss needs logits (T, B, V) and a target (T, B), got {tuple(output.shape)} and {tuple(target.shape)}",
            where="seq2seq_loss",
        )
