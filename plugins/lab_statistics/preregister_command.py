"""``lab preregister``: write the plan of a study down before its results are seen."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import runs_option

__all__ = ["preregister"]


@click.command(
    epilog="""Examples:

\b
  lab preregister experiments/bidir_vs_attn.py
  lab run experiments/bidir_vs_attn.py
"""
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@runs_option
@click.pass_obj
def preregister(session: Session, file: Path, folder: Path) -> None:
    """Write question, arms, metric, seeds and rule of the study in FILE down, with a hash and the time.

    Run it before the study. The report and lab run then say whether the study kept to its plan. A plan is registered
    once; keep the hash elsewhere (a commit, a mail) if others must believe the time.
    """
    from lab.errors import UnknownNameError
    from lab.study.load import load_study
    from lab.study.record import read_study
    from lab.study.store import Store
    from lab_statistics import preregistration
    from lab_statistics.wording import rules_in_words

    catalog = session.catalog()
    study = load_study(file, catalog)
    store = Store(folder)
    try:
        runs = read_study(store, study.name).results(store).runs
    except UnknownNameError:
        runs = []
    finished = sum(run.status == "finished" for run in runs)
    content = preregistration.preregister(study, catalog, store.root / study.name, finished=finished)
    plan = content["plan"]
    click.echo(f"preregistered: {study.name}, {content['time']}")
    click.echo(f"  arms: {', '.join(plan['arms'])}")
    click.echo(f"  metric: {plan['metric']}; seeds: {', '.join(map(str, plan['seeds']))}")
    for line in rules_in_words(plan):
        click.echo(f"  {line}")
    click.echo(f"  sha256: {content['sha256']}")
    click.echo(f"  {store.root / study.name / preregistration.FILE}")
    if content["finished_before"]:
        click.echo(f"  {content['finished_before']} of its runs were finished already, which the report says", err=True)
