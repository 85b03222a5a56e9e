"""Does a product of a hundred random matrices explode or vanish, and at which size of their numbers does it stay?

*Dive into Deep Learning*, section 4.8 of the second Chinese edition: a hundred matrices of 4 by 4 with entries from
N(0, 1), multiplied, have entries of about 1e26 in the book's print. A deviation of a half, one over the root of the
width as in Xavier's rule, keeps the mean of a vector's squared length; but few draws make that mean, and nearly all
products shrink. The typical length stays at exp(-(log 2 + ψ(2)) / 2) = 0.572 (Newman 1986, "The distribution of
Lyapunov exponents", Communications in Mathematical Physics 103). Compared is by how many orders of magnitude the
largest entry differs from 1; the picture of a run has it after every matrix.
"""

import torch
from pydantic import PositiveFloat, PositiveInt

import lab
from lab import Study, use


def multiply(
    *, deviation: PositiveFloat = 1.0, count: PositiveInt = 100, size: PositiveInt = 4, run: lab.TaskRun
) -> dict[str, float]:
    """Multiply matrices, and return log₁₀ of the largest entry, and how far it is from 0.

    Args:
        deviation: of the entries.
        count: how many matrices.
        size: their rows and columns.
    """
    draws = run.streams.generator("matrices")
    product = torch.eye(size, dtype=torch.double)
    sizes = []
    for number in range(count):
        product = product @ (deviation * torch.randn(size, size, generator=draws, dtype=torch.double))
        sizes.append(float(product.abs().max().log10()))
        if number % 10 == 9:
            run.log(epoch=number, log10_of_largest=sizes[-1])
    draw(run, sizes)
    return {"log10_of_largest": sizes[-1], "orders_from_one": abs(sizes[-1])}


def draw(run: lab.TaskRun, sizes: list[float]) -> None:
    """Save the size of the product by the number of matrices."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(sizes) + 1), sizes)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="matrices", ylabel="log10 of the largest entry")
    figure.savefig(folder / "product.png", dpi=110)


study = Study(use(multiply, deviation=1.0), seeds=10, compare="orders_from_one", higher_is_better=False).swap(
    "deviation", {"0.572": 0.572, "0.5": 0.5, "0.25": 0.25}
)
