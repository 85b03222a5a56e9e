"""How much do counts of words, pairs and triples have to be smoothed, and do triples help at all?

*Dive into Deep Learning*, section 8.3 of the second Chinese edition: probabilities from counts, smoothed at three
levels, each by the one below with a weight: (n(x) + ε₁ / m) / (n + ε₁) of a word, m the size of the vocabulary;
(n(x, x') + ε₂ p(x')) / (n(x) + ε₂) of a word after another; and so on with ε₃ for triples. Judged by perplexity on the
last tenth of a text; words that the rest has not are one unknown word. `embedded` is Python's own help; the book counts
The Time Machine, which LAB_DATA may hold: `--set corpus=timemachine`.
"""

import math
from collections import Counter
from typing import Literal

import torch
from pydantic import NonNegativeFloat

import lab
from lab import Study, use

UNKNOWN = "<unk>"


class SmoothedCounts:
    """Probabilities of the next word from counts, smoothed by those of shorter contexts.

    Args:
        words: the text.
        n: words in a run, 1 to 3: the context has one less.
        weights: ε₁, ε₂ and ε₃, at least 0 and the first above 0.
        size: number of words in the vocabulary.
    """

    def __init__(self, words: list[str], n: int, weights: tuple[float, float, float], size: int) -> None:
        self.n, self.weights, self.size = n, weights, size
        self.runs = [Counter(zip(*(words[start:] for start in range(k)), strict=False)) for k in range(1, n + 1)]
        # Counts of contexts: how often a run of words is followed by any.
        self.contexts = [Counter[tuple[str, ...]]() for _ in range(n)]
        for k in range(n):
            for run, count in self.runs[k].items():
                self.contexts[k][run[:-1]] += count

    def probability(self, context: tuple[str, ...], word: str) -> float:
        """Return the probability of a word after the last n - 1 words."""
        found = 1 / self.size
        for k in range(self.n):
            if k > len(context):
                break
            before = context[len(context) - k :]
            seen, weight = self.contexts[k][before], self.weights[k]
            if seen + weight > 0:
                found = (self.runs[k][(*before, word)] + weight * found) / (seen + weight)
        return found


def perplexity(
    *,
    corpus: str = "embedded",
    n: Literal[1, 2, 3] = 3,
    first: NonNegativeFloat = 1.0,
    second: NonNegativeFloat = 10.0,
    third: NonNegativeFloat = 10.0,
    run: lab.TaskRun,
) -> dict[str, float]:
    """Return the perplexities of the last tenth of a text and of the rest, by smoothed counts of the rest."""
    from lab_charlm.data import char_text

    data = char_text(corpus)
    text = data.vocab.decode(torch.cat([data.train.ids, data.valid.ids]).tolist()).lower()
    words = "".join(letter if "a" <= letter <= "z" else " " for letter in text).split()
    cut = len(words) * 9 // 10
    known = set(words[:cut])
    train, valid = words[:cut], [word if word in known else UNKNOWN for word in words[cut:]]
    counts = SmoothedCounts(train, n, (first, second, third), len(known) + 1)
    scores = {}
    for name, part in (("train", train), ("valid", valid)):
        total = 0.0
        for position, word in enumerate(part):
            probability = counts.probability(tuple(part[max(0, position - n + 1) : position]), word)
            total += -math.log(probability) if probability > 0 else math.inf
        scores[f"{name}_perplexity"] = math.exp(min(total / len(part), 700.0))
    run.log(**scores)
    return scores


study = (
    Study(use(perplexity, n=3), seeds=1, compare="valid_perplexity", higher_is_better=False)
    .swap("n", {"words alone": 1, "pairs": 2})
    .swap("first", {"words smoothed a hundred times as much": 100.0})
    .swap("second", {"pairs hardly smoothed": 0.1, "pairs smoothed more": 100.0})
    .swap("third", {"triples hardly smoothed": 0.1, "triples smoothed more": 100.0})
)
