"""How far ahead can a network predict a noisy sine, one step at a time?

*Dive into Deep Learning*, section 8.1 of the second Chinese edition: x = sin(0.01 t) + noise of 0.2, t from 1 to 1,000.
A network of 10 hidden units with ReLU sees four values and predicts the next; it learns from the first 600, with Adam
at 0.01, batches of 16, 5 epochs. Predictions k steps ahead take k - 1 predictions as inputs. Arms: more values are
seen. The picture of each run has predictions 1, 4, 16 and 64 steps ahead, and those that start at 600 and see no data
thereafter.
"""

import torch
from lab_basics.checks import check_sizes
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

import lab
from lab import Study, use
from lab.errors import ParameterError


def predict_ahead(model: nn.Module, series: Tensor, window: int, steps: int) -> Tensor:
    """Return predictions 1 to ``steps`` steps ahead, (N - window - steps + 1, steps), of a series (N,)."""
    known = series.unfold(0, window, 1)[: len(series) - window - steps + 1]
    found = []
    with torch.no_grad():
        for _ in range(steps):
            found.append(model(known))
            known = torch.cat([known[:, 1:], found[-1]], 1)
    return torch.cat(found, 1)


def train(
    *,
    window: PositiveInt = 4,
    epochs: PositiveInt = 5,
    lr: PositiveFloat = 0.01,
    noise: NonNegativeFloat = 0.2,
    known: int = 600,
    run: lab.TaskRun,
) -> dict[str, float]:
    """Train the network, and return its squared errors 1, 4, 16 and 64 steps ahead, after what it learned from.

    Raises:
        ParameterError: a number is out of range.
    """
    check_sizes("task 'train'", least=window, known=known)
    if window + known + 64 > 1000:
        raise ParameterError(f"window={window} and known={known} leave too few of 1,000 values", where="task 'train'")
    draws = run.streams.generator("data")
    series = torch.sin(0.01 * torch.arange(1, 1001)) + noise * torch.randn(1000, generator=draws)
    inputs, target = series[:-1].unfold(0, window, 1), series[window:]
    model = nn.Sequential(nn.Linear(window, 10), nn.ReLU(), nn.Linear(10, 1))
    weights = run.streams.generator("weights")
    for layer in (model[0], model[2]):
        nn.init.xavier_uniform_(layer.weight, generator=weights)
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    for epoch in range(epochs):
        for rows in torch.randperm(known, generator=run.streams.generator("order")).split(16):
            optimizer.zero_grad()
            (model(inputs[rows])[:, 0] - target[rows]).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            loss = float((model(inputs[:known])[:, 0] - target[:known]).square().mean())
        run.log(epoch=epoch, train_loss=loss)
    ahead = predict_ahead(model, series, window, 64)
    rolled = torch.cat([series[:known], roll(model, series[known - window : known], len(series) - known)])
    draw(run, series, ahead, rolled[known:], window)
    # The error is against the sine itself: the noise cannot be predicted.
    truth = torch.sin(0.01 * torch.arange(1, 1001))
    errors = {}
    for step in (1, 4, 16, 64):
        times = torch.arange(len(ahead)) + window + step - 1
        late = times >= known + window
        errors[f"error_{step}"] = float((ahead[late, step - 1] - truth[times[late]]).square().mean())
    return {"train_loss": loss, **errors, "error_alone": float((rolled - truth)[known:].square().mean())}


def roll(model: nn.Module, last: Tensor, steps: int) -> Tensor:
    """Return predictions (steps,) that follow the last values (window,), each from the ones before."""
    found = last.tolist()
    with torch.no_grad():
        for _ in range(steps):
            found.append(float(model(torch.tensor(found[-len(last) :])[None])))
    return torch.tensor(found[len(last) :])


def draw(run: lab.TaskRun, series: Tensor, ahead: Tensor, rolled: Tensor, window: int) -> None:
    """Save predictions so many steps ahead, and the last ones, without data, beside the series."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(series.numpy(), color="lightgray", label="data")
    for step in (1, 4, 16, 64):
        times = torch.arange(len(ahead)) + window + step - 1
        axes.plot(times.numpy(), ahead[:, step - 1].numpy(), lw=1, label=f"{step} ahead")
    known = len(series) - len(rolled)
    axes.plot(range(known, len(series)), rolled.numpy(), lw=1, ls="--", color="black", label=f"no data after {known}")
    axes.set(xlabel="time", ylim=(-1.7, 2.4))
    axes.legend(ncols=3, loc="upper right")
    figure.savefig(folder / "ahead.png", dpi=110)


study = Study(use(train, window=4), seeds=10, compare="error_1", higher_is_better=False).swap(
    "window", {"16 values": 16, "64 values": 64}
)
