"""Contents: rules of seeds, methods of studies, callbacks, commands and report sections."""

from __future__ import annotations

from typing import Any

from lab import hookimpl


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """Add ``lab by-example``, ``lab plan``, ``lab preregister`` and ``lab variance``."""
    return {
        "by-example": (
            "lab_statistics.by_example_command:by_example",
            "Compare the arms of a study example by example.",
            "Read the answer",
        ),
        "variance": (
            "lab_statistics.variance_command:variance",
            "Show where the variance of scores comes from.",
            "Read the answer",
        ),
        "preregister": (
            "lab_statistics.preregister_command:preregister",
            "Write the plan of a study down before its results are seen.",
            "Ask a question",
        ),
        "plan": (
            "lab_statistics.plan_command:plan",
            "Show how many seeds a study needs to detect a difference.",
            "Ask a question",
        ),
    }


@hookimpl
def lab_study_methods() -> dict[str, str]:
    """Several datasets; arms that vary one source of randomness each; arms tuned, or matched, with equal budgets."""
    return {
        "across": "lab_statistics.datasets:across",
        "match": "lab_statistics.matching:match",
        "retrain": "lab_statistics.retraining:retrain",
        "sources": "lab_statistics.variance:sources",
        "splits": "lab_statistics.splits:splits",
        "tune": "lab_statistics.tuning:tune",
    }


@hookimpl
def lab_callbacks() -> dict[str, str]:
    """Scores of an epoch that was not chosen by the examples that score it."""
    return {
        "cross_fitted": "lab_statistics.selection:CrossFitted",
        "last_epochs": "lab_statistics.selection:LastEpochs",
    }


@hookimpl
def lab_rounds() -> dict[str, str]:
    """Seeds for open arms; trials and tuned forms of arms; arms with equal budgets; the best of a search again."""
    return {
        "match": "lab_statistics.matching:next_arms",
        "retrain": "lab_statistics.retraining:next_arms",
        "tune": "lab_statistics.tuning:next_arms",
        "until_decided": "lab_statistics.sequential:next_arms",
    }


@hookimpl
def lab_study_finished(study: Any, results: Any, record: Any) -> list[str]:
    """Runs saved by a sequential study; this look is added to the ledger."""
    from lab_statistics import ledger, sequential

    ledger.study_finished(results, record)
    return sequential.finished_lines(study, results)


@hookimpl
def lab_comparison_shown(results: Any, record: Any, metric: str, how: Any) -> list[str]:
    """What the ledger says of this look."""
    from lab_statistics import ledger

    return ledger.comparison_shown(results, record, metric, how)


@hookimpl
def lab_run_finished(run: Any, result: Any) -> None:
    """Scores of single validation examples, if that is cheap."""
    from lab_statistics.examples import run_finished

    run_finished(run, result)


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Tuned settings; matched arms; datasets; sources of variance; examples; power; registered plans; the ledger."""
    from lab_statistics import by_example, datasets, ledger, matching, power_section, preregistration, tuning, variance

    # a study of which nothing was run has no more to tell
    if not runs:
        return []
    parts = (tuning, matching, datasets, variance, by_example, power_section, preregistration, ledger)
    return [section for part in parts for section in part.sections(study, runs)]
