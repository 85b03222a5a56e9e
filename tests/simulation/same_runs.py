"""Real runs of one and the same training, dealt out as arms that do not differ (A/A).

    python -m tests.simulation.same_runs           train 60 runs of ``points`` and print their accuracies, a minute

``ACCURACIES`` has what that printed: shares of 75 validation rows, as few as make differences discrete.
"""

from __future__ import annotations

import tempfile

import numpy as np

from lab.study.compare import compare_arms

__all__ = ["ACCURACIES", "false_verdicts"]

RUNS = 60
ACCURACIES = (
    59,
    62,
    55,
    57,
    60,
    59,
    61,
    59,
    62,
    60,
    59,
    59,
    59,
    59,
    60,
    60,
    60,
    56,
    60,
    61,
    60,
    58,
    57,
    60,
    58,
    54,
    63,
    61,
    59,
    60,
    62,
    61,
    58,
    61,
    59,
    60,
    61,
    59,
    58,
    57,
    62,
    60,
    58,
    53,
    61,
    61,
    59,
    58,
    59,
    61,
    62,
    62,
    62,
    61,
    59,
    58,
    60,
    63,
    61,
    60,
)
"""Rows of 75 that each run has right."""


def false_verdicts(seeds: int, arms: int, studies: int = 2_000) -> float:
    """Return the share of studies in which some arm is called better or worse.

    Args:
        seeds: runs of each arm.
        arms: besides the base; all of them and the base have other runs.
        studies: how many times the runs are dealt out anew.
    """
    rng = np.random.default_rng([seeds, arms])
    scores = np.array(ACCURACIES) / 75
    wrong = 0
    for _ in range(studies):
        base, *others = rng.permutation(scores)[: seeds * (arms + 1)].reshape(arms + 1, seeds)
        named = {str(i): dict(enumerate(arm)) for i, arm in enumerate(others)}
        found = compare_arms(dict(enumerate(base)), named, higher_is_better=True)
        wrong += any(each.is_better is not None for each in found)
    return wrong / studies


def train() -> list[int]:
    """Train the runs and return their right rows, the same on every machine up to rounding."""
    from lab import Experiment, Study, run_study, use

    base = Experiment(
        dataset=use("points", count=600, noise=0.9),
        architecture="mlp",
        loss="cross_entropy",
        metrics=["accuracy"],
        lr=1e-2,
        epochs=4,
    )
    with tempfile.TemporaryDirectory() as folder:
        results = run_study(Study(base, seeds=RUNS, compare="valid_accuracy", name="same"), runs=folder)
        return [round(75 * value) for value in results.scores("base", "valid_accuracy").values()]


if __name__ == "__main__":
    print(train())
