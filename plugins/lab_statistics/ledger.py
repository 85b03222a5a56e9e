"""Ledger of a study: every look at its results, and every arm, metric and number of seeds that was tried for it.

Gelman & Loken 2013 call them forking paths: each further look, metric or arm that was not planned is another chance to
find something. The ledger, ``runs/<study>/ledger.jsonl``, has a line for every comparison that was shown. What it adds
to the error of 5 % is said below the table, unless the study planned its looks (``until_decided``).
"""

from __future__ import annotations

import html
import json
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from lab.study.compare import LEVEL, MIN_SEEDS

if TYPE_CHECKING:
    from lab import Section
    from lab.study.record import StudyRecord
    from lab.study.results import Results

__all__ = ["FILE", "Look", "add_look", "error_of_looks", "read_ledger", "remarks", "sections", "study_finished"]

FILE = "ledger.jsonl"
MAX_BYTES = 16 * 2**20
MAX_NAMES = 6
STUDIES = 20_000
USUAL = "as the study asks"
ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth"}


@attrs.frozen
class Look:
    """One comparison that was shown.

    Attributes:
        time: in UTC, ISO 8601.
        metric: that arms were compared by.
        arms: arm → finished runs.
        is_planned: whether its error is corrected for by the design of the study.
        planned: numbers of seeds at which the design of the study has looked by now, this look included.
        how: how else arms were compared than as the study asks, such as ``not paired`` or ``against wide``.
    """

    time: str
    metric: str
    arms: Mapping[str, int]
    is_planned: bool = False
    planned: Sequence[int] = ()
    how: str = ""

    @property
    def seeds(self) -> int:
        """Finished runs of the arm that has most."""
        return max(self.arms.values(), default=0)

    @property
    def all_seeds(self) -> set[int]:
        """Numbers of seeds at which results were looked at, up to this look."""
        return {self.seeds, *self.planned}


def look_of(results: Results, metric: str = "", how: Sequence[str] = ()) -> Look:
    """Return the look that showing these results is, compared in its metric and as ``how`` says."""
    from lab.study.study import SEEDS
    from lab_statistics.sequential import looks_until

    metric = metric or results.study.compare
    counts = {name: len(results.scores(name, metric)) for name in results.leading_arms()}
    rule = getattr(results.study, "rules", {}).get(SEEDS, {})
    # the rule looks at the primary metric alone; others are seen once, at its end
    planned = looks_until(rule, max(counts.values(), default=0)) if metric == results.study.compare else ()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Look(now, metric, counts, bool(rule.get("levels")), planned, ", ".join(how))


def read_ledger(folder: Path) -> list[Look]:
    """Return the looks in the ledger of a study's folder; a line that is damaged is skipped."""
    from lab.study.files import read_bytes

    try:
        lines = read_bytes(folder / FILE, MAX_BYTES).splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            content = json.loads(line)
            arms = {str(name): int(count) for name, count in content["arms"].items()}
            # a ledger of an earlier version has only the last of the planned looks
            planned = tuple(int(count) for count in content.get("planned", ()))
            time_, metric, is_planned = str(content["time"]), str(content["metric"]), bool(content["is_planned"])
            found.append(Look(time_, metric, arms, is_planned, planned, str(content.get("how", ""))))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def add_look(folder: Path, look: Look) -> list[Look]:
    """Add a look to the ledger, unless it shows what an earlier one has shown, and return all of them."""
    known = read_ledger(folder)
    # with fewer seeds, or without the metric, there is no verdict that could be chosen
    if look.seeds < MIN_SEEDS:
        return known
    if any(_shown_by(each) == _shown_by(look) for each in known):
        return known
    try:
        # appended: two commands at once must not lose a line, and one line is written in one call
        with (folder / FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(attrs.asdict(look)) + "\n")
    except OSError:
        # a store that can only be read has no ledger
        return [*known, look]
    return [*known, look]


def _shown_by(look: Look) -> tuple[str, dict[str, int], bool, str]:
    # the same runs with and without the correction for looks have other intervals
    return look.metric, dict(look.arms), look.is_planned, look.how


@lru_cache(maxsize=64)
def error_of_looks(seeds: tuple[int, ...]) -> float:
    """Return how often one of several looks at a growing sample shows a difference at 5 % where there is none.

    By simulation of normal differences. Armitage, McPherson & Rowe 1969 (*JRSS A* 132) have 8 % for two looks at large
    samples of n and 2 n.

    >>> 0.07 < error_of_looks((50, 100)) < 0.095
    True
    """
    from lab_statistics.sequential import p_values_of_looks

    looks = sorted({count for count in seeds if count >= MIN_SEEDS})
    if not looks:
        return 0.0
    if len(looks) == 1:
        return LEVEL
    d = np.random.default_rng(0).normal(size=(STUDIES, looks[-1]))
    return float((p_values_of_looks(d, looks).min(axis=-1) < LEVEL).mean())


def remarks(looks: Sequence[Look], now: Look) -> list[str]:
    """Return what the ledger says of the look that is shown now, one sentence each.

    Args:
        looks: all of the study, this one included.
        now: the one that is shown.
    """
    found = _remarks_on_seeds(looks, now)
    tried = dict.fromkeys(name for look in looks for name in look.arms)
    missing = [name for name in tried if name not in now.arms]
    if missing:
        names = ", ".join(missing[:MAX_NAMES]) + (
            f" and {len(missing) - MAX_NAMES} more" if len(missing) > MAX_NAMES else ""
        )
        arms, here = max(1, len(tried) - 1), max(1, len(now.arms) - 1)
        error = 1 - (1 - LEVEL) ** (arms / here)
        found.append(
            f"{len(tried)} arms were tried, {len(now.arms)} are shown (not: {names}); if these were chosen by their "
            f"results, the error of a verdict is up to {error:.0%} instead of {LEVEL:.0%}"
        )
    metrics = dict.fromkeys(look.metric for look in looks)
    if len(metrics) > 1:
        error = 1 - (1 - LEVEL) ** len(metrics)
        found.append(
            f"{len(metrics)} metrics were compared ({', '.join(metrics)}); if one was chosen by its verdict, the error "
            f"is up to {error:.0%} instead of {LEVEL:.0%}"
        )
    ways = dict.fromkeys(look.how for look in looks)
    if len(ways) > 1:
        error = 1 - (1 - LEVEL) ** len(ways)
        found.append(
            f"arms were compared in {len(ways)} ways ({'; '.join(how or USUAL for how in ways)}); if one was chosen by "
            f"its verdict, the error is up to {error:.0%} instead of {LEVEL:.0%}"
        )
    return found


def _remarks_on_seeds(looks: Sequence[Look], now: Look) -> list[str]:
    """Return what looks at other numbers of seeds do to the verdicts of this one; nothing if they do nothing."""
    same = [look for look in looks if look.metric == now.metric]
    if now.is_planned:
        # what was seen after a planned table was shown could not have stopped the study before it
        first = next((i for i, look in enumerate(same) if _shown_by(look) == _shown_by(now)), len(same))
        before = tuple(sorted({look.seeds for look in same[:first] if not look.is_planned and look.seeds >= MIN_SEEDS}))
        if not before:
            return []
        plural = len(before) > 1
        what = f"{'looks' if plural else 'a look'} at {now.metric} (at {_as_ranges(before)} seeds) came before"
        return [
            f"{what} and {'were' if plural else 'was'} not among those that until_decided planned and corrects for: "
            f"the error of a verdict is up to {min(1.0, LEVEL + error_of_looks(before)):.0%} instead of {LEVEL:.0%}"
        ]
    # planned looks are corrected for in their own tables; beside a further one they are looks as all others
    seeds = tuple(sorted({count for look in (*same, now) for count in look.all_seeds if count >= MIN_SEEDS}))
    if len(seeds) < 2:
        return []
    count = ORDINALS.get(len(seeds), f"{len(seeds)}th")
    advice = (
        "it is not among the looks that until_decided planned"
        if any(look.is_planned for look in same)
        else "seeds=until_decided(...) plans looks"
    )
    return [
        f"{count} look at {now.metric} (at {_as_ranges(seeds)} seeds): the error of a verdict is up to "
        f"{error_of_looks(seeds):.0%} instead of {LEVEL:.0%}; {advice}"
    ]


def _as_ranges(numbers: Sequence[int]) -> str:
    """Return rising numbers as text, four or more in a row as a range: ``3 to 7, 10``."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    return ", ".join(f"{group[0]} to {group[-1]}" if len(group) > 3 else ", ".join(map(str, group)) for group in groups)


def study_finished(results: Results, record: StudyRecord | None) -> None:
    """Add the look at a finished study to its ledger; its section says what there is to say."""
    if record is not None and record.folder.is_dir():
        add_look(record.folder, look_of(results))


def comparison_shown(results: Results, record: StudyRecord, metric: str, how: Sequence[str] = ()) -> list[str]:
    """Add a comparison that a command has shown to the ledger, and return what to say of it."""
    now = look_of(results, metric, how)
    return remarks(add_look(record.folder, now), now)


def sections(study: Any, runs: Sequence[Any]) -> list[Section]:
    """Return the section on what was tried; none where there is nothing besides what is shown."""
    from lab import Section
    from lab.study.results import Results

    folder = study_folder(study, runs)
    if folder is None:
        return []
    now = look_of(Results(study, list(study.all_arms), runs))
    looks = read_ledger(folder)
    found = remarks([*looks, now], now)
    if not found:
        return []
    rows = "".join(
        f"<tr><td>{html.escape(look.time)}</td><td>{html.escape(look.metric)}</td><td>{look.seeds}</td>"
        f"<td>{html.escape(', '.join(look.arms))}</td><td>{html.escape(look.how or USUAL)}</td></tr>"
        for look in looks
    )
    head = "<tr><th>shown</th><th>metric</th><th>seeds</th><th>arms</th><th>compared</th></tr>"
    items = "".join(f"<li>{html.escape(text)}</li>" for text in found)
    return [Section("What was tried", "\n".join(found), f"<ul>{items}</ul><table>{head}{rows}</table>", weight=50)]


def study_folder(study: Any, runs: Sequence[Any]) -> Path | None:
    """Return the folder of a study's record, beside the store of its runs; None if there is none."""
    for run in runs:
        folder = Path(run.folder).parent.parent / study.name
        return folder if study.name and folder.is_dir() else None
    return None
