"""Simulated studies without and with a true difference: do intervals and verdicts hold what they say?

    python -m tests.simulation.figures            print the table, a minute
    python -m tests.simulation.figures --write    and write it into docs/reading-a-comparison.md

Every cell calls the code that ``lab compare`` runs, ``lab.study.compare.mean_and_half_width``, on thousands of studies
at once. Seeds are fixed, so the table is the same on every machine up to rounding.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lab.study.compare import mean_and_half_width, single_level

__all__ = ["DRAWS", "coverage", "false_verdicts", "lost_runs", "table"]

STUDIES = 10_000
SEEDS = (3, 5, 10)
ARMS = (1, 4, 9)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reading-a-comparison.md"
BEGIN, END = "<!-- simulation:begin -->", "<!-- simulation:end -->"

Draw = Callable[[np.random.Generator, tuple[int, int, int]], np.ndarray]
"""Generator and (studies, arms, seeds) → differences from the base, each with the true mean 0."""


def _normal(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return rng.normal(size=shape) - rng.normal(size=(shape[0], 1, shape[2]))


def _heavy(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return rng.standard_t(3, size=shape) - rng.standard_t(3, size=(shape[0], 1, shape[2]))


def _wide(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return 5 * rng.normal(size=shape) - rng.normal(size=(shape[0], 1, shape[2]))


def _exponential(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return rng.exponential(size=shape) - 1


def _log_normal(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return np.exp(rng.normal(size=shape)) - np.exp(0.5)


def _log_normal_both(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return np.exp(rng.normal(size=shape)) - np.exp(rng.normal(size=(shape[0], 1, shape[2])))


DRAWS: dict[str, Draw] = {
    "normal": _normal,
    "t with 3 degrees of freedom": _heavy,
    "spread of the arms 5 times the base's": _wide,
    "log-normal, base and arms": _log_normal_both,
    "exponential in the arms, a base without spread": _exponential,
    "log-normal in the arms, a base without spread": _log_normal,
}


def coverage(draw: Draw, seeds: int, arms: int, studies: int = STUDIES) -> float:
    """Return the share of studies in which the intervals of all arms hold the true differences."""
    d = draw(np.random.default_rng([seeds, arms]), (studies, arms, seeds))
    mean, half = mean_and_half_width(d, single_level(arms))
    return float((np.abs(mean) <= half).all(axis=1).mean())


def false_verdicts(examples: int, accuracy: float, seeds: int, arms: int, studies: int = STUDIES) -> float:
    """Return the share of studies of equal arms in which any is called better or worse, by accuracy."""
    rng = np.random.default_rng([examples, seeds, arms, round(100 * accuracy)])
    scores = rng.binomial(examples, accuracy, (studies, arms + 1, seeds)) / examples
    mean, half = mean_and_half_width(scores[:, 1:] - scores[:, :1], single_level(arms), 1 / examples)
    # 1e-12: shares are not exact in binary, and a bound that is met is no verdict
    return float((np.abs(mean) > half + 1e-12).any(axis=1).mean())


def lost_runs(seeds: int = 6, studies: int = STUDIES, *, keeps_rule: bool = True) -> float:
    """Return the share of studies of two equal arms with a verdict if the arm's worst third of runs fails.

    Args:
        seeds: runs of each arm.
        studies: how many.
        keeps_rule: whether an arm whose failures are not the base's gets no verdict, as in ``Results.compare``.
    """
    rng = np.random.default_rng(seeds)
    base, arm = rng.normal(size=(2, studies, seeds))
    kept = np.argsort(arm, axis=1)[:, : seeds - seeds // 3]
    d = np.take_along_axis(arm - base, kept, axis=1)
    mean, half = mean_and_half_width(d, single_level(1))
    is_judged = np.full(studies, seeds == kept.shape[1]) if keeps_rule else np.ones(studies, bool)
    return float(((np.abs(mean) > half) & is_judged).mean())


def table() -> Iterator[str]:
    """Yield the lines of the page: coverage, false verdicts, failures and power."""
    cells = [(arms, seeds) for arms in ARMS for seeds in SEEDS]
    yield f"{STUDIES:,} simulated studies in every cell. All intervals of a study hold the true differences in:"
    yield ""
    yield f"| scores | {' | '.join(f'{arms} × {seeds}' for arms, seeds in cells)} |"
    yield f"| --- |{' ---: |' * len(cells)}"
    for name, draw in DRAWS.items():
        yield f"| {name} | {' | '.join(f'{coverage(draw, seeds, arms):.1%}' for arms, seeds in cells)} |"
    yield ""
    yield "Columns are arms × seeds. Equal arms, of which any is called better or worse by accuracy:"
    yield ""
    yield f"| accuracy | {' | '.join(f'{arms} × {seeds}' for arms, seeds in cells)} |"
    yield f"| --- |{' ---: |' * len(cells)}"
    for examples, accuracy in ((25, 0.95), (100, 0.9), (1000, 0.5), (1000, 0.99)):
        rates = [false_verdicts(examples, accuracy, seeds, arms) for arms, seeds in cells]
        yield f"| {accuracy} of {examples} examples | {' | '.join(f'{rate:.1%}' for rate in rates)} |"
    yield ""
    without, with_rule = lost_runs(keeps_rule=False), lost_runs()
    yield (
        f"If the worst third of an arm's six runs fails, a verdict on the survivors would be wrong in {without:.1%} of "
        f"studies; arms whose failures differ get none ({with_rule:.1%})."
    )


def main(arguments: list[str]) -> None:
    """Print the table, and write it into the page if asked to."""
    text = "\n".join(table())
    print(text)
    if "--write" in arguments:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
