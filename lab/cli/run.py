"""``lab run``: preflight, run what is missing, compare, report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from lab.cli.main import Session

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.study.results import Results
    from lab.study.store import Store
    from lab.study.study import Study

__all__ = ["run"]


@click.command(
    epilog="""Examples:

\b
  lab run experiments/bidir_vs_attn.py
  lab run experiments/bidir_vs_attn.py --plan
  lab run experiments/bidir_vs_attn.py --set dataset.corpus=tatoeba --seeds 5
  lab run experiments/bidir_vs_attn.py --set dataset=multi30k --epochs 1 --arms additive
"""
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Change the base: lr=0.01, architecture.layers=1."
)
@click.option("--epochs", type=click.IntRange(0), help="Short for --set epochs=N.")
@click.option("--seeds", type=click.IntRange(1), help="How many seeds.")
@click.option("--arms", metavar="A,B", help="Only these arms, and the base.")
@click.option("--plan", "plan_only", is_flag=True, help="Check every arm, show the plan, and stop.")
@click.option("--fresh", is_flag=True, help="Train again what is finished.")
@click.option(
    "--runs",
    "folder",
    type=click.Path(path_type=Path),
    envvar="LAB_RUNS",
    default="runs",
    show_default=True,
    help="Folder of runs.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), envvar="LAB_DATA", help="Folder of corpora.")
@click.option("--device", default="cpu", show_default=True, help="Where to train: cpu, cuda, cuda:1.")
@click.option("--threads", type=click.IntRange(1), help="Threads of one run.")
@click.option(
    "--executor", default="in_process", show_default=True, help="Where runs are executed: lab list executors."
)
@click.option("--quiet", is_flag=True, help="No progress, only the result.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_obj
def run(
    session: Session,
    file: Path,
    assignments: tuple[str, ...],
    epochs: int | None,
    seeds: int | None,
    arms: str | None,
    plan_only: bool,
    fresh: bool,
    folder: Path,
    data_dir: Path | None,
    device: str,
    threads: int | None,
    executor: str,
    quiet: bool,
    debug: bool,
) -> int:
    """Answer the question in FILE: check every arm, train what is missing, compare, report.

    Finished runs are found again by their key and never trained twice; an interrupted study goes on where it stopped.
    """
    if data_dir is not None:
        os.environ["LAB_DATA"] = str(data_dir)
    _set_threads(threads)
    from lab.study.load import load_study, override
    from lab.study.store import Store

    catalog = session.catalog()
    study = load_study(file)
    if epochs is not None:
        assignments = (*assignments, f"epochs={epochs}")
    study = override(study, assignments, catalog)
    if seeds is not None:
        study = attrs.evolve(study, seeds=seeds)
    if arms is not None:
        study = study.select([name.strip() for name in arms.split(",") if name.strip()])
    return _answer(
        study,
        catalog,
        Store(folder),
        file,
        plan_only=plan_only,
        fresh=fresh,
        device=device,
        executor=executor,
        quiet=quiet,
    )


def _set_threads(threads: int | None) -> None:
    """Before torch is imported, so that its pools have the right size from the start."""
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)


def _answer(
    study: Study,
    catalog: Catalog,
    store: Store,
    file: Path,
    *,
    plan_only: bool,
    fresh: bool,
    device: str,
    executor: str,
    quiet: bool,
) -> int:
    from lab.report.terminal import Display, make_console, print_plan, print_results, sections_of
    from lab.study.execute import execute_plan
    from lab.study.preflight import plan_study

    console = make_console()
    store.prepare()
    plan = plan_study(study, catalog, store, device=device, fresh=fresh, where=str(file))
    if plan_only or not quiet:
        print_plan(plan, console)
    if plan_only:
        return 0
    try:
        with Display(console, len(plan.to_do), quiet=quiet) as display:
            results = execute_plan(plan, catalog, store, executor=executor, listener=display, fresh=fresh)
    except KeyboardInterrupt:
        click.echo(f"interrupted; everything is saved\n  go on with the same command: {_command_line()}", err=True)
        return 130
    _write_records(results, store)
    print_results(results, sections_of(results, catalog), console)
    catalog.call("lab_study_finished", study=study, runs=results.runs)
    console.print(f"one row per run: {store.study_folder(study.name) / 'runs.csv'}", style="dim", soft_wrap=True)
    return _exit_code(results)


def _write_records(results: Results, store: Store) -> None:
    from lab.training.checkpoint import write_json

    folder = store.study_folder(results.study.name)
    results.write_csv(folder / "runs.csv")
    write_json(
        folder / "study.json",
        {
            "name": results.study.name,
            "question": results.study.question,
            "compare": results.study.compare,
            "arms": {
                arm.name: {"difference": dict(arm.difference), "factors": dict(arm.factors)}
                for arm in results.plan.arms
            },
            "runs": [{"arm": run.arm, "seed": run.seed, "key": run.key, "status": run.status} for run in results.runs],
        },
    )


def _exit_code(results: Results) -> int:
    if not results.failed:
        return 0
    click.echo(
        f"{len(results.failed)} of {len(results.runs)} runs failed\n  the same command repeats only those: {_command_line()}",
        err=True,
    )
    return 1


def _command_line() -> str:
    import shlex
    import sys

    return shlex.join(["lab", *(argument for argument in sys.argv[1:] if argument != "--fresh")])
