"""A split of its own for every seed, so that intervals are about the population and not about one split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from lab.errors import StudyError

if TYPE_CHECKING:
    from lab.study.study import Arm, Study

__all__ = ["splits"]

RULE = "splits"


def splits(study: Study, path: str, *, valid_share: float) -> Study:
    """Return the study in which every seed draws its own split of the data.

    Runs of two arms with the same seed have the same split and form a pair. Splits of one data set share examples, so
    intervals are widened after Nadeau & Bengio 2003, by the number of validation examples per training example.

    Args:
        study: the study, with all of its arms.
        path: of the parameter that seeds the split, such as ``dataset.split_seed``.
        valid_share: share of the examples that are validated, which the data's own parameter says.

    Raises:
        StudyError: the share is no share, or the study adds arms or seeds as it goes on.
    """
    from lab.study.checks import shown, text_problem
    from lab.study.study import BASE, Arm

    problems = text_problem("the path of splits", path, may_be_empty=False)
    if isinstance(valid_share, bool) or not isinstance(valid_share, (int, float)) or not 0 < valid_share < 1:
        problems.append(f"splits: valid_share is a number between 0 and 1, such as 0.2, not {shown(valid_share)}")
    if study.rules or study.searching is not None or any(arm.seeds or arm.row or arm.factors for arm in study.arms):
        problems.append(
            "splits goes with arms of swap and remove alone: no grid, search, tune, across or until_decided"
        )
    changed = [arm.name for arm in study.arms if isinstance(path, str) and path in arm.changes]
    if changed:
        problems.append(f"arms change {path} themselves: {', '.join(changed)}")
    if problems:
        raise StudyError(problems)
    plain = [arm for arm in study.arms if arm.name != BASE]
    first, *others = study.seed_list
    arms = [Arm(BASE, {path: first}, factors={path: str(first)}, seeds=(first,))]
    arms += [_on_split(Arm(BASE), seed, path) for seed in others]
    arms += [_on_split(arm, seed, path) for arm in plain for seed in study.seed_list]
    rule = {"path": path, "overlap": valid_share / (1 - valid_share)}
    return attrs.evolve(study, arms=tuple(arms), rules={**study.rules, RULE: rule})


def _on_split(arm: Arm, seed: int, path: str) -> Arm:
    from lab.study.study import Arm

    return Arm(f"{arm.name} on split {seed}", {**arm.changes, path: seed}, seeds=(seed,), row=arm.name)
