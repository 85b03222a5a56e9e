"""Studies, plans, runs and comparisons as JSON for scripts, described by ``docs/schemas``.

Numbers are in full. JSON has no NaN: in a comparison a number that is not known is null, and ``unknown`` beside it says
why; a metric of a run that is not finite is null.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.study.compare import LEVEL, ArmComparison, Effect, Summary
from lab.study.files import to_standard
from lab.study.results import ArmRow, Results

if TYPE_CHECKING:
    from lab.study.preflight import Plan
    from lab.study.record import StudyRecord
    from lab.study.store import RunRecord
    from lab.study.study import Arm, Study

__all__ = [
    "CLAIM",
    "COMPARE",
    "COMPARED",
    "MEASURED",
    "PLAN",
    "RUN",
    "claim_document",
    "comparison_document",
    "finite",
    "plan_document",
    "results_document",
    "run_document",
    "study_document",
]

COMPARE = "lab.compare/1"
CLAIM = "lab.claim/1"
PLAN = "lab.plan/1"
RUN = "lab.run/1"

COMPARED = (
    "difference",
    "low",
    "high",
    "p",
    "p_corrected",
    "p_sign_flip",
    "improvement",
    "detectable",
    "correlation",
    "exaggeration",
)
MEASURED = ("effect", "low", "high", "p", "p_corrected", "detectable")


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return metrics for JSON: null for one that is not finite."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def study_document(study: Study, arms: Sequence[Arm]) -> dict[str, Any]:
    """Return a study before anything is trained: its question, its recipe and its arms."""
    return {
        "name": study.name,
        "question": study.question.strip(),
        "file": study.file or None,
        "metric": study.compare,
        "seeds": list(study.seed_list),
        "experiment": to_standard(arms[0].experiment.to_json()),
        "arms": [_arm(arm) for arm in arms],
    }


def _arm(arm: Arm) -> dict[str, Any]:
    changes = [
        {"path": path, "from": to_standard(old), "to": to_standard(new)} for path, (old, new) in arm.difference.items()
    ]
    return {"name": arm.name, "changes": changes, "factors": dict(arm.factors)}


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return what ``lab run --plan`` found: the arms, and the runs that are to do.

    ``seconds`` and ``bytes`` are estimates from one step of each arm, null for a training function.
    """
    from lab.report.terminal import estimated_bytes, estimated_seconds
    from lab.study.notes import notes_of_plan

    known = all(run.arm in plan.checks for run in plan.to_train)
    notes = list(notes_of_plan(plan).data)
    notes += [note for check in plan.checks.values() for note in check.notes]
    return {
        "schema": PLAN,
        "study": study_document(plan.study, plan.arms),
        "parameters": {name: check.parameters for name, check in plan.checks.items()},
        "runs": [
            {"arm": run.arm, "seed": run.seed, "key": run.key, "found": run.key in plan.found} for run in plan.runs
        ],
        "to_do": len(plan.to_train),
        "seconds": estimated_seconds(plan) if known else None,
        "bytes": round(estimated_bytes(plan)) if known else None,
        "notes": list(dict.fromkeys(notes)),
    }


def results_document(results: Results, record: StudyRecord, found: Mapping[str, int], report: str) -> dict[str, Any]:
    """Return the answer of ``lab run``: every run, and the comparison of their arms.

    Args:
        results: every run of the study.
        record: the study as recorded.
        found: of runs, ``found`` and ``trained``.
        report: path of the report; empty if none was written.
    """
    return {
        "schema": RUN,
        "study": record.study.name,
        "question": record.study.question.strip(),
        "file": record.file or None,
        "variant": record.variant,
        "folder": str(record.folder),
        "report": report or None,
        "found": found["found"],
        "trained": found["trained"],
        "statuses": dict(Counter(run.outcome for run in results.runs)),
        "runs": [run_document(run) for run in results.runs],
        "comparison": comparison_document(results),
        "budget_notes": list(results.budget_notes()),
    }


def run_document(run: RunRecord) -> dict[str, Any]:
    """Return one run: its arm, seed, outcome, metrics and budget."""
    return {
        "key": run.key,
        "arm": run.arm,
        "seed": run.seed,
        "status": run.outcome,
        "metrics": finite(run.metrics),
        "budget": finite(run.budget),
        "error": run.result.get("error") or None,
        "folder": str(Path(run.folder)),
    }


def comparison_document(results: Results, metric: str = "", *, stepwise: bool = False) -> dict[str, Any]:
    """Return the comparison of all arms in ``metric``, with its effects and notes.

    Raises:
        UnknownNameError: no run has such a metric; close matches are given.
    """
    rows = results.compare(metric, stepwise=stepwise)
    metric = metric or results.study.compare
    factors = {arm.name: dict(arm.factors) for arm in results.arms}
    others = [None, *(rows[i].name if stepwise else results.base_of(rows[i + 1].name) for i in range(len(rows) - 1))]
    return {
        "schema": COMPARE,
        "study": results.study.name,
        "metric": metric,
        "direction": {True: "higher", False: "lower", None: None}[results.direction(metric)],
        "base": rows[0].name,
        "stepwise": stepwise,
        "level": LEVEL,
        "seeds": sorted({run.seed for run in results.runs}),
        "arms": [
            {
                "name": row.name,
                "runs": row.planned,
                "finished": row.finished,
                "outcomes": dict(row.outcomes),
                "factors": factors[row.name],
                "metrics": {name: _summary(row.scores[name]) for name in results.metric_names if name in row.scores},
                "comparison": None if row.comparison is None else _comparison(row.comparison, other or ""),
            }
            for row, other in zip(rows, others, strict=True)
        ],
        "effects": [_effect(effect) for effect in results.effects(metric)],
        "notes": results.caveats(rows, metric),
    }


def claim_document(
    claim: str, row: ArmRow, other: str, relation: str, *, holds: bool, metric: str, direction: bool | None
) -> dict[str, Any]:
    """Return the answer to a claim about one arm, as ``lab check-claim`` gives it."""
    assert row.comparison is not None
    return {
        "schema": CLAIM,
        "claim": claim,
        "arm": row.name,
        "relation": relation,
        "holds": holds,
        "metric": metric,
        "direction": {True: "higher", False: "lower", None: None}[direction],
        "comparison": _comparison(row.comparison, other),
    }


def _summary(summary: Summary) -> dict[str, Any]:
    reasons = {
        "mean": "no run has a finite value",
        "sd": "fewer than two runs have a finite value",
    }
    return {
        "n": summary.n,
        **_plain({"mean": summary.mean, "sd": summary.spread}, reasons),
        "not_finite": summary.undefined,
    }


def _comparison(found: ArmComparison, other: str) -> dict[str, Any]:
    numbers = {name: getattr(found, name) for name in COMPARED}
    return {
        "with": other,
        "n": found.n,
        **_plain(
            numbers,
            {
                **dict.fromkeys(COMPARED, _reason(found, found.difference)),
                "correlation": f"fewer than three {found.unit}s, or scores without a spread",
                "exaggeration": "no difference was shown",
            },
        ),
        "is_better": found.is_better,
        "is_equivalent": found.is_equivalent,
        "test": found.test,
        "verdict": found.verdict,
    }


def _effect(found: Effect) -> dict[str, Any]:
    numbers = {name: getattr(found, name) for name in MEASURED}
    return {
        "name": found.name,
        "levels": list(found.levels),
        "n": found.n,
        **_plain(numbers, dict.fromkeys(MEASURED, _reason(found, found.effect))),
        "verdict": found.verdict,
    }


def _reason(found: ArmComparison | Effect, difference: float) -> str:
    """Return why numbers of a comparison are not known; the verdict says it where nothing could be computed."""
    if found.n < 2 or not math.isfinite(difference) or math.isnan(found.p):
        return found.verdict
    if found.n == 2:
        return f"two {found.unit}s: no verdict"
    return "the differences have no spread"


def _plain(numbers: Mapping[str, float], reasons: Mapping[str, str]) -> dict[str, Any]:
    unknown = {name: reasons[name] for name, value in numbers.items() if not math.isfinite(value)}
    return {**{name: None if name in unknown else value for name, value in numbers.items()}, "unknown": unknown}
