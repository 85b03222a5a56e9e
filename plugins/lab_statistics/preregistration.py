"""Preregistration: question, arms, metric, seeds and rule of a study, fixed before its results are seen.

Nosek et al. 2018 (*PNAS* 115): what was decided before and what after seeing data are told apart only if the first was
written down. ``runs/<study>/preregistration.json`` has the plan, a sha256 of it, and the time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabError, StoreError

if TYPE_CHECKING:
    from lab import Section
    from lab.registry.plugins import Catalog
    from lab.study.study import Arm, Study

__all__ = ["FILE", "departures", "kept_lines", "plan_of", "preregister", "read_preregistration"]

FILE = "preregistration.json"
RULE = (
    "an arm is better or worse if its paired Student interval leaves out zero; "
    "intervals of all arms hold together with 95 % (Šidák)"
)
NAMES = {
    "metric": "the metric",
    "selection": "the selection of the epoch",
    "margin": "the margin",
    "seeds": "the seeds",
    "search": "the search",
    "base": "the base",
}


def plan_of(study: Study, arms: Sequence[Arm], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is fixed beforehand, as plain JSON.

    Args:
        study: the question.
        arms: resolved, the base first; trials are left out, since they follow from the rules.
        base: the resolved experiment of the base as JSON.
    """
    from lab.study.files import standard_json, to_standard
    from lab.study.record import search_content
    from lab.study.variants import settings_of

    plain = [arm for arm in arms if arm.trial is None]
    content = {
        "name": study.name,
        "question": study.question.strip(),
        "metric": study.compare,
        "selection": study.selection,
        "margin": study.margin,
        "seeds": list(study.seed_list),
        "rules": dict(study.rules),
        "rule": RULE,
        # plans of studies without a search keep the hash that they had before searches were part of it
        **({} if study.searching is None else {"search": search_content(study.searching)}),
        "base": settings_of(base),
        # the difference and not the seeds: arms of a sequential study get seeds as it goes on
        "arms": {arm.name: settings_of(dict(arm.difference)) for arm in plain},
    }
    plan: dict[str, Any] = json.loads(standard_json(to_standard(content)))
    return plan


def hash_of_plan(plan: Mapping[str, Any]) -> str:
    """Return the sha256 of a plan."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def preregister(study: Study, catalog: Catalog, folder: Path, *, finished: int) -> dict[str, Any]:
    """Write the plan of a study into its folder and return what was written.

    Args:
        study: as its file has it.
        catalog: where names are looked up.
        folder: of the study's record.
        finished: runs that were finished before; results that are known already are told.

    Raises:
        StudyError: the study has problems.
        LabError: another plan was registered before.
    """
    from lab.study.files import write_sealed
    from lab_statistics.wording import rules_in_words

    arms = study.resolve(catalog, where=study.file)
    plan = plan_of(study, arms, arms[0].experiment.to_json())
    known = read_preregistration(folder)
    if known is not None:
        if known["sha256"] == hash_of_plan(plan):
            return known
        raise LabError(
            f"'{study.name}' was preregistered on {known['time']} with another plan",
            where="; ".join(departures(known["plan"], plan)),
            hint="a plan is registered once: give the new question another name, or run it and let the report say so",
        )
    content = {
        "plan": plan,
        # not part of the hash: a sentence may be written better, and the plan is still the same
        "words": rules_in_words(plan),
        "sha256": hash_of_plan(plan),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "finished_before": finished,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_sealed(folder / FILE, content)
    except OSError as error:
        raise StoreError(f"cannot write the plan: {error.strerror or error}", where=str(folder)) from error
    return content


def read_preregistration(folder: Path) -> dict[str, Any] | None:
    """Return what was registered, None if nothing was.

    Raises:
        StoreError: the file is damaged, or the plan does not fit its hash.
    """
    from lab.study.files import ANY_OBJECT, read_json

    try:
        content: dict[str, Any] = read_json(folder / FILE, ANY_OBJECT)
    except FileNotFoundError:
        return None
    plan = content.get("plan")
    if not isinstance(plan, dict) or content.get("sha256") != hash_of_plan(plan):
        raise StoreError("the preregistration is damaged", where=f"{folder / FILE}: its plan does not fit its hash")
    return content


def departures(planned: Mapping[str, Any], done: Mapping[str, Any]) -> list[str]:
    """Return how a study departs from its plan, a clause each; empty if it was kept to."""
    found = [
        f"{what} {_shown(planned.get(name))} → {_shown(done.get(name))}"
        for name, what in NAMES.items()
        if planned.get(name) != done.get(name) and name != "base"
    ]
    found += _departures_from_rules(planned, done)
    if planned.get("base") != done.get("base"):
        found.append("the base has other settings")
    before, now = planned.get("arms", {}), done.get("arms", {})
    added, dropped = ([name for name in one if name not in other] for one, other in ((now, before), (before, now)))
    changed = [name for name in before if name in now and before[name] != now[name]]
    for names, what in ((added, "arms added"), (dropped, "arms left out"), (changed, "arms changed")):
        if names:
            found.append(f"{what}: {', '.join(names)}")
    return found


def _departures_from_rules(planned: Mapping[str, Any], done: Mapping[str, Any]) -> list[str]:
    """Return which rules of rounds are others, in words."""
    from lab_statistics.wording import rule_in_words

    rules = [plan.get("rules", {}) for plan in (planned, done)]
    changed = [name for name in dict.fromkeys([*rules[0], *rules[1]]) if rules[0].get(name) != rules[1].get(name)]
    return [
        f"the rule {name}: "
        + " → ".join(
            rule_in_words(name, rule[name], str(plan["metric"])) if name in rule else "none"
            for rule, plan in zip(rules, (planned, done), strict=True)
        )
        for name in changed
    ]


def _shown(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value or "none"
    return text if len(text) <= 60 else f"{text[:60]}…"


def kept_lines(folder: Path | None, name: str) -> list[str]:
    """Return whether a study kept to its plan, in a sentence; nothing if it has none."""
    from lab.study.record import read_study
    from lab.study.store import Store

    if folder is None:
        return []
    known = read_preregistration(folder)
    if known is None:
        return []
    record = read_study(Store(folder.parent), name)
    found = departures(known["plan"], plan_of(record.study, record.arms, record.base))
    before = known.get("finished_before") or 0
    late = f", when {before} of its runs were finished already" if before else ""
    head = f"preregistered on {known['time']} (sha256 {known['sha256'][:12]}){late}"
    return [f"{head}; {'kept to it' if not found else 'departs from it: ' + '; '.join(found)}"]


def sections(study: Any, runs: Sequence[Any]) -> list[Section]:
    """Return the section on the preregistration; none for studies without one."""
    import html

    from lab import Section
    from lab_statistics.ledger import study_folder
    from lab_statistics.wording import rules_in_words

    folder = study_folder(study, runs)
    try:
        lines = kept_lines(folder, study.name)
        known = read_preregistration(folder) if folder is not None and lines else None
    except LabError as error:
        lines, known = [str(error)], None
    if not lines:
        return []
    words = rules_in_words(known["plan"]) if known is not None else []
    items = "".join(f"<li>{html.escape(text)}</li>" for text in words)
    body = "".join(f"<p>{html.escape(line)}</p>" for line in lines) + (
        f"<p>The plan:</p><ul>{items}</ul>" if items else ""
    )
    return [Section("Preregistration", "\n".join(lines), body, weight=49)]
