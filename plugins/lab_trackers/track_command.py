"""``lab track``: send runs to a tracker after they have ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.cli.main import Session
from lab.cli.options import runs_option
from lab.errors import LabError, UnknownNameError, describe

if TYPE_CHECKING:
    from lab.registry.component import Use
    from lab.registry.plugins import Catalog
    from lab.study.store import RunRecord, Store
    from lab_trackers.tracking import Tracking

__all__ = ["track"]


@click.command(
    epilog="""Examples:

\b
  lab track mlflow bidir_vs_attn --set uri=sqlite:///mlflow.db
  lab track wandb bidir_vs_attn --set offline=true
  lab track mlflow 1f3a9c
"""
)
@click.argument("tracker")
@click.argument("targets", nargs=-1, required=True, metavar="STUDY|KEY...")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="A parameter of the tracker.")
@click.option("--again", is_flag=True, help="Send runs that were sent before once more, to the same runs of theirs.")
@runs_option
@click.pass_obj
def track(
    session: Session, tracker: str, targets: tuple[str, ...], assignments: tuple[str, ...], again: bool, folder: Path
) -> int:
    """Send the finished and failed runs of studies, or single runs, to TRACKER: mlflow, wandb.

    A run that was sent before is left alone, and one that was sent in part is completed.
    """
    from lab.study.store import Store
    from lab_trackers.tracking import build_tracker

    store, catalog = Store(folder), session.catalog()
    chosen = _chosen(tracker, assignments, catalog)
    build_tracker(chosen, catalog).check()
    # of a run that two targets share, one
    records = {record.key: record for target in targets for record in _runs_of(store, target)}
    return max([_send(record, chosen, catalog, store, again=again) for record in records.values()], default=0)


def _chosen(name: str, assignments: tuple[str, ...], catalog: Catalog) -> Use:
    """Return the tracker with its parameters.

    Raises:
        LabError: the name or a parameter is unknown, or a value is of the wrong type.
    """
    from lab.registry.component import use
    from lab.registry.resolve import Resolver
    from lab.registry.signature import parameters_of
    from lab.registry.text import read_text

    entry = catalog.registry("trackers")[name]
    known, _ = parameters_of(entry.load(), catalog)
    given: dict[str, Any] = {}
    for assignment in assignments:
        parameter, equals, text = assignment.partition("=")
        if not equals:
            raise LabError(f"'{assignment}' is not NAME=VALUE", where="--set")
        if parameter not in known:
            raise UnknownNameError.among("parameter", parameter, list(known), where=entry.label)
        given[parameter] = read_text(text, known[parameter], catalog)
    found: Use = use(name, **given)
    resolver = Resolver(catalog)
    if resolver.resolve("trackers", found) is None:
        raise LabError("\n".join(resolver.problems))
    return found


def _runs_of(store: Store, target: str) -> list[RunRecord]:
    """Return the runs of a study, or the one whose key begins with the target.

    Raises:
        UnknownNameError: it is neither.
    """
    from lab.study.record import read_study

    try:
        record = read_study(store, target)
    except UnknownNameError as error:
        try:
            return [store.find(target)]
        except UnknownNameError as second:
            # several keys begin with it, which is what was meant
            raise (second if second.what.startswith("more") else error) from None
    return [store.record(**run) for run in record.runs]


def _send(record: RunRecord, chosen: Use, catalog: Catalog, store: Store, *, again: bool) -> int:
    """Send a run, print what became of it, and return the exit code."""
    from lab_trackers.tracker import facts_of
    from lab_trackers.tracking import Tracking, build_tracker

    if record.status not in ("finished", "failed"):
        click.echo(f"run {record.key} is {record.status}: not sent")
        return 0
    if store.is_busy(record.key):
        click.echo(f"run {record.key} is being trained: not sent")
        return 0
    # one tracker per run: it keeps the run that it serves
    tracking = Tracking(build_tracker(chosen, catalog), record.folder, facts_of(record))
    name = f"{tracking.facts.arm}, seed {tracking.facts.seed} (run {record.key})"
    if tracking.status == record.status and not again:
        click.echo(f"{name}: sent before")
        return 0
    return _attempt(tracking, record, name)


def _attempt(tracking: Tracking, record: RunRecord, name: str) -> int:
    try:
        tracking.end(record)
    except Exception as error:
        # trackers raise errors of their own, of requests, of databases
        click.echo(f"lab: {name} was not sent: {describe(error)}", err=True)
        return 1
    click.echo(f"{name}: {record.status}, sent")
    return 0
