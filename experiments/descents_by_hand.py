"""Does a descent arrive within a few steps, and what keeps it from it: the rate, the curvature, or noise?

*Dive into Deep Learning*, sections 11.3 and 11.4 of the second Chinese edition, each case as the book has it. On x²,
from 10 in ten steps: at a rate of 0.2 descent ends at 0.060466, at 0.05 at 3.486784, at 1.1 at 61.917364. Waves,
x cos(0.15 π x), have a local minimum in which a rate of 2 ends, at -1.528166. On a² + 2 b², from (-5, -2) in twenty
steps of 0.1: (-0.057646, -0.000073). Newton's method divides by the curvature: it finds the minimum of cosh(x / 2), on
waves it goes to 26.8341 and with half of its steps to 7.2699. With noise of 1 on each gradient (11.4) the end hangs on
the draws: at a constant rate, at one that falls as exp(-0.1 t), and as (1 + 0.1 t)^-½. What is compared is the slope at
the last point, which is 0 at a minimum, and at a maximum too. The picture of each run has the way;
`optimizer_trajectories.py` has optimizers of a library, and any surface.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

import lab
from lab import Study, use

Name = Literal[
    "x², 0.2",
    "x², 0.05",
    "x², 1.1",
    "waves, 2",
    "bowl, 0.1",
    "Newton on cosh",
    "Newton on waves",
    "Newton on waves, half",
    "noise, constant",
    "noise, exponential",
    "noise, polynomial",
]


def bowl(x: Tensor) -> Tensor:
    """Return a² + 2 b² of a point (2,)."""
    return x[0] ** 2 + 2 * x[1] ** 2


def waves(x: Tensor) -> Tensor:
    """Return x cos(0.15 π x) of a point (1,)."""
    return x[0] * torch.cos(0.15 * math.pi * x[0])


class Case(NamedTuple):
    """A descent of the book.

    Attributes:
        surface: height of a point (D,).
        rate: step size; Newton's is a share of its own step.
        start: where it begins, (D,).
        steps: how many.
        newton: divide the gradient by the Hessian.
        noise: standard deviation of what is added to each coordinate of the gradient.
        schedule: factor of the rate at a step, from 2, since the book counts before it asks.
    """

    surface: Callable[[Tensor], Tensor]
    rate: float
    start: tuple[float, ...] = (10.0,)
    steps: int = 10
    newton: bool = False
    noise: float = 0.0
    schedule: Callable[[int], float] = lambda step: 1.0


def square(x: Tensor) -> Tensor:
    """Return x² of a point (1,)."""
    return x[0] ** 2


NOISY = Case(bowl, 0.1, (-5.0, -2.0), steps=50, noise=1.0)
CASES: dict[Name, Case] = {
    "x², 0.2": Case(square, 0.2),
    "x², 0.05": Case(square, 0.05),
    "x², 1.1": Case(square, 1.1),
    "waves, 2": Case(waves, 2.0),
    "bowl, 0.1": Case(bowl, 0.1, (-5.0, -2.0), steps=20),
    "Newton on cosh": Case(lambda x: torch.cosh(0.5 * x[0]), 1.0, newton=True),
    "Newton on waves": Case(waves, 1.0, newton=True),
    "Newton on waves, half": Case(waves, 0.5, newton=True),
    "noise, constant": NOISY,
    "noise, exponential": NOISY._replace(steps=1000, schedule=lambda step: math.exp(-0.1 * step)),
    "noise, polynomial": NOISY._replace(schedule=lambda step: (1 + 0.1 * step) ** -0.5),
}


def slope_at(case: Case, point: Tensor) -> Tensor:
    """Return the gradient (D,) of the surface at a point (D,)."""
    here = point.clone().requires_grad_()
    [slope] = torch.autograd.grad(case.surface(here), here)
    return slope


def way_of(case: Case, generator: torch.Generator) -> Tensor:
    """Return the points on the way down, from the start on: (steps + 1, D)."""
    points = [torch.tensor(case.start, dtype=torch.double)]
    for step in range(2, case.steps + 2):
        slope = slope_at(case, points[-1])
        if case.noise:
            slope = slope + case.noise * torch.randn(len(slope), generator=generator, dtype=torch.double)
        if case.newton:
            curvature = torch.autograd.functional.hessian(case.surface, points[-1])  # type: ignore[no-untyped-call]
            slope = torch.linalg.solve(curvature, slope)
        points.append(points[-1] - case.rate * case.schedule(step) * slope)
    return torch.stack(points)


def descend(*, case: Name = "x², 0.2", run: lab.TaskRun) -> dict[str, float]:
    """Descend, and return the slope, the height and the coordinates of the last point."""
    chosen = CASES[case]
    way = way_of(chosen, run.streams.generator("noise"))
    for number in range(0, len(way), max(chosen.steps // 50, 1)):
        run.log(epoch=number, **steepness(chosen, way[number]))
    draw(run, case, way)
    return {**steepness(chosen, way[-1]), **dict(zip(("first", "second"), way[-1].tolist(), strict=False))}


def steepness(case: Case, point: Tensor) -> dict[str, float]:
    """Return the slope and the height of the surface at a point (D,)."""
    return {"slope": float(slope_at(case, point).norm()), "height": float(case.surface(point))}


def draw(run: lab.TaskRun, name: Name, way: Tensor) -> None:
    """Save the surface of a case, of one coordinate or two, and the points on the way."""
    from matplotlib.figure import Figure

    case = CASES[name]
    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{name}: the last point is ({', '.join(f'{each:.4g}' for each in way[-1].tolist())})", fontsize=10)
    reach = (way.abs().amax(0) * 1.2).tolist()
    across = torch.linspace(-reach[0], reach[0], 201, dtype=torch.double)
    if len(reach) == 1:
        axes.plot(across, case.surface(across[None]), color="tab:blue")
        axes.plot(way[:, 0], case.surface(way.T), "-o", color="tab:orange", markersize=3)
        axes.set(xlabel="x", ylabel="height")
    else:
        up = torch.linspace(-reach[1], reach[1], 201, dtype=torch.double)
        grid = torch.stack(torch.meshgrid(across, up, indexing="xy"))
        axes.contour(across, up, case.surface(grid), levels=12, colors="tab:blue", linewidths=0.8)
        axes.plot(way[:, 0], way[:, 1], "-o", color="tab:orange", markersize=3)
        axes.set(xlabel="a", ylabel="b")
    figure.savefig(folder / "way.png", dpi=110)


_, *others = CASES
study = Study(use(descend, case="x², 0.2"), seeds=10, compare="slope", higher_is_better=False).swap("case", others)
