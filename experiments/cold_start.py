"""How well does a model know a new user after a few ratings, and which films should it ask about?

Lesson 5 of fast.ai 2018: a service asks newcomers for some twenty films. A fifth of the users is left out of the
training altogether. Half of the ratings of each is then revealed as far as the study says, the most popular films
first, or those that people disagree about, or at random; bias and factors of the newcomer are fitted to them, and the
other half is predicted. With no rating, a newcomer is the mean user. `embedded` ratings are generated; with LAB_DATA:

    lab run experiments/cold_start.py --set corpus=movielens_small_2016

There, seed 0: an error of 1.08 without ratings, 1.01 after twenty and 0.95 after half of all that a user rated.
"""

from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt

import lab
from lab import Learner, Study, use


def newcomers(
    *,
    corpus: str = "embedded",
    asked: int = 20,
    order: Literal["popularity", "entropy", "random"] = "popularity",
    penalty: float = 0.2,
    epochs: PositiveInt = 4,
    run: lab.TaskRun,
) -> dict[str, float]:
    """Train without some users, and return the error on half of their ratings after the others were revealed."""
    from attrs import evolve
    from lab_basics.losses import mse
    from lab_basics.optimizers import adam
    from lab_collab.data import ratings_of_source
    from lab_collab.models import DotBias
    from lab_collab.newcomers import fold_in_items, items_to_ask
    from lab_collab.sources import read_corpus

    source = read_corpus(corpus)
    generator = np.random.default_rng(run.seed)
    left_out = generator.permutation(np.unique(source.users))[: len(np.unique(source.users)) // 5]
    is_new = np.isin(source.users, left_out)
    names = ("users", "items", "ratings", "times")
    data = ratings_of_source(
        evolve(source, **{name: getattr(source, name)[~is_new] for name in names}), valid_share=0.1
    )
    model = DotBias(
        data.user_count, data.item_count, data.mean_rating, data.rating_range, n_factors=10, y_range=(0.0, 5.5)
    )
    learner = Learner(
        model, data, mse, lr=1e-2, batch_size=128, progress=False, seed=run.seed,
        optimizer=lambda groups, lr: adam(groups, lr, weight_decay=1e-4),
    )  # fmt: skip
    learner.fit_one_cycle(epochs)
    rank = torch.empty(data.item_count)
    if order == "random":
        rank[1:] = torch.from_numpy(generator.permutation(data.item_count - 1)).float()
    else:
        rank[torch.tensor(items_to_ask(data, data.item_count, by=order))] = torch.arange(data.item_count - 1.0)
    numbers = torch.tensor([data.item_number(each) for each in source.items[is_new]])
    values = torch.from_numpy(source.ratings[is_new]).float()
    users = source.users[is_new]
    errors = []
    for name in left_out:
        rows = torch.from_numpy(generator.permutation(np.flatnonzero(users == name)))
        rows = rows[numbers[rows] > 0]
        revealed, judged = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        known = revealed[rank[numbers[revealed]].argsort()][:asked]
        newcomer = fold_in_items(learner.model, numbers[known], values[known], penalty=penalty)
        errors.append((newcomer.predict(numbers[judged]) - values[judged]).square())
    return {"rmse": float(torch.cat(errors).mean().sqrt()), "users": float(len(left_out))}


study = (
    Study(use(newcomers, asked=20), seeds=3, compare="rmse", higher_is_better=False)
    .swap("asked", {"none": 0, "5 films": 5, "all": 1000})
    .swap("order", {"films people disagree about": "entropy", "any films": "random"})
)
