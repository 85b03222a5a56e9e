"""Arms of all rounds of a study, before its rules have added them: what is compared, at which level, and its cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from lab.errors import LabError
from lab.study.compare import level_of_look, looks_of_rule, single_level, summarize
from lab.study.folds import FOLDS, folds_of
from lab.study.study import SEEDS, Arm, Trial
from lab_statistics import matching, retraining, sequential, splits, tuning

if TYPE_CHECKING:
    from lab.study.results import Results
    from lab.study.study import Study

__all__ = ["PlannedStudy", "planned", "seconds_of"]

BEST = "the best trial"


@attrs.frozen
class PlannedStudy:
    """A study with the arms that its rules will add.

    Attributes:
        study: as its file has it.
        results: the runs of a pilot, with the arms of all rounds.
        names: arms that are compared, and those that they are compared with.
        added: those of them that rules add.
        level: of each comparison.
    """

    study: Study
    results: Results
    names: Sequence[str]
    added: Sequence[str]
    level: float

    @property
    def rules(self) -> Mapping[str, Any]:
        """Rules of the rounds."""
        return self.study.rules

    @property
    def count(self) -> str:
        """Number of arms in words, and how many of them come with later rounds."""
        rule = ", ".join(name for name in (tuning.RULE, matching.RULE, retraining.RULE) if name in self.rules)
        most = "up to " if matching.RULE in self.rules else ""
        return f"{len(self.names)} arms" + (f" ({most}{len(self.added)} of them by {rule})" if self.added else "")

    @property
    def remark(self) -> str:
        """Influences on the level besides the number of comparisons."""
        if self.rules.get(SEEDS, {}).get("levels"):
            return ", corrected for the looks; seeds are those of the last look"
        if folds_of(self.rules):
            return ", corrected for the examples that folds share; a seed is a fold"
        return ", widened for the examples that splits share" if splits.RULE in self.rules else ""

    @property
    def trials(self) -> str:
        """Trials that every seed costs, in words."""
        rule = self.rules.get(tuning.RULE)
        if rule is None or not rule["per_seed"]:
            return ""
        return f", with {rule['trials']} trials of {'each' if rule['per_arm'] else 'the base'},"

    def differences(self) -> dict[str, list[float]]:
        """Return arm → differences of the pilot from the arm that it is compared with, of seeds with finite scores."""
        metric, found = self.study.compare, {}
        for name in self.names:
            other = self.results.base_of(name)
            if other != name:
                base, arm = self.results.scores(other, metric), self.results.scores(name, metric)
                d = [arm[seed] - base[seed] for seed in base if seed in arm]
                found[name] = [value for value in d if math.isfinite(value)]
        return found

    def seeds_for(self, difference: float, spread: float, power: float) -> int | None:
        """Return the seeds that show a difference; of a study with looks, those of its last look."""
        from lab_statistics.power import seeds_for

        overlap = float((self.rules.get(FOLDS) or self.rules.get(splits.RULE, {})).get("overlap", 0.0))
        found = seeds_for(difference, spread, level=self.level, power=power, overlap=overlap)
        rule = self.rules.get(SEEDS, {})
        if not rule.get("levels"):
            return found
        largest = rule["largest"]
        # more looks share the same error, so that each of them has a smaller level
        while found is not None and found > largest:
            if found > sequential.MAX_SEEDS:
                return None
            largest = found
            names = ("smallest", "alpha", "step", "boundary")
            longer = sequential.UntilDecided(largest=largest, **{name: rule[name] for name in names}).rule
            level = level_of_look(single_level(self.family), looks_of_rule(longer), largest)
            found = seeds_for(difference, spread, level=level, power=power)
        return found

    @property
    def family(self) -> int:
        """Comparisons whose intervals hold together."""
        return 1 if self.study.searching is not None else self.results.family

    def advice(self, seeds: str, file: str, elsewhere: str) -> str:
        """Return what to do next: a command, or the number to write where no option sets it."""
        if self.rules.get(SEEDS, {}).get("levels"):
            return f"seeds=until_decided(largest={seeds}, ...) in {file}"
        if folds := folds_of(self.rules):
            # whole repetitions: the option counts these
            repetitions = str(-(-int(seeds) // folds)) if seeds.isdigit() else seeds
            return f"lab run {file} --seeds {repetitions}{elsewhere}, which repeats the {folds} folds so often"
        if splits.RULE in self.rules:
            return f"Study(..., seeds={seeds}) before splits in {file}"
        if retraining.RULE in self.rules:
            return f"retrain(seeds={seeds}) in {file}"
        return f"lab run {file} --seeds {seeds}{elsewhere}"


def planned(study: Study, pilot: Results | None) -> PlannedStudy:
    """Return a study with the arms that its rules will add.

    Args:
        study: as its file has it.
        pilot: what is finished by now; None if nothing is.

    Raises:
        LabError: a search that trains nothing again, of which nothing is compared.
    """
    from lab.study.results import Results

    if study.searching is not None and retraining.RULE not in study.rules:
        raise LabError(
            f"'{study.name}' is a search: its trials get no verdict that seeds could be planned for",
            hint="Study(...).search(...).retrain() compares the best trial with the base on new seeds",
        )
    plain = Results(study, study.all_arms, []).arms
    known = {arm.name: arm for arm in pilot.arms} if pilot is not None else {}
    later = _later_arms(study, [arm for arm in plain if arm.trial is None], known)
    runs = pilot.runs if pilot is not None else []
    # trials are kept for their cost; arms of an earlier form of the file are not part of the question
    trials = [arm for arm in known.values() if arm.trial is not None and arm.trial.rung == 0]
    arms = {arm.name: arm for arm in (*plain, *trials, *later)}
    results = Results(study, list(arms.values()), [run for run in runs if run.arm in arms])
    compared = [arm.name for arm in plain if arm.trial is None]
    names = [arm.name for arm in later] if study.searching is not None else [*compared, *(arm.name for arm in later)]
    family = 1 if study.searching is not None else results.family
    rule = study.rules.get(SEEDS, {})
    level = level_of_look(single_level(family), looks_of_rule(rule), int(rule.get("largest", 0)))
    return PlannedStudy(study, results, names, [arm.name for arm in later], level)


def _later_arms(study: Study, plain: Sequence[Arm], known: Mapping[str, Arm]) -> list[Arm]:
    """Return the arms that later rounds will compare: those of the pilot, and others in their place until then."""
    base = plain[0].name
    if tuning.RULE in study.rules:
        names = {arm.name: tuning.tuned_name(arm.name) for arm in plain}
        return [
            known.get(name) or Arm(name, trial=Trial(0, 1, {tuning.ARM: arm}), base="" if arm == base else names[base])
            for arm, name in names.items()
        ]
    if matching.RULE in study.rules:
        budget = study.rules[matching.RULE]["budget"]
        names = {arm.name: matching.matched_name(arm.name, budget) for arm in plain[1:]}
        # once the pilot has matched arms, those that it lacks had the budget of the base by themselves
        is_matched = any(name in known for name in names.values())
        return [
            known.get(name) or Arm(name, trial=Trial(0, 1, {matching.ARM: arm}))
            for arm, name in names.items()
            if name in known or not is_matched
        ]
    if retraining.RULE in study.rules:
        here = retraining.new_name(base)
        best = [arm for arm in known.values() if arm.base == here and arm.name != here]
        first = known.get(here) or Arm(here, base=here)
        return [first, *(best or [Arm(retraining.new_name(BEST), base=here)])]
    return []


def seconds_of(plan: PlannedStudy) -> tuple[float, float] | None:
    """Return the seconds that one seed of all arms takes, and those that are spent once.

    An arm of a later round takes as long as the arm that it is made of until it was trained itself. None if no run of
    some arm is finished.
    """

    def mean(*names: str) -> float:
        for name in names:
            found = summarize(list(plan.results.scores(name, "seconds").values())).mean
            if math.isfinite(found):
                return found
        return math.nan

    arms = {arm.name: arm for arm in plan.results.arms}
    base = plan.results.arms[0].name
    per_seed, once = 0.0, 0.0
    for name in plan.names:
        trial = arms[name].trial
        own = [str(trial.settings[tuning.ARM])] if trial is not None and tuning.ARM in trial.settings else []
        per_seed += mean(name, *own, *([base] if plan.study.searching is not None else []))
    rule = plan.rules.get(tuning.RULE)
    if rule is not None:
        searched = [arm for arm in plan.names if arm not in plan.added][: None if rule["per_arm"] else 1]
        for arm in searched:
            of_arm = [
                each.name
                for each in arms.values()
                if each.trial is not None and each.trial.rung == 0 and each.trial.settings.get(tuning.ARM) == arm
            ]
            seconds = [mean(name) for name in of_arm]
            finished = [each for each in seconds if math.isfinite(each)]
            cost = rule["trials"] * (summarize(finished).mean if finished else mean(arm))
            per_seed, once = (per_seed + cost, once) if rule["per_seed"] else (per_seed, once + cost)
    else:
        # arms that are drawn once, such as the splits of sources
        drawn = [arm for arm in plan.study.all_arms if arm.trial is not None and arm.trial.rung == 0]
        once += sum(mean(arm.name, base) for arm in drawn) if plan.study.searching is None else 0.0
    return None if math.isnan(per_seed + once) else (per_seed, once)
