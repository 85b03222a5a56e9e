"""Co-occurrence counts of words, as sparse arrays."""

from __future__ import annotations

import numpy as np

__all__ = ["cooccurrences"]


def cooccurrences(
    ids: np.ndarray, numbers: np.ndarray, size: int, window: int, *, weighted: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return words (N,), contexts (N,) and counts (N,) of the pairs that occur, sorted; sparse and symmetric.

    Args:
        ids: (M,) words of the corpus.
        numbers: (M,) sentence of each.
        size: of the vocabulary.
        window: context words on either side.
        weighted: count a pair at distance d as 1 / d, as the paper does.
    """
    keys, values = np.empty(0, np.int64), np.empty(0, np.float64)
    # one distance at a time: memory grows with the distinct pairs, not with all occurrences
    for distance in range(1, window + 1):
        together = numbers[:-distance] == numbers[distance:]
        left, right = ids[:-distance][together].astype(np.int64), ids[distance:][together].astype(np.int64)
        found = np.concatenate([keys, left * size + right, right * size + left])
        weight = 1 / distance if weighted else 1.0
        counts = np.concatenate([values, np.full(2 * len(left), weight)])
        keys, place = np.unique(found, return_inverse=True)
        values = np.bincount(place, counts, len(keys))
    return (keys // size).astype(np.int32), (keys % size).astype(np.int32), values.astype(np.float32)
