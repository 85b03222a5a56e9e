"""Do pairs and triples of words follow Zipf's law as words do?

*Dive into Deep Learning*, section 8.3 of the second Chinese edition: the frequency of the n-th most frequent word is
about n^-α. The exponent is that of a least-squares line through log frequency against log rank, from rank 10 on, of
what occurs at least three times. The picture of each run has both; the log lists the most frequent. `embedded` is
Python's own help; the book reads The Time Machine, which LAB_DATA may hold: `--set corpus=timemachine`.
"""

from collections import Counter

import torch
from torch import Tensor

import lab
from lab import Study, use


def grams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    """Return how often each run of n words occurs."""
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))


def zipf_exponent(counts: list[int], first: int = 10, least: int = 3) -> float:
    """Return α of counts in falling order, by least squares in logarithms.

    Args:
        counts: falling.
        first: rank from which on counts are used, from 1.
        least: smallest count that is used.
    """
    used = [(rank, count) for rank, count in enumerate(counts, 1) if rank >= first and count >= least]
    ranks, values = torch.tensor(used, dtype=torch.double).log().T
    centered = ranks - ranks.mean()
    return -float((centered * (values - values.mean())).sum() / centered.square().sum())


def count(*, corpus: str = "embedded", n: int = 1, run: lab.TaskRun) -> dict[str, float]:
    """Count runs of n words, and return the exponent and how many kinds there are."""
    from lab_charlm.data import char_text

    data = char_text(corpus)
    text = data.vocab.decode(torch.cat([data.train.ids, data.valid.ids]).tolist()).lower()
    words = "".join(letter if "a" <= letter <= "z" else " " for letter in text).split()
    found = grams(words, n).most_common()
    counts = [number for _, number in found]
    exponent = zipf_exponent(counts)
    print("; ".join(f"{' '.join(each)} {number}" for each, number in found[:5]))
    run.log(exponent=exponent)
    draw(run, torch.tensor(counts), exponent, n)
    once = sum(number == 1 for number in counts) / len(counts)
    return {"exponent": exponent, "kinds": float(len(counts)), "share_once": once}


def draw(run: lab.TaskRun, counts: Tensor, exponent: float, n: int) -> None:
    """Save counts against ranks in logarithms."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(range(1, len(counts) + 1), counts.numpy(), label=f"runs of {n}")
    axes.set(xlabel="rank", ylabel="count", title=f"α = {exponent:.2f}")
    figure.savefig(folder / "zipf.png", dpi=110)


study = Study(use(count, n=1), seeds=1, compare="exponent", higher_is_better=True).swap("n", {"pairs": 2, "triples": 3})
