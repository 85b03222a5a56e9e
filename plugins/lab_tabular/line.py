"""Linear regression, y = a x + b, of one variable or several: a first example, by hand and with torch, animated."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from lab import Callback, Data
from lab.errors import LabError, ParameterError, ShapeError
from lab.training.stepper import Supervised

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["FILM", "ByHand", "Line", "LineData", "LineFilm", "line"]

FILM = "line.json"


@attrs.define(eq=False, kw_only=True)
class LineData(Data):
    """Points around a line or a plane.

    Attributes:
        input_size: number of variables.
    """

    input_size: int


def line(
    *,
    slope: float | Sequence[float] = 3.0,
    intercept: float = 8.0,
    count: int = 100,
    noise: float = 0.3,
    data_seed: int = 0,
) -> LineData:
    """Noisy points on y = a x + b, x between 0 and 1; a fifth validates.

    The line and the noise are those of fast.ai 2018, lesson 5 (50 points in NumPy, 10,000 in torch). Lesson 2 of 2019
    has y = 3 x + 2 with uniform noise in [0, 1), 100 points with x in [-1, 1): its line is ``intercept=2.5,
    noise=0.289`` here, but for the range of x and the shape of the noise.

    Args:
        slope, intercept: a and b; several slopes for as many variables.
        count: number of points, at least 10.
        noise: standard deviation of y.
        data_seed: seed of the points.

    Shapes:
        x (B, F) and y (B, 1), F the number of slopes
    """
    slopes = np.atleast_1d(np.asarray(slope, np.float64))
    if count < 10:
        raise ParameterError(f"count must be at least 10, got {count}", where="dataset 'line'")
    if data_seed < 0 or not (
        slopes.size and np.isfinite(slopes).all() and math.isfinite(intercept) and 0 <= noise < math.inf
    ):
        raise ParameterError(
            f"slope={slope}, intercept={intercept}, noise={noise}, data_seed={data_seed}",
            where="dataset 'line'",
            hint="values must be finite, noise and data_seed at least 0",
        )
    generator = np.random.default_rng(data_seed)
    x = generator.uniform(size=(count, len(slopes))).astype(np.float32)
    y = ((slopes * x).sum(1, keepdims=True) + intercept + noise * generator.normal(size=(count, 1))).astype(np.float32)
    cut = count - count // 5
    parts = [
        TensorDataset(torch.from_numpy(x[part]), torch.from_numpy(y[part])) for part in (slice(cut), slice(cut, None))
    ]
    digest = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
    return LineData(*parts, fingerprint=digest, input_size=len(slopes))


class Line(nn.Module):
    """Linear model y = a x + b, with an a for each variable.

    Args:
        input_size: number of variables.
        start: initial a and b: ``zeros``; ``random``, from a standard normal distribution, as the course does in torch;
            or numbers, those of a first and b last, for example (-1, 1), as it does in NumPy.

    Shapes:
        (B, F) -> (B, 1)
    """

    def __init__(self, input_size: int = 1, *, start: Literal["zeros", "random"] | tuple[float, ...] = "zeros") -> None:
        super().__init__()
        if start == "zeros":
            first = torch.zeros(input_size + 1)
        elif start == "random":
            first = torch.randn(input_size + 1)
        elif isinstance(start, str) or len(start) != input_size + 1 or not all(math.isfinite(each) for each in start):
            raise ParameterError(
                f"start={start!r}",
                where="architecture 'line'",
                hint=f"zeros, random, or {input_size + 1} numbers: a and b",
            )
        else:
            first = torch.tensor(start, dtype=torch.float32)
        self.slope, self.intercept = nn.Parameter(first[:-1].clone()), nn.Parameter(first[-1:].clone())

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.slope.shape:
            raise ShapeError(f"x has the shape {tuple(x.shape)}, expected (B, {len(self.slope)})")
        # One variable is a product, whose rounding hangs on no order of additions.
        product = self.slope * x
        return (product if len(self.slope) == 1 else product.sum(1, keepdim=True)) + self.intercept


class ByHand(Supervised):
    """Gradient descent for ``line`` in NumPy, with the gradients derived by hand.

    The gradients of the mean squared error are 2 mean((a x + b - y) x) for each a and 2 mean(a x + b - y) for b. The
    step uses the learner's learning rate; the optimizer is not called.
    """

    def train_step(self, batch: Any) -> Tensor:
        model = self.learner.model
        if not isinstance(model, Line):
            raise LabError("the stepper 'by_hand' needs the architecture 'line'", where=type(model).__name__)
        x, y = (each.detach().cpu().numpy() for each in batch)
        a, b = (weight.detach().cpu().numpy() for weight in (model.slope, model.intercept))
        error = (a * x).sum(1, keepdims=True) + b - y
        with self.learner.level("backward"):
            gradient_a, gradient_b = 2 * (error * x).mean(0), 2 * error.mean()
        with self.learner.level("step"), torch.no_grad():
            # Schedules change the rate in the optimizer, also for a step that does not use it.
            rate = np.float32(self.learner.optimizer.param_groups[0]["lr"])
            model.slope.copy_(torch.from_numpy(a - rate * gradient_a))
            model.intercept.copy_(torch.from_numpy(b - rate * gradient_b))
        return torch.tensor(float((error**2).mean()), device=batch[0].device)


class LineFilm(Callback):
    """Record a, b and the loss of every step in ``line.json``, and animate them in ``line.gif``.

    Args:
        frames: maximum number of frames, evenly spread over the steps.
    """

    observer = True

    def __init__(self, *, frames: int = 40) -> None:
        self.frames = frames
        self.steps: list[list[float]] = []

    def check(self, learner: Learner) -> None:
        if not isinstance(learner.model, Line):
            raise LabError("the callback 'line_film' needs the architecture 'line'", where=type(learner.model).__name__)
        if len(learner.model.slope) != 1:
            raise LabError("the callback 'line_film' draws one variable", where=f"{len(learner.model.slope)} slopes")

    def after_batch(self, learner: Learner) -> None:
        model: Any = learner.model
        loss = learner.step_loss
        self.steps.append([model.slope.item(), model.intercept.item(), 0.0 if loss is None else loss.item()])

    def after_fit(self, learner: Learner) -> None:
        if learner.folder is None or not learner.is_finished:
            return
        x, y = (tensor.flatten().tolist() for tensor in learner.data.train.tensors)
        content = {"x": x, "y": y, "steps": self.steps}
        learner.artefact(FILM).write_text(json.dumps(content), encoding="utf-8")
        from lab_tabular.plots import film_of_line

        learner.artefact("line.gif").write_bytes(film_of_line(content, self.frames))

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = [list(step) for step in state["steps"]]
