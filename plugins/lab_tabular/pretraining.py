"""Self-supervised pretraining: a denoising autoencoder of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import Callback, Learner
from lab.errors import LabError, ParameterError
from lab.training.stepper import Evaluation, Stepper
from lab_tabular.models import TabularMLP

if TYPE_CHECKING:
    from lab_tabular.data import TableBatch

__all__ = ["Autoencoder", "AutoencoderPretraining"]


class Autoencoder(nn.Module):
    """Body of a network with a decoder that reconstructs its inputs.

    Args:
        body: a ``tabular_mlp``; its output layer is not used.
        category_sizes: number of codes of each categorical column.
        bottleneck: width of a layer with ReLU between body and decoder; None has none.

    Shapes:
        codes (B, C), numbers (B, D) -> a list of C logits (B, size), and numbers (B, D)
    """

    def __init__(self, body: TabularMLP, category_sizes: tuple[int, ...], *, bottleneck: int | None = None) -> None:
        super().__init__()
        self.body = body
        self.sizes, count = list(category_sizes), body.sizes[1]
        width = body.output.in_features
        narrow = [] if bottleneck is None else [nn.Linear(width, bottleneck), nn.ReLU()]
        self.decoder = nn.Sequential(*narrow, nn.Linear(bottleneck or width, sum(self.sizes) + count))

    def forward(self, categorical: Tensor, continuous: Tensor) -> tuple[list[Tensor], Tensor]:
        decoded = self.decoder(self.body.hidden(self.body.inputs(categorical, continuous)))
        numbers = decoded.shape[1] - sum(self.sizes)
        *codes, continuous = decoded.split([*self.sizes, numbers], 1)
        return codes, continuous


class _Denoise(Stepper):
    """Reconstruct rows in which some cells were replaced by those of other rows."""

    def __init__(self, share: float) -> None:
        self.share = share

    def train_step(self, batch: TableBatch) -> Tensor:
        loss = self._loss(batch, self._noisy(batch.categorical), self._noisy(batch.continuous))
        self.backward(loss, len(batch.target))
        self.optimizer_step()
        return loss.detach()

    def valid_step(self, batch: TableBatch) -> Evaluation:
        loss = self._loss(batch, batch.categorical, batch.continuous)
        return Evaluation(loss, None, None, len(batch.target))

    def _noisy(self, cells: Tensor) -> Tensor:
        # Drawn on the CPU, so that the noise is the same on every device.
        generator = self.learner.streams.generator("stepper")
        others = torch.rand(cells.shape, generator=generator).argsort(0).to(cells.device)
        swapped = (torch.rand(cells.shape, generator=generator) < self.share).to(cells.device)
        return torch.where(swapped, cells.gather(0, others), cells)

    def _loss(self, batch: TableBatch, categorical: Tensor, continuous: Tensor) -> Tensor:
        """Return the mean over columns of the cross-entropy of codes and the squared error of numbers."""
        codes, numbers = self.learner.model(categorical, continuous)
        losses = [functional.cross_entropy(logits, batch.categorical[:, c]) for c, logits in enumerate(codes)]
        losses += list((numbers - batch.continuous).square().mean(0))
        return torch.stack(losses).mean()


class AutoencoderPretraining(Callback):
    """Pretrain the body as a denoising autoencoder of rows with swap noise, before training starts.

    After Jahrer's winning entry of the Porto Seguro competition (2017), which fast.ai 2018, lesson 4, tells of. Differs
    from the lesson's words, which are of a middle layer with fewer activations than inputs, and of no noise: that is
    ``bottleneck`` with ``share=0``. Neither targets nor validation rows are used. Afterwards the output layer is
    untrained.

    Args:
        epochs: number of epochs.
        lr: learning rate, with Adam and the one-cycle schedule.
        share: fraction of the cells that are swapped.
        bottleneck: width of a layer between body and decoder, which is dropped afterwards; None has none.
    """

    rehearse = False  # it trains
    reads_metrics = False

    def __init__(
        self, *, epochs: int = 5, lr: float = 1e-3, share: float = 0.15, bottleneck: int | None = None
    ) -> None:
        if bottleneck is not None and bottleneck < 1:
            raise ParameterError(f"bottleneck must be at least 1, got {bottleneck}", where="callback 'autoencoder'")
        if not 0 <= share < 1:
            raise ParameterError(f"share must lie in [0, 1), got {share}", where="callback 'autoencoder'")
        self.epochs, self.lr, self.share, self.bottleneck = epochs, lr, share, bottleneck
        self.losses: list[float] = []

    def check(self, learner: Learner) -> None:
        if not isinstance(learner.model, TabularMLP):
            raise LabError("the callback 'autoencoder' needs a tabular_mlp", where=type(learner.model).__name__)

    def before_fit(self, learner: Learner) -> None:
        # Resumed: the weights are pretrained already.
        if learner.position.step or learner.epochs_done or self.losses:
            return
        body: Any = learner.model
        # A stream of its own, so that pretraining shifts no random number of the training that follows.
        seed = learner.streams.seed("autoencoder") % 2**31
        with learner.streams.initializing():
            model = Autoencoder(body, learner.data.facts()["category_sizes"], bottleneck=self.bottleneck)
        # Without validation rows: pretraining must not see them.
        data = type(learner.data)(
            **{name: getattr(learner.data, name) for name in _fields(learner.data)} | {"valid": None, "test": None}
        )
        pretraining = Learner(
            model,
            data,
            _no_loss,
            lr=self.lr,
            batch_size=learner.batch_size,
            stepper=_Denoise(self.share),
            seed=seed,
            device=learner.device,
            progress=False,
        )
        pretraining.fit_one_cycle(self.epochs)
        self.losses = [row["train_loss"] for row in pretraining.history]
        learner.say(f"autoencoder: loss {self.losses[0]:.4f} → {self.losses[-1]:.4f} in {self.epochs} epochs")

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses = list(state["losses"])


def _fields(data: Any) -> list[str]:
    import attrs

    return [field.name for field in attrs.fields(type(data))]


def _no_loss(output: Any, target: Any) -> Tensor:
    raise NotImplementedError("the stepper has a loss of its own")
