"""Which way do optimizers take down a valley, and which of them are thrown out of it?

*Dive into Deep Learning*, sections 11.1 to 11.10 of the second Chinese edition: 20 steps from (-5, -2) on the flat
ellipse 0.1 a² + 2 b². Each cell has an optimizer and a rate; the picture of a run draws the surface and the points on
the way, and `valid_loss` is the height of the last one. The base is gradient descent at 0.4; `0.6` and `2` are its
other rates. Tests compare the last points with the book's. Newton's method, other surfaces, gradients with noise, and
any stepper of `lab list`:

    lab run experiments/optimizer_trajectories.py --set stepper=newton --arms 0.6
    lab run experiments/optimizer_trajectories.py --set dataset.surface=bowl --set dataset.noise=1
    lab run experiments/optimizer_trajectories.py --set "stepper=delayed_gradients(steps=2)" --arms adam
    lab run experiments/optimizer_trajectories.py --set dataset.surface=saddle --set dataset.start=[-2,1e-3]
"""

from collections.abc import Callable
from typing import Any, Literal

import attrs
import torch
from torch import Tensor, nn

from lab import Callback, Data, Experiment, Learner, Stepper, Study, hookimpl, part, use
from lab.errors import ParameterError

Surface = Literal["ellipse", "bowl", "saddle", "parabola", "waves", "plateau", "chain"]

SURFACES: dict[str, Callable[[Tensor], Tensor]] = {
    "ellipse": lambda x: 0.1 * x[0] ** 2 + 2 * x[1] ** 2,
    "bowl": lambda x: x[0] ** 2 + 2 * x[1] ** 2,
    "saddle": lambda x: x[0] ** 2 - x[1] ** 2,
    "parabola": lambda x: x[0] ** 2,
    "waves": lambda x: x[0] * torch.cos(0.15 * torch.pi * x[0]),
    "plateau": lambda x: torch.tanh(x[0]) ** 2,
    "chain": lambda x: torch.cosh(0.5 * x[0]),
}
"""Name → height at a point (D,); the last four have one coordinate."""

STARTS = {"ellipse": (-5.0, -2.0), "bowl": (-5.0, -2.0), "saddle": (-2.0, 1e-3), "plateau": (4.0,)}


@attrs.define(eq=False, kw_only=True)
class Descent(Data):
    """Steps down a surface.

    Attributes:
        surface: its name.
        start: where the point begins.
    """

    surface: str
    start: tuple[float, ...]


def descent(
    *, surface: Surface = "ellipse", start: tuple[float, ...] | None = None, steps: int = 20, noise: float = 0.0
) -> Descent:
    """Return steps down a surface: each example is the noise that is added to one gradient.

    Args:
        surface: what is descended.
        start: where the point begins; None for the book's.
        steps: how many, in one epoch.
        noise: standard deviation of each coordinate of a gradient.

    Raises:
        ParameterError: the start has another number of coordinates than the surface, or a number is out of range.
    """
    usual = STARTS.get(surface, (10.0,))
    begin = usual if start is None else tuple(start)
    if len(begin) != len(usual):
        raise ParameterError(
            f"surface '{surface}' has {len(usual)} coordinate{'s' if len(usual) > 1 else ''}, start has {len(begin)}: "
            + str(list(begin)),
            where="dataset 'descent'",
            hint=f"start={list(usual)} is the usual one of this surface",
        )
    if steps < 1:
        raise ParameterError(f"steps must be at least 1, got {steps}", where="dataset 'descent'")
    if noise < 0:
        raise ParameterError(f"noise must be at least 0, got {noise}", where="dataset 'descent'")
    draws = noise * torch.randn(steps, len(begin), generator=torch.Generator().manual_seed(0))
    rows = [(draw, torch.zeros(())) for draw in draws]
    return Descent(train=rows, valid=[(torch.zeros(len(begin)), torch.zeros(()))], surface=surface, start=begin)


class Point(nn.Module):
    """Height of a point on a surface, whose gradient has the noise of a batch; the point is what is learned."""

    def __init__(self, surface: str, start: tuple[float, ...]) -> None:
        super().__init__()
        self.height = SURFACES[surface]
        # nothing is drawn: the part says that all arms begin at the same point
        with part("point"):
            self.point = nn.Parameter(torch.tensor(start))

    def forward(self, noise: Tensor) -> Tensor:
        """Return the heights (B,) for noise (B, D); the noise has no height of its own, only a gradient."""
        shift = noise @ (self.point - self.point.detach())
        return self.height(self.point) + shift


def height(output: Tensor, target: Tensor) -> Tensor:
    """Mean height; there is no target.

    Shapes:
        output (B,), target (B,) -> scalar
    """
    return output.mean() + 0 * target.mean()


class Newton(Stepper):
    """Newton's method: the gradient divided by the Hessian, before the optimizer multiplies it by the rate.

    Where a surface is not convex, it goes to where the slope is zero, uphill as well; ``absolute`` divides by the
    absolute values of the Hessian's eigenvalues instead, and stays a descent.

    Args:
        absolute: take absolute values of the curvature.
    """

    def __init__(self, *, absolute: bool = False) -> None:
        self.absolute = absolute

    def train_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        noise, target = batch
        model = self.learner.model
        loss = self.learner.loss(model(noise), target)
        self.backward(loss)
        curvature = torch.autograd.functional.hessian(model.height, model.point.detach())
        values, vectors = torch.linalg.eigh(curvature)
        values = values.abs() if self.absolute else values
        model.point.grad = vectors @ ((vectors.T @ model.point.grad) / values)
        self.optimizer_step()
        return loss.detach()

    def valid_step(self, batch: tuple[Tensor, Tensor]) -> Any:
        noise, target = batch
        return self.evaluation(self.learner.model(noise), target)


@hookimpl
def lab_steppers() -> dict[str, Any]:
    """Name Newton's method, so that ``--set stepper=newton`` finds it."""
    return {"newton": Newton}


class Trajectory(Callback):
    """Picture of the surface and of the points on the way."""

    observer = True

    def __init__(self) -> None:
        self.points: list[list[float]] = []

    def before_step(self, learner: Learner) -> None:
        self.points.append(learner.model.point.tolist())

    def after_fit(self, learner: Learner) -> None:
        if learner.folder is not None and learner.is_finished:
            folder = learner.folder / "artefacts"
            folder.mkdir(exist_ok=True)
            path = torch.tensor([*self.points, learner.model.point.tolist()])
            draw(learner.model.height, path).savefig(folder / "trajectory.png", dpi=110)

    def state_dict(self) -> dict[str, Any]:
        return {"points": self.points}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.points = state["points"]


def draw(surface: Callable[[Tensor], Tensor], path: Tensor) -> Any:
    """Return a figure of a surface of one or two coordinates, and of the points (N, D) on the way."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{len(path) - 1} steps to ({', '.join(f'{each:.4g}' for each in path[-1].tolist())})", fontsize=10)
    widest = path[path.abs().amax(1) < 4 * path[0].abs().amax()].abs().amax(0).clamp(min=0.5) * 1.2
    across = torch.linspace(-float(widest[0]), float(widest[0]), 201)
    if path.shape[1] == 1:
        axes.plot(across.numpy(), surface(across[None]).numpy(), color="tab:blue")
        axes.plot(path[:, 0].numpy(), surface(path.T).numpy(), "-o", color="tab:orange", markersize=3)
        axes.set(xlabel="x", ylabel="f(x)", xlim=(-float(widest[0]), float(widest[0])))
        return figure
    up = torch.linspace(-float(widest[1]), float(widest[1]), 201)
    grid = torch.stack(torch.meshgrid(across, up, indexing="xy"))
    axes.contour(across.numpy(), up.numpy(), surface(grid).numpy(), levels=12, colors="tab:blue", linewidths=0.8)
    axes.plot(path[:, 0].numpy(), path[:, 1].numpy(), "-o", color="tab:orange", markersize=3)
    # a path that leaves the picture is cut
    wide, high = widest.tolist()
    axes.set(xlabel="a", ylabel="b", xlim=(-wide, wide), ylim=(-high, high))
    return figure


base = Experiment(
    dataset=use(descent, surface="ellipse"),
    architecture=use(Point),
    loss=use(height),
    sampler="shuffle",
    optimizer="sgd",
    callbacks=[use(Trajectory)],
    lr=0.4,
    batch_size=1,
    epochs=1,
)
study = Study(base, seeds=1).grid(
    {
        "optimizer": {
            "gradient descent": "sgd",
            "momentum 0.25": use("sgd", momentum=0.25),
            "momentum 0.5": use("sgd", momentum=0.5),
            "adagrad": use("adagrad", eps=1e-6),
            "rmsprop": use("rmsprop", alpha=0.9, eps=1e-6),
            "adam": "adam",
        },
        "lr": {"0.4": 0.4, "0.6": 0.6, "2": 2.0},
    }
)
