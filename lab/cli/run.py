"""``lab run``: preflight, run what is missing, compare, report."""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from lab.cli.completion import complete_arms, complete_component, complete_path
from lab.cli.documents import format_option
from lab.cli.main import Session
from lab.cli.options import runs_option
from lab.errors import LabError
from lab.registry.component import Use, use
from lab.streams import stdout_to_stderr

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.study.preflight import Plan
    from lab.study.results import Results
    from lab.study.store import Store
    from lab.study.study import Study
    from lab.study.workspace import Workspace

__all__ = ["run"]

MIN_SECONDS_FOR_POOL = 30.0
"""Estimated seconds of training above which a process pool pays off."""

MAX_KEYS = 20
"""Keys that a suggested command lists at most."""


@click.command(
    epilog="""Examples:

\b
  lab run experiments/bidir_vs_attn.py
  lab run experiments/bidir_vs_attn.py --plan
  lab run experiments/bidir_vs_attn.py --set dataset.corpus=tatoeba --seeds 5
  lab run experiments/bidir_vs_attn.py --set dataset=multi30k --epochs 1 --arms additive
  lab run experiments/bidir_vs_attn.py --executor slurm --set executor.partition=fast
"""
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=complete_path,
    help="Change the base, or the executor: lr=0.01, architecture.layers=1, executor.gpus=1.",
)
@click.option("--epochs", type=click.IntRange(1), help="Short for --set epochs=N.")
@click.option("--seeds", type=click.IntRange(1), help="How many seeds.")
@click.option(
    "--arms", metavar="A,B", shell_complete=complete_arms, help="Only these arms, by name or number, and the base."
)
@click.option("--plan", "plan_only", is_flag=True, help="Check every arm, show the plan, and stop.")
@click.option("--fresh", is_flag=True, help="Train again what is finished.")
@runs_option
@click.option("--data-dir", type=click.Path(path_type=Path), envvar="LAB_DATA", help="Folder of corpora.")
@click.option("--device", default="cpu", show_default=True, help="Where to train: cpu, cuda, cuda:1.")
@click.option("--threads", type=click.IntRange(1), help="Threads of one run.")
@click.option("--workers", type=click.IntRange(1), help="Runs trained at once, each in a process of its own.")
@click.option(
    "--executor", shell_complete=complete_component("executors"), help="Where runs are executed: lab list executors."
)
@click.option("--address", help="Of a cluster, for executors that have one.")
@click.option("--only-plugins", metavar="A,B", help="Of third-party plugins, only these; built-in ones stay.")
@click.option("--quiet", is_flag=True, help="No progress, only the result.")
@click.option("--wide", is_flag=True, help="Show every metric, the statistics behind the verdicts, and the budget.")
@format_option("lab.run/1; with --plan, lab.plan/1")
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
    workers: int | None,
    executor: str | None,
    address: str | None,
    only_plugins: str | None,
    quiet: bool,
    wide: bool,
    layout: str,
    debug: bool,
) -> int:
    """Answer the question in FILE: check every arm, train what is missing, compare, report.

    Finished runs are found again by their key and never trained twice; an interrupted study goes on where it stopped.
    With --format json, only the document is printed to stdout, once all has ended; everything else goes to stderr.
    """
    as_json = layout == "json"
    # in the environment, so that worker processes inherit it
    if data_dir is not None:
        os.environ["LAB_DATA"] = str(data_dir)
    _set_threads(threads)
    from lab.study.load import load_study, override
    from lab.study.store import Store
    from lab.study.workspace import Workspace

    catalog = session.catalog(only=None if only_plugins is None else _names(only_plugins))
    # Python 3.14 says of a name that the system refuses that there is no such folder, which a plan alone never makes
    with suppress(FileNotFoundError, NotADirectoryError):
        folder.stat()
    workspace = Workspace(catalog, Store(folder), device)
    # what the file prints when it is imported is no part of a document
    with stdout_to_stderr() if as_json else nullcontext():
        study = load_study(file, catalog)
    if epochs is not None:
        assignments = (*assignments, f"epochs={epochs}")
    options, assignments = _executor_options(assignments)
    study = override(study, assignments, catalog, where=str(file))
    if seeds is not None:
        study = study.with_seeds(seeds)
    numbers = {arm.name: number for number, arm in enumerate(study.all_arms)}
    if arms is not None:
        study = study.choose(arms)
    if _processes() > 1:
        _refuse_for_several_processes(study, workers, executor)
        return _answer_on_all_ranks(
            study,
            workspace,
            _with_options(use("torchrun"), options, catalog),
            fresh=fresh,
            quiet=quiet,
            wide=wide,
            as_json=as_json,
        )
    chosen = _executor(executor, workers, threads, address, options, catalog)
    if plan_only:
        return _show_plan(study, workspace, chosen, numbers, fresh=fresh, quiet=quiet, as_json=as_json)
    return _answer(
        study,
        workspace,
        fresh=fresh,
        executor=chosen,
        threads=threads,
        quiet=quiet,
        wide=wide,
        numbers=numbers,
        as_json=as_json,
    )


def _processes() -> int:
    """Return the number of processes that torchrun started, or 1.

    Raises:
        LabError: the environment has only some of torchrun's variables.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if size.strip() == "1":
        return 1
    # a WORLD_SIZE left over from another tool would make this process wait for ranks that never come
    wrong = [] if size.strip().isdecimal() and int(size) > 0 else ["WORLD_SIZE"]
    rank = os.environ.get("RANK", "").strip()
    wrong += [] if rank.isdecimal() and (wrong or int(rank) < int(size)) else ["RANK"]
    wrong += [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if wrong:
        raise LabError(
            f"WORLD_SIZE={size} asks for several processes, "
            f"but these variables of torchrun are missing or wrong: {', '.join(wrong)}",
            hint="start it with torchrun --nproc-per-node N -m lab run ..., or unset WORLD_SIZE",
        )
    return int(size)


def _executor_options(assignments: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the executor's options, given as ``--set executor.NAME=VALUE``, and the other assignments."""
    found, others = {}, []
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        room, _, name = path.strip().partition(".")
        if equals and name and room == "executor":
            found[name] = value.strip()
        else:
            others.append(assignment)
    return found, tuple(others)


def _executor(
    name: str | None,
    workers: int | None,
    threads: int | None,
    address: str | None,
    options: dict[str, str],
    catalog: Catalog,
) -> Use | None:
    """Return the executor that the options name; None leaves the choice to the plan."""
    if name is None and address is not None:
        raise LabError("--address needs --executor", hint="name the executor too: --executor ray")
    if name is None and options:
        raise LabError(f"executor.{next(iter(options))} needs --executor", hint="name it too: --executor ray")
    if name is None:
        return None if workers is None else _pool(workers, threads)
    given = {"workers": workers, "address": address, "threads": threads if _takes_threads(name, catalog) else None}
    chosen = use(name, **{option: value for option, value in given.items() if value is not None})
    return _with_options(chosen, options, catalog)


def _with_options(executor: Use, options: dict[str, str], catalog: Catalog) -> Use:
    """Return an executor with options, each read by the annotation of its parameter."""
    from lab.registry.resolve import change
    from lab.registry.signature import Parameter
    from lab.registry.text import read_text

    def read(parameter: Parameter) -> Any:
        return read_text(options[parameter.name], attrs.evolve(parameter, name=f"executor.{parameter.name}"), catalog)

    # the name "executor.cpus" in messages is the one that the user has typed
    place = Parameter("executor", registry=catalog.registry("executors"))
    for name in options:
        executor = change(catalog, place, executor, [name], read)
    return executor


def _takes_threads(executor: str, catalog: Catalog) -> bool:
    """Return whether an executor sets the threads of its own processes; those of this process are set already."""
    from lab.registry.resolve import Resolver

    component = Resolver(catalog).resolve("executors", executor)
    return component is not None and "threads" in inspect.signature(component.factory).parameters


def _pool(workers: int, threads: int | None) -> Use:
    if workers == 1:
        return use("in_process")
    return use("processes", workers=workers, threads=threads)


def _refuse_for_several_processes(study: Study, workers: int | None, executor: str | None) -> None:
    """Raise if the options do not fit several processes that torchrun started."""
    if study.searching is not None:
        raise LabError("a search cannot be trained by several processes together", hint="lab run … --workers N")
    if workers is not None or executor not in (None, "torchrun"):
        raise LabError(
            "torchrun's processes train every run together, one run after the other",
            hint="leave out --workers and --executor, or torchrun",
        )


def _answer_on_all_ranks(
    study: Study, workspace: Workspace, executor: Use, *, fresh: bool, quiet: bool, wide: bool, as_json: bool
) -> int:
    """Answer on rank 0; the other ranks silently execute the same runs."""
    from lab.study.execute import build_executor
    from lab.study.preflight import plan_study

    built: Any = build_executor(executor, workspace.catalog)
    with built.process_group(workspace.device) as rank:
        if rank:
            if as_json:
                # torchrun joins the output of all ranks
                os.dup2(2, 1)
            built.follow_rank0(lambda store: plan_study(study, attrs.evolve(workspace, store=store), where=study.file))
            return 0
        return _answer(study, workspace, fresh=fresh, executor=executor, quiet=quiet, wide=wide, as_json=as_json)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _set_threads(threads: int | None) -> None:
    """Set the number of threads, before torch is imported and starts its pools.

    Waiting threads release their core: spinning, OpenMP's default, makes steps a hundred times slower if another
    process needs the core, and was no faster if none did.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "RANK" in os.environ:
        # silence warnings that each rank would repeat
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)


def _show_plan(
    study: Study,
    workspace: Workspace,
    executor: Use | None,
    numbers: Mapping[str, int],
    *,
    fresh: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Check every arm and show what would be trained."""
    from lab.report.live import PlanProgress
    from lab.report.terminal import make_console, print_plan
    from lab.study.execute import is_elsewhere
    from lab.study.preflight import plan_study

    elsewhere = executor is not None and is_elsewhere(executor, workspace.catalog)
    workspace.store.folder.exists()  # raises where the system refuses the path; a plan makes no folder
    with stdout_to_stderr() if as_json else nullcontext(), PlanProgress(quiet=quiet) as progress:
        plan = plan_study(study, workspace, fresh=fresh, where=study.file, elsewhere=elsewhere, progress=progress)
    if as_json:
        from lab.cli.documents import dump
        from lab.report.documents import plan_document

        click.echo(dump(plan_document(plan)))
        return 0
    print_plan(plan, make_console(), numbers)
    return 0


def _answer(
    study: Study,
    workspace: Workspace,
    *,
    fresh: bool,
    executor: Use | None,
    quiet: bool,
    threads: int | None = None,
    wide: bool = False,
    numbers: Mapping[str, int] | None = None,
    as_json: bool = False,
) -> int:
    from lab.cli.options import warn
    from lab.report.live import Display, PlanProgress
    from lab.report.terminal import make_console, print_plan, print_results, sections_of
    from lab.study.execute import answer, finish, is_elsewhere
    from lab.study.experiment import Task
    from lab.study.interrupt import INTERRUPTED
    from lab.study.record import among_others

    console, catalog, store = make_console(stderr=as_json), workspace.catalog, workspace.store
    can_write = workspace.is_writable
    # first of all: a wrong executor's name must not be reported after minutes of reading data
    elsewhere = executor is not None and is_elsewhere(executor, catalog)
    asked: list[str] = []
    ended: set[str] = set()
    found: set[str] = set()

    @contextmanager
    def watch(plan: Plan) -> Iterator[Display]:
        progress.stop()
        if not quiet:
            print_plan(plan, console, numbers)
        _warn_of_damage(plan, store)
        asked.extend(run.key for run in plan.to_do)
        found.update(plan.found - set(asked))
        with Display(console, plan.runs, compare=study.compare, found=plan.found, quiet=quiet, ended=ended) as display:
            yield display

    try:
        # a training function may print, and so may its processes
        with stdout_to_stderr() if as_json else nullcontext(), PlanProgress(quiet=quiet) as progress:
            results, record = answer(
                study,
                workspace,
                executor=lambda plan: executor or _fitting_executor(plan, threads),
                watch=watch,
                fresh=fresh,
                where=study.file,
                elsewhere=elsewhere,
                progress=progress,
                command=_command_line(),
            )
    except KeyboardInterrupt:
        # a function or a command keeps what it saves itself
        kept = "finished runs and checkpoints are kept" if isinstance(study.base, Task) else "everything is saved"
        click.echo(f"interrupted; {kept}\n  go on with the same command: {_command_line()}", err=True)
        if fresh and (old := [key for key in asked if key not in ended and store.finished(key)]):
            _warn_of_kept(old, store)
        return INTERRUPTED
    sections = sections_of(results, catalog)
    # the report is written before anything is printed: a closed pipe must not prevent it
    lines = finish(results, catalog, among_others(record) if can_write else None, sections)
    if as_json:
        from lab.cli.documents import dump
        from lab.report.documents import results_document

        report = record.folder / "report.html"
        written = str(report) if can_write and report.is_file() else ""
        counts = {"found": len(found), "trained": len(set(asked))}
        click.echo(dump(results_document(results, record, counts, written)))
        return _exit_code(results)
    print_results(results, sections, console, wide=wide)
    if not can_write:
        warn(f"no report is written: the folder of runs cannot be written ({store.root})")
    if lines:
        # markup=False: a folder's name may contain brackets
        console.print("\n".join(lines), style="dim", soft_wrap=True, markup=False)
    return _exit_code(results)


def _warn_of_kept(keys: list[str], store: Store) -> None:
    """Print the runs that --fresh did not reach: without it, the command finds their earlier results."""
    count = (
        "1 run was not trained again and keeps its earlier result"
        if len(keys) == 1
        else (f"{len(keys)} runs were not trained again and keep their earlier results")
    )
    folder = "" if store.root == Path("runs") else f" --runs {shlex.quote(str(store.root))}"
    if len(keys) > MAX_KEYS:
        click.echo(f"  {count}; --fresh trains everything again", err=True)
        return
    which = "it" if len(keys) == 1 else "them"
    click.echo(f"  {count}; to train {which} too, first: lab runs remove {' '.join(keys)}{folder}", err=True)


def _warn_of_damage(plan: Plan, store: Store) -> None:
    """Print the runs that are trained again because their files are damaged."""
    from lab.cli.options import warn

    for run in plan.to_do:
        record = store.record(run.key)
        if record.status == "damaged":
            warn(f"{run.arm}, seed {run.seed} is damaged and is trained again: {record.result['error']}")


def _fitting_executor(plan: Plan, threads: int | None) -> Use:
    """Return the default executor: as many runs at once as there are cores, unless starting workers takes longer.

    On a CPU several runs with a thread each end sooner than one after the other with all threads.
    """
    from lab.report.terminal import estimated_seconds

    # the affinity, not the number of cores: containers and batch systems give a process only some of them
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores // (threads or 1), len(plan.to_do))
    # on a GPU several runs share one device and its memory, so the user must ask for it
    on_cpu = all(run.device == "cpu" for run in plan.to_do)
    is_worth_it = on_cpu and workers > 1 and estimated_seconds(plan) > MIN_SECONDS_FOR_POOL
    has_pool = "processes" in plan.workspace.catalog.registry("executors")
    return _pool(workers if is_worth_it and has_pool else 1, threads)


def _exit_code(results: Results) -> int:
    if not results.failed:
        return 0
    click.echo(
        f"{len(results.failed)} of {len(results.runs)} runs failed\n"
        f"  the same command repeats only those: {_command_line()}",
        err=True,
    )
    return 1


def _command_line() -> str:
    # without --fresh, which would train the runs again that this command has finished
    return shlex.join(["lab", *(argument for argument in sys.argv[1:] if argument != "--fresh")])
