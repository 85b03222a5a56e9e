"""How fast does gradient descent find the kernel of a convolution that marks edges?

*Dive into Deep Learning*, sections 6.2 to 6.5 of the second Chinese edition: cross-correlation, several channels,
kernels of one pixel and pooling are written out below, and so is the transposed convolution of section 13.10; tests
compare them with torch's. A picture of 6 by 8 pixels has a dark band; the kernel (1, -1) marks its edges. Its two
numbers are then learned from the picture and the edges alone, in 10 steps. As in the book the loss is a sum of squares:
it prints a loss of 0.022 in the last step, and the kernel (1.0010, -0.9739). Arms differ in the learning rate; what is
compared is the logarithm to base 10 of the last loss. The picture of a run has the kernel by step.
"""

import math

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

import lab
from lab import Study, use


def correlate(picture: Tensor, kernel: Tensor) -> Tensor:
    """Return the cross-correlation, written out: (H, W), (h, w) -> (H - h + 1, W - w + 1)."""
    height, width = kernel.shape
    rows, columns = picture.shape[0] - height + 1, picture.shape[1] - width + 1
    sums = [
        (picture[row : row + height, column : column + width] * kernel).sum()
        for row in range(rows)
        for column in range(columns)
    ]
    return torch.stack(sums).reshape(rows, columns)


def correlate_channels(picture: Tensor, kernels: Tensor) -> Tensor:
    """Return one map per kernel, the sum over channels: (C, H, W), (K, C, h, w) -> (K, H - h + 1, W - w + 1)."""
    maps = [torch.stack([correlate(*pair) for pair in zip(picture, kernel, strict=True)]).sum(0) for kernel in kernels]
    return torch.stack(maps)


def mix_channels(picture: Tensor, kernels: Tensor) -> Tensor:
    """Return the convolution by kernels of one pixel as a product of matrices: (C, H, W), (K, C, 1, 1) -> (K, H, W)."""
    return (kernels[:, :, 0, 0] @ picture.flatten(1)).reshape(len(kernels), *picture.shape[1:])


def transpose(picture: Tensor, kernel: Tensor) -> Tensor:
    """Return the transposed convolution, every pixel a kernel: (H, W), (h, w) -> (H + h - 1, W + w - 1)."""
    height, width = kernel.shape
    found = torch.zeros(picture.shape[0] + height - 1, picture.shape[1] + width - 1)
    for row, line in enumerate(picture):
        for column, pixel in enumerate(line):
            found[row : row + height, column : column + width] += pixel * kernel
    return found


def pool(picture: Tensor, size: int, *, mean: bool = False) -> Tensor:
    """Return the maximum, or the mean, of every window of ``size`` (s) by s: (H, W) -> (H - s + 1, W - s + 1)."""
    windows = picture.unfold(0, size, 1).unfold(1, size, 1)
    return windows.mean((2, 3)) if mean else windows.amax((2, 3))


def train(*, lr: PositiveFloat = 0.03, steps: PositiveInt = 10, run: lab.TaskRun) -> dict[str, float]:
    """Learn the kernel; return the last loss, the kernel, and how far it is from (1, -1). An "epoch" is a step."""
    picture = torch.ones(6, 8)
    picture[:, 2:6] = 0
    true = torch.tensor([[1.0, -1.0]])
    edges = correlate(picture, true)
    # torch's default for a kernel of two numbers: uniform within one over the root of two
    kernel = (torch.rand(1, 2, generator=run.streams.generator("weights")) * 2 - 1) / 2**0.5
    kernels = [kernel]
    for step in range(steps):
        kernel = kernels[-1].clone().requires_grad_()
        loss = (correlate(picture, kernel) - edges).square().sum()
        loss.backward()
        assert kernel.grad is not None
        run.log(epoch=step, loss=loss.item())
        kernels.append(kernel.detach() - lr * kernel.grad)
    draw(run, picture, edges, torch.cat(kernels))
    left, right = kernels[-1][0].tolist()
    size = math.log10(loss.item())
    return {
        "log10_of_loss": size,
        "loss": loss.item(),
        "distance": float((kernels[-1] - true).norm()),
        "left": left,
        "right": right,
    }


def draw(run: lab.TaskRun, picture: Tensor, edges: Tensor, kernels: Tensor) -> None:
    """Save the picture, its edges, and the numbers of the kernel by step."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(10, 3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, shown, title in ((left, picture, "picture"), (middle, edges, "edges")):
        axes.imshow(shown, cmap="gray", vmin=-1, vmax=1)
        axes.set(title=title, xticks=[], yticks=[])
    for column, true in enumerate((1, -1)):
        [line] = right.plot(kernels[:, column], marker="o")
        right.axhline(true, color=line.get_color(), linewidth=0.8, linestyle="--")
    right.set(title="kernel (dashed: true)", xlabel="step")
    figure.savefig(folder / "kernel.png", dpi=110)


study = Study(use(train, lr=0.03), seeds=5, compare="log10_of_loss", higher_is_better=False).swap(
    "lr", {"0.01": 0.01, "0.02": 0.02, "0.04": 0.04}
)
