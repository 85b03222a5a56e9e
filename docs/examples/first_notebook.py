# %% [markdown]
# A study is a value: a base experiment, its arms and its seeds. Nothing is trained yet.

# %%
from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=600),
    architecture=use("mlp", hidden_size=16),
    loss="cross_entropy",
    optimizer=use("adam", betas=(0.9, 0.99)),
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=1e-2,
    batch_size=32,
    epochs=5,
)
study = (
    Study(base, name="first", seeds=3, compare="valid_loss")
    .swap("architecture.hidden_size", {"wider": 64})
    .swap("architecture.dropout", {"dropout": 0.3})
)

# %% [markdown]
# `run` checks every arm and trains what is missing. While it works, the cell shows a table of arms and seeds with a bar
# in each; then the answer, as the value of the cell.

# %%
study.run()

# %% [markdown]
# A class or a function of the notebook is a component like any other. It is keyed by its source and by what it reads of
# other cells: change it, and its runs are trained again, while those of the other arms are found.

# %%
from torch import Tensor, nn


class Residual(nn.Module):
    """One hidden layer, and the inputs added to it."""

    def __init__(self, input_size: int, output_size: int, *, hidden_size: int = 16) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(input_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, input_size))
        self.outer = nn.Linear(input_size, output_size)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.outer(inputs + self.inner(inputs))


results = study.swap("architecture", {"residual": use(Residual)}).run()

# %%
results

# %% [markdown]
# The runs are rows of a pandas frame, and every one of them can be loaded again: its model, its data, and the learner
# that trained it.

# %%
results.frame().groupby("arm", sort=False)[["valid_loss", "valid_accuracy"]].mean().round(3)

# %%
import lab

learner = lab.load(results.runs[0].key)
learner.find_lr().plot()

# %% [markdown]
# A learner needs no study: one line per epoch, and a bar for the one that is running.

# %%
from lab import Learner

model = nn.Sequential(nn.Linear(learner.data.input_size, 32), nn.ReLU(), nn.Linear(32, learner.data.output_size))
alone = Learner(model, learner.data, nn.CrossEntropyLoss(), lr=1e-2, batch_size=32)
alone.fit(3)
alone.validate()
