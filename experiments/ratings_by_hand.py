"""How many factors does a table of ratings need, if gradient descent fills it as a spreadsheet would?

Lesson 4 of fast.ai 2018: the fifteen most active users and the fifteen films that were rated most, a number of factors
for each user and film, drawn between 0 and 1, their dot products, and a solver that minimizes the root of the mean
squared error of the ratings that are there, here by gradient descent with momentum. With 5 factors, the lesson's sheet
begins at 2.81. The picture of each run has the ratings beside the products. Needs movielens_small_2016 in LAB_DATA;
without it, generated ratings: `--set corpus=embedded`.
"""

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

import lab
from lab import Study, use

SIZE = 15


def table_of(corpus: str) -> Tensor:
    """Return the ratings (15, 15) of the most active users and most rated items, NaN where there is none."""
    from lab_collab.sources import read_corpus

    source = read_corpus(corpus)
    rows, columns = (most_frequent(list(names)) for names in (source.users, source.items))
    found = torch.full((SIZE, SIZE), torch.nan)
    for user, item, rating in zip(source.users, source.items, source.ratings, strict=True):
        if user in rows and item in columns:
            found[rows[user], columns[item]] = float(rating)
    return found


def most_frequent(names: list[str]) -> dict[str, int]:
    """Return the 15 most frequent names with their ranks from 0; ties in order of appearance."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return {name: rank for rank, name in enumerate(sorted(counts, key=lambda each: -counts[each])[:SIZE])}


def solve(
    *,
    corpus: str = "movielens_small_2016",
    factors: PositiveInt = 5,
    steps: PositiveInt = 2000,
    lr: PositiveFloat = 0.3,
    run: lab.TaskRun,
) -> dict[str, float]:
    """Fit factors to the table, and return the errors before and after."""
    ratings = table_of(corpus)
    known = ~ratings.isnan()
    draws = run.streams.generator("factors")
    users, items = (torch.rand(SIZE, factors, generator=draws).requires_grad_() for _ in range(2))
    optimizer = torch.optim.SGD([users, items], lr, momentum=0.9)
    first = 0.0
    for step in range(steps):
        error = (users @ items.T - ratings)[known].square().mean().sqrt()
        optimizer.zero_grad()
        error.backward()
        # The gradient of a root is as long near the minimum as far away: the rate has to fall.
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        optimizer.step()
        first = first or float(error)
        if step % 50 == 0:
            run.log(step=step, rmse=float(error))
    with torch.no_grad():
        products = users @ items.T
    last = float((products - ratings)[known].square().mean().sqrt())
    draw(run, ratings, products)
    return {"start": first, "rmse": last, "known": float(known.sum())}


def draw(run: lab.TaskRun, ratings: Tensor, products: Tensor) -> None:
    """Save the ratings beside the products of the factors."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, title, values in zip(figure.subplots(1, 2), ("rated", "predicted"), (ratings, products), strict=True):
        drawn = axes.imshow(values.numpy(), vmin=0, vmax=5)
        axes.set(title=title, xlabel="film", ylabel="user")
    figure.colorbar(drawn, ax=figure.axes)
    figure.savefig(folder / "ratings.png", dpi=110)


study = Study(use(solve, factors=5), seeds=10, compare="rmse", higher_is_better=False).swap(
    "factors", {"1 factor": 1, "2 factors": 2, "15 factors": 15}
)
