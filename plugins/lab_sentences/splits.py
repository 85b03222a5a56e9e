"""Validation texts: a share of every class, whole groups, or one of several folds; and few texts to train on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lab.errors import DataError, ParameterError
from lab.training.rng import derive_seed

__all__ = ["check_split", "drawn_rows", "validation_rows"]

_WHERE = "dataset 'labelled_text'"


def check_split(share: float, folds: int | None, fold: int) -> None:
    """Raise a ParameterError if the share or the fold does not exist."""
    if not 0 < share < 1:
        raise ParameterError(f"valid_share={share}", where=_WHERE, hint="it lies in (0, 1)")
    if folds is not None and not (folds > 1 and 0 <= fold < folds):
        raise ParameterError(
            f"fold {fold} of {folds} does not exist", where=_WHERE, hint="folds of at least 2, fold from 0"
        )


def validation_rows(
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    share: float,
    folds: int | None,
    fold: int,
    seed: int,
    is_class: bool,
    where: str,
) -> np.ndarray:
    """Return the mask (N,) of the rows that validate.

    Args:
        labels: of the rows; each class is divided alike if ``is_class`` and there are no groups.
        groups: group of each row, which stays together; empty for none.
        share: of the rows, unless there are folds.
        folds: number of folds, or None.
        fold: the one that validates, from 0.
        seed: of the order.
        is_class: whether labels are classes.
        where: name of the data in messages.

    Raises:
        DataError: a part would be empty, or a fold would lack a class.
    """
    generator = np.random.default_rng(derive_seed(seed, "sentences", "split"))
    strata = np.asarray(labels) if is_class and not groups else np.zeros(len(labels), int)
    units = np.asarray(groups) if groups else np.arange(len(labels))
    mask = np.zeros(len(labels), bool)
    for stratum in np.unique(strata):
        own = np.unique(units[strata == stratum])
        order = generator.permutation(own)
        if folds is None:
            # a single example of a class stays in training
            chosen = order[: min(max(1, round(len(own) * share)), len(own) - 1)]
        else:
            chosen = order[round(len(own) * fold / folds) : round(len(own) * (fold + 1) / folds)]
        mask |= np.isin(units, chosen) & (strata == stratum)
    _check_parts(mask, np.asarray(labels), groups, folds, is_class=is_class, where=where)
    return mask


def drawn_rows(labels: Sequence[str], count: int, seed: int, *, is_class: bool) -> np.ndarray:
    """Return the mask (N,) of ``count`` rows drawn at random, of each class in proportion if labels are classes.

    The rows of a smaller count are among those of a larger one, so that a curve of sizes adds examples.
    """
    generator = np.random.default_rng(derive_seed(seed, "sentences", "drawn"))
    strata = np.asarray(labels) if is_class else np.zeros(len(labels), int)
    # Each row gets the share of its class that is drawn before it; the smallest shares are taken.
    shares = np.empty(len(labels))
    for stratum in np.unique(strata):
        own = np.flatnonzero(strata == stratum)
        shares[own] = (generator.permutation(len(own)) + 0.5) / len(own)
    mask = np.zeros(len(labels), bool)
    mask[np.argsort(shares, kind="stable")[:count]] = True
    return mask


def _check_parts(
    mask: np.ndarray, labels: np.ndarray, groups: Sequence[str], folds: int | None, *, is_class: bool, where: str
) -> None:
    if not mask.any():
        if groups:
            raise DataError("all texts are of one group, so none can validate", where=where, hint="another group=...")
        raise DataError(
            "no class has two texts, so none can validate", where=where, hint="give each class several texts"
        )
    if mask.all():
        raise DataError("no text would be left to train on", where=where, hint="fewer folds, or more texts")
    if folds is None or not is_class:
        return
    # a fold without a class would be scored on another question than its siblings
    missing = sorted(set(labels) - set(labels[mask]) | set(labels) - set(labels[~mask]))
    if missing:
        raise DataError(
            f"{folds} folds are unbalanced: one part has no text of class {', '.join(map(repr, missing[:3]))}",
            where=where,
            hint=f"at most as many folds as the rarest class has {'groups' if groups else 'texts'}",
        )
