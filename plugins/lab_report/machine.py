"""A comparison as JSON for scripts: ``lab.compare/1``, described by ``docs/schemas/compare.json``.

Numbers are in full. JSON has no NaN: a number that is not known is null, and ``unknown`` beside it says why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from lab.study.compare import LEVEL, ArmComparison, Effect, Summary
from lab.study.results import ArmRow, Results
from lab_report.tables import COMPARED, MEASURED

__all__ = ["CLAIM", "COMPARE", "claim_document", "comparison_document", "dump"]

COMPARE = "lab.compare/1"
CLAIM = "lab.claim/1"


def dump(document: Mapping[str, Any]) -> str:
    """Return a document as text.

    Raises:
        ValueError: it holds a number that JSON does not have.
    """
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def comparison_document(results: Results, metric: str = "", *, stepwise: bool = False) -> dict[str, Any]:
    """Return the comparison of all arms in ``metric``, with its effects and notes.

    Raises:
        UnknownNameError: no run has such a metric; close matches are given.
    """
    rows = results.compare(metric, stepwise=stepwise)
    metric = metric or results.study.compare
    factors = {arm.name: dict(arm.factors) for arm in results.arms}
    others = [None, *(rows[i].name if stepwise else rows[0].name for i in range(len(rows) - 1))]
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
                **dict.fromkeys(COMPARED, _reason(found.n, found.difference, found.p, found.verdict)),
                "correlation": "fewer than three seeds, or scores without a spread",
                "exaggeration": "no difference was shown",
            },
        ),
        "is_better": found.is_better,
        "is_equivalent": found.is_equivalent,
        "verdict": found.verdict,
    }


def _effect(found: Effect) -> dict[str, Any]:
    numbers = {name: getattr(found, name) for name in MEASURED}
    return {
        "name": found.name,
        "levels": list(found.levels),
        "n": found.n,
        **_plain(numbers, dict.fromkeys(MEASURED, _reason(found.n, found.effect, found.p, found.verdict))),
        "verdict": found.verdict,
    }


def _reason(n: int, difference: float, p: float, verdict: str) -> str:
    """Return why numbers of a comparison are not known; the verdict says it where nothing could be computed."""
    if n < 2 or not math.isfinite(difference) or math.isnan(p):
        return verdict
    if n == 2:
        return "two seeds: no verdict"
    return "the differences have no spread"


def _plain(numbers: Mapping[str, float], reasons: Mapping[str, str]) -> dict[str, Any]:
    unknown = {name: reasons[name] for name, value in numbers.items() if not math.isfinite(value)}
    return {**{name: None if name in unknown else value for name, value in numbers.items()}, "unknown": unknown}
