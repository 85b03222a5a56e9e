"""Does a deeper network help on two moons? A Lightning module and trainer."""

from itertools import pairwise

import lightning
import torch
from lab_bridges.lightning import LabCallback
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lab
from lab import Study, use


class Classifier(lightning.LightningModule):
    """Multilayer perceptron for points in the plane."""

    def __init__(self, width: int, depth: int, lr: float) -> None:
        super().__init__()
        sizes = [2] + [width] * depth
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
        self.net, self.lr = nn.Sequential(*layers, nn.Linear(width, 2)), lr

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        output = self.net(batch[0])
        self.log("valid_loss", nn.functional.cross_entropy(output, batch[1]))
        self.log("valid_accuracy", (output.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def train(*, width: int = 16, depth: int = 1, lr: float = 1e-2, epochs: int = 4, run: lab.TaskRun) -> dict[str, float]:
    """Train the classifier and return the metrics of its last validation."""
    x = torch.rand(600, 2, generator=torch.Generator().manual_seed(0)) * 4 - 2
    y = (x[:, 1] > torch.sin(3 * x[:, 0])).long()
    shuffle = run.streams.generator("sampler")
    batches = DataLoader(TensorDataset(x[:400], y[:400]), batch_size=32, shuffle=True, generator=shuffle)
    held_out = DataLoader(TensorDataset(x[400:], y[400:]), batch_size=200)
    callback = LabCallback(run)
    trainer = lightning.Trainer(max_epochs=epochs, callbacks=[callback], **callback.trainer_options())
    trainer.fit(Classifier(width, depth, lr), batches, held_out, **callback.fit_options())
    return callback.metrics()


study = Study(use(train), seeds=3, compare="valid_accuracy", higher_is_better=True).swap("depth", {"two layers": 2})
