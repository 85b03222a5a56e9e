"""Does a wider layer help? The whole training is a function of your own."""

import torch

import lab
from lab import Study, use


def train(*, lr: float = 3e-3, width: int = 64, run: lab.TaskRun) -> dict[str, float]:
    """Train a small network and return its accuracy on held-out points."""
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    y = (x.sum(1) > 0).long()
    model = torch.nn.Sequential(torch.nn.Linear(8, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(5):
        for part in range(0, 160, 16):
            loss = torch.nn.functional.cross_entropy(model(x[part : part + 16]), y[part : part + 16])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        accuracy = float((model(x[160:]).argmax(1) == y[160:]).float().mean())
        run.log(epoch=epoch, valid_accuracy=accuracy)
    return {"valid_accuracy": accuracy}


study = Study(use(train, lr=3e-3, width=64), seeds=5, compare="valid_accuracy", higher_is_better=True).swap(
    "width", [4, 128]
)
