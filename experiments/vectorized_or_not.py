"""Is a product of two matrices slower number by number, or column by column, and by how much?

*Dive into Deep Learning*, section 11.5 of the second Chinese edition, which explains minibatches by it: two matrices of
256 rows, multiplied by element, by column, at once, and in blocks of 64 columns. The book prints 0.017, 0.459, 51.6 and
37.6 billion operations per second, for which it divides 0.03 billion by the seconds; a product has 2 · 256³, a ninth
more. All ways give the same matrix; the best of the rounds counts. Figures compare on one machine alone:

    lab run experiments/vectorized_or_not.py --threads 1 --workers 1
"""

import time
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

import lab
from lab import Study, use

Way = Literal["by element", "by column", "at once", "in blocks"]


def multiply(left: Tensor, right: Tensor, way: Way, block: int) -> Tensor:
    """Return the product: (N, N), (N, N) -> (N, N)."""
    if way == "at once":
        return left @ right
    size = len(left)
    found = torch.zeros(size, size)
    if way == "by element":
        for row in range(size):
            for column in range(size):
                found[row, column] = left[row] @ right[:, column]
        return found
    width = 1 if way == "by column" else block
    for start in range(0, size, width):
        found[:, start : start + width] = left @ right[:, start : start + width]
    return found


def measure(
    *, way: Way = "at once", size: PositiveInt = 256, block: PositiveInt = 64, rounds: PositiveInt = 5, run: lab.TaskRun
) -> dict[str, float]:
    """Multiply some times, and return the fastest rate and the distance from the product at once.

    Args:
        way: how it is multiplied.
        size: rows and columns of both matrices.
        block: columns at a time, in blocks.
        rounds: how often.
    """
    draws = run.streams.generator("matrices")
    left, right = (torch.randn(size, size, generator=draws) for _ in range(2))
    # the first product of a process starts torch's threads
    wanted = left @ right
    rates = []
    for number in range(rounds):
        started = time.perf_counter()
        found = multiply(left, right, way, block)
        rates.append(2 * size**3 / (time.perf_counter() - started) / 1e9)
        run.log(epoch=number, gflops=rates[-1])
    return {"gflops": max(rates), "difference": float((found - wanted).abs().max())}


study = Study(use(measure, way="at once"), seeds=3, compare="gflops", higher_is_better=True).swap(
    "way", ["in blocks", "by column", "by element"]
)
