"""Do pairs and triples of words follow Zipf's law as well as words do?

*Dive into Deep Learning*, section 8.3 of the second Chinese edition: the frequency of the n-th most frequent word is
about n^-α, which is a line in logarithms. α is the negative slope of the least-squares line through log frequency
against log rank, from rank 10 on, of what occurs at least three times; R² is the share of the variance of the log
frequency that the line explains, and what is compared. Every rank counts the same, so that the many rare ones decide.
The picture of each run has the counts and the line; the log lists the most frequent. `embedded` is Python's own help;
the book reads The Time Machine, which LAB_DATA may hold, and prints *the* 2,261 times, *of the* 309, and *the time
traveller* 59:

    lab run experiments/zipf.py --set corpus=timemachine
"""

from collections import Counter
from typing import NamedTuple

import torch
from pydantic import PositiveInt

import lab
from lab import Study, use
from lab.errors import ParameterError

NAMES = {1: "words", 2: "pairs", 3: "triples"}


def grams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    """Return how often each run of n words occurs."""
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))


class Line(NamedTuple):
    """Line through logarithms: ``log(count) = height - exponent · log(rank)``.

    Attributes:
        exponent: α.
        height: logarithm of the count that the line has at rank 1.
        r_squared: share of the variance of the logarithms of counts that it explains, at most 1.
        first, last: ranks from and to which counts were used, from 1.
    """

    exponent: float
    height: float
    r_squared: float
    first: int
    last: int


def zipf_line(counts: list[int], first: int = 10, least: int = 3) -> Line:
    """Return the least-squares line of counts in falling order, in logarithms.

    Args:
        counts: falling.
        first: rank from which on counts are used, from 1.
        least: smallest count that is used.
    """
    used = [(rank, count) for rank, count in enumerate(counts, 1) if rank >= first and count >= least]
    ranks, values = torch.tensor(used, dtype=torch.double).log().T
    centered, spread = ranks - ranks.mean(), values - values.mean()
    slope = float((centered * spread).sum() / centered.square().sum())
    left = (spread - slope * centered).square().sum() / spread.square().sum()
    return Line(-slope, float(values.mean() - slope * ranks.mean()), 1 - float(left), used[0][0], used[-1][0])


def count(*, corpus: str = "embedded", n: PositiveInt = 1, run: lab.TaskRun) -> dict[str, float]:
    """Count runs of n words; return the line through them, how many kinds there are, the count of the most frequent,
    and which share of the kinds occurs once.
    """
    from lab_charlm.data import char_text

    data = char_text(corpus)
    text = data.vocab.decode(torch.cat([data.train.ids, data.valid.ids]).tolist()).lower()
    words = "".join(letter if "a" <= letter <= "z" else " " for letter in text).split()
    if n > len(words):
        raise ParameterError(f"n={n:,} is more than the {len(words):,} words of {corpus}", where="task 'count'")
    found = grams(words, n).most_common()
    counts = [number for _, number in found]
    line = zipf_line(counts)
    print("; ".join(f"{' '.join(each)} {number}" for each, number in found[:5]))
    run.log(exponent=line.exponent, r_squared=line.r_squared)
    draw(run, counts, line, n)
    once = sum(number == 1 for number in counts) / len(counts)
    return {
        "exponent": line.exponent,
        "r_squared": line.r_squared,
        "kinds": float(len(counts)),
        "most": float(counts[0]),
        "share_once": once,
    }


def draw(run: lab.TaskRun, counts: list[int], line: Line, n: int) -> None:
    """Save counts against ranks in logarithms, with the line."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(range(1, len(counts) + 1), counts, lw=3, alpha=0.5, label=NAMES.get(n, f"runs of {n}"))
    label = f"α = {line.exponent:.2f}, R² = {line.r_squared:.3f}"
    ranks = torch.tensor([line.first, line.last], dtype=torch.double)
    axes.loglog(
        ranks.numpy(), (line.height - line.exponent * ranks.log()).exp().numpy(), color="black", lw=1, label=label
    )
    axes.set(xlabel="rank", ylabel="count")
    axes.legend()
    figure.savefig(folder / "zipf.png", dpi=110)


study = Study(use(count, n=1), seeds=1, compare="r_squared", higher_is_better=True).swap(
    "n", {"pairs": 2, "triples": 3}
)
