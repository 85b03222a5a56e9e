"""Stochastic gradient descent on y = a x + b: by hand in numpy, and by torch. Do they do the same?

The report shows both on film. The line is y = 3 x + 8 with noise of 0.3, as in fast.ai 2018, lesson 5. Both start at
a = b = 0 here; the course starts at random, or at (-1, 1): `--set architecture.start=random`. Lesson 2 of 2019 has
another line, y = 3 x + 2, and uniform noise in [0, 1), from (-1, 1), at a rate of 0.1 on all 100 points at once.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("line", slope=3.0, intercept=8.0),
    architecture="line",
    loss="mse",
    stepper="supervised",
    optimizer="sgd",
    callbacks=["line_film"],
    lr=0.2,
    batch_size=16,
    epochs=20,
)
study = Study(base, seeds=3).swap("stepper", {"numpy, by hand": "by_hand"})
