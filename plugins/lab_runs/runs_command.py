"""``lab runs``: list, show and remove runs, and prune those that no study refers to."""

from __future__ import annotations

import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from lab.cli.documents import dump, format_option
from lab.cli.options import SEED, complete_study, runs_option, warn
from lab.errors import LabError, StoreError

if TYPE_CHECKING:
    from lab.study.store import RunRecord, Store
    from lab_runs.listing import RunSummary

__all__ = ["runs"]

COLUMNS = ("key", "study", "arm", "seed", "status", "when", "seconds")
STATES = ("finished", "failed", "interrupted", "damaged")
LISTED_BEFORE_ASKING = 20


def _complete_key(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a key in the run store."""
    folder = Path(ctx.params.get("folder") or "runs") / ".store"
    return sorted(path.name for path in folder.glob(f"{incomplete}*") if not path.name.startswith("."))


@click.group(
    invoke_without_command=True,
    epilog="""Examples:

\b
  lab runs
  lab runs --study bidir_vs_attn --status failed
  lab runs --sort valid_bleu --descending --limit 10
  lab runs show 1f3a9c
  lab runs remove $(lab runs --arm 'no *' --keys)
  lab runs prune --dry-run
""",
)
@click.option(
    "--study", default="", metavar="NAME", shell_complete=complete_study, help="Only of this study; may contain *."
)
@click.option("--arm", default="", metavar="NAME", help="Only of this arm; may contain *.")
@click.option("--status", type=click.Choice(STATES), help="Only in this state.")
@click.option("--seed", type=SEED, help="Only with this seed.")
@click.option(
    "--sort", "column", default="when", show_default=True, metavar="COLUMN", help="Sort by a column or metric."
)
@click.option("--descending", is_flag=True, help="Largest first.")
@click.option("--show", "metrics", multiple=True, metavar="METRIC", help="A further column; may be repeated.")
@click.option("--limit", type=click.IntRange(1), help="At most this many.")
@click.option("--keys", "only_keys", is_flag=True, help="Print keys only, for other commands.")
@format_option("lab.runs/1")
@runs_option
@click.pass_context
def runs(
    ctx: click.Context,
    study: str,
    arm: str,
    status: str | None,
    seed: int | None,
    column: str,
    descending: bool,
    metrics: tuple[str, ...],
    limit: int | None,
    only_keys: bool,
    layout: str,
    folder: Path,
) -> None:
    """List runs, the latest last: key, study, arm, seed, state, and the primary metrics."""
    # the group's --runs must reach the subcommand in `lab runs --runs DIR show KEY`
    ctx.meta["lab.folder"] = folder
    if ctx.invoked_subcommand is not None:
        return
    from lab_runs import listing

    users = listing.users_of(folder, warn=warn)
    referring = {key: [name for name, _ in found] for key, found in users.items()}
    everything = listing.list_runs(folder)
    found = listing.select_runs(everything, study=study, arm=arm, status=status or "", seed=seed, referring=referring)
    found = listing.sort_runs(found, column, descending=descending)
    # by time the latest come last, so a limit keeps the end of the list
    found = found if limit is None else found[:limit] if column != "when" or descending else found[-limit:]
    if only_keys:
        click.echo("\n".join(run.key for run in found), nl=bool(found))
        return
    if layout == "json":
        click.echo(dump(_listed(found, folder, referring)))
        return
    extra = [*metrics, *(name for name in (column, *listing.primary_metrics(folder)) if name not in COLUMNS)]
    known = {*listing.column_names(found), "changed", "error"}
    # beside the seed, of studies by cross-validation alone
    own = [name for each in COLUMNS for name in ([each, "fold"] if each == "seed" else [each])]
    shown = own if any(run.fold is not None for run in found) else COLUMNS
    columns = [*shown, *(name for name in dict.fromkeys(extra) if name in known or name in metrics)]
    click.echo(_table(found, columns, _variants(users)) if found else _nothing(folder, len(everything)))
    for run in found:
        if run.status == "damaged":
            warn(f"run {run.key} is damaged: {run.error}; see lab runs show {run.key}; its study trains it again")


def _listed(found: Sequence[RunSummary], folder: Path, referring: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return a list of runs as a document of the schema ``lab.runs/1``."""
    from lab.report.documents import finite

    return {
        "schema": "lab.runs/1",
        "folder": str(folder),
        "runs": [
            {
                "key": run.key,
                "study": run.study or None,
                "arm": run.arm,
                "seed": run.seed,
                "status": run.status,
                "changed": run.changed,
                "metrics": finite({name: run.metrics[name] for name in run.metrics if name not in run.budget}),
                "budget": finite(run.budget),
                "error": run.error or None,
                "used_by": list(dict.fromkeys(referring.get(run.key, ()))),
            }
            for run in found
        ],
    }


def _variants(users: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, str]:
    """Return key → the variants that use the run; empty unless a study has several."""
    named = {key: ", ".join(dict.fromkeys(label for _, label in each if label)) for key, each in users.items()}
    return {key: text for key, text in named.items() if text}


def _nothing(folder: Path, count: int) -> str:
    return f"no run matches ({count} runs in {folder})" if count else f"no run in {folder} yet; lab run FILE makes some"


def _table(
    found: Sequence[RunSummary], columns: Sequence[str], variants: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return a line per run; if a study has variants, the last column lists those that use the run."""
    texts = [[name.replace("_", " ") for name in columns], *([_cell(run, name) for name in columns] for run in found)]
    if any(run.key in variants for run in found):
        # aligned as text
        columns = [*columns, "status"]
        cells = ["variant", *(variants.get(run.key, "–") for run in found)]
        texts = [[*line, printable(cell)] for line, cell in zip(texts, cells, strict=True)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    numeric = [name not in COLUMNS or name in ("seed", "seconds") for name in columns]
    layout = "  ".join(f"{{:{'>' if right else '<'}{width}}}" for right, width in zip(numeric, widths, strict=True))
    return "\n".join(layout.format(*line).rstrip() for line in texts)


def _cell(run: RunSummary, name: str) -> str:
    value = run.value(name)
    if name == "when":
        return _when(value)
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else printable(str(value))


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


# --- one run ----------------------------------------------------------------------------------------------------------


@runs.command(epilog="Example:  lab runs show 1f3a9c")
@click.argument("key", shell_complete=_complete_key)
@format_option("lab.runs.show/1")
@runs_option
@click.pass_context
def show(ctx: click.Context, key: str, layout: str, folder: Path) -> None:
    """Show the run KEY (its first digits are enough): experiment, metrics, environment, files."""
    from lab.study.store import Store
    from lab_runs.listing import users_of

    store = Store(_folder(ctx, folder))
    record = store.find(key)
    users = [f"{name} ({label})" if label else name for name, label in users_of(store.root, warn).get(record.key, [])]
    made = _readable(lambda: record.experiment(strict=False))
    if layout == "json":
        click.echo(dump(_shown(record, made, users)))
        return
    click.echo(click.style(f"run {record.key}", bold=True) + f"  {record.status}")
    if made:
        line = f"  arm {made['arm']}, seed {made['seed']}, made for {made['study']}, on {made['device']}"
        click.echo(printable(line))
    click.echo(f"  used by: {printable(', '.join(users)) or 'no study'}\n  {record.folder}")
    for title, rows in _parts(record, made):
        if rows:
            click.echo(f"\n{click.style(title, bold=True)}\n" + _rows(rows))
    if record.status in ("failed", "damaged"):
        click.echo(f"\n{printable(record.result.get('traceback') or record.result.get('error', ''))}")


def _shown(record: RunRecord, made: Mapping[str, Any], users: Sequence[str]) -> dict[str, Any]:
    """Return one run as a document of the schema ``lab.runs.show/1``."""
    import attrs

    from lab.report.documents import run_document
    from lab.study.files import to_standard
    from lab.study.store import history_of
    from lab_runs.listing import files_below

    named = attrs.evolve(record, arm=made.get("arm", ""), seed=made.get("seed", -1))
    return {
        "schema": "lab.runs.show/1",
        **run_document(named),
        "study": made.get("study"),
        "used_by": list(users),
        "device": made.get("device"),
        "experiment": to_standard(made.get("experiment")),
        "environment": to_standard(_readable(lambda: record.environment(strict=False))),
        "history": to_standard(_readable(lambda: {"rows": history_of(record.folder)}).get("rows", [])),
        "files": [
            {"name": str(path.relative_to(record.folder)), "bytes": path.stat().st_size}
            for path in files_below(record.folder)
        ],
        "traceback": record.result.get("traceback") or None,
    }


def _readable(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of ``read``; warn and return an empty one if it cannot be read."""
    try:
        return read()
    except StoreError as error:
        warn(str(error))
        return {}


def _folder(ctx: click.Context, folder: Path) -> Path:
    """Return the folder of runs: the command's own option, or the group's."""
    source = ctx.get_parameter_source("folder")
    return ctx.meta["lab.folder"] if source is click.core.ParameterSource.DEFAULT else folder


def _parts(record: RunRecord, made: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    from lab.report.cells import environment_rows, number, recipe, size, without_hash
    from lab.study.experiment import describe_value
    from lab_runs.listing import files_below

    experiment = [(without_hash(path), without_hash(value)) for path, value, _ in recipe(made.get("experiment", {}))]
    files = files_below(record.folder)
    environment = environment_rows(_readable(lambda: record.environment(strict=False)))
    return [
        ("experiment", experiment),
        ("metrics", [(name, number(value)) for name, value in record.metrics.items()]),
        ("budget", [(name, number(value)) for name, value in record.budget.items()]),
        ("environment", [(name, describe_value(value)) for name, value in environment]),
        ("files", [(str(path.relative_to(record.folder)), size(path.stat().st_size)) for path in files]),
    ]


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(printable(f"  {name:<{width}}  {value}") for name, value in rows)


def printable(text: str) -> str:
    """Return a text from a store without terminal control characters."""
    # names in a store from elsewhere could hold escape sequences that retitle or clear the terminal
    return "".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in text)


@runs.command(epilog="Example:  lab runs why 1f3a9c 77be02")
@click.argument("one", metavar="KEY1", shell_complete=_complete_key)
@click.argument("other", metavar="KEY2", shell_complete=_complete_key)
@runs_option
@click.pass_context
def why(ctx: click.Context, one: str, other: str, folder: Path) -> None:
    """Explain why KEY1 and KEY2 are different runs: list every input of the keys that differs.

    First digits of a key are enough. Sources, files and data are compared by their hashes.
    """
    from lab.study.store import Store
    from lab_runs.why import differing

    store = Store(_folder(ctx, folder))
    records = [store.find(key) for key in (one, other)]
    contents: list[dict[str, Any]] = [record.experiment().get("key_content") or {} for record in records]
    for record, content in zip(records, contents, strict=True):
        if not content:
            raise LabError(
                f"run {record.key} does not record what its key was computed from",
                hint="it was recorded by an earlier version; lab runs show compares what there is",
            )
    lines = differing(*contents)
    click.echo("\n".join(lines) if lines else "nothing differs: the two are one run")


# --- removing ---------------------------------------------------------------------------------------------------------


@runs.command(
    epilog="Examples:  lab runs remove 1f3a9c 77be02  ·  lab runs remove $(lab runs --status failed --keys) --yes"
)
@click.argument("keys", nargs=-1, required=True, shell_complete=_complete_key)
@click.option("--yes", is_flag=True, help="Do not ask.")
@runs_option
@click.pass_context
def remove(ctx: click.Context, keys: tuple[str, ...], yes: bool, folder: Path) -> None:
    """Remove the runs KEYS (first digits are enough), with all their files."""
    from lab.study.store import Store

    store = Store(_folder(ctx, folder))
    _remove(store, list(dict.fromkeys(store.find(key).key for key in keys)), ask=not yes)


@runs.command(epilog="Examples:  lab runs prune --dry-run  ·  lab runs prune --yes")
@click.option("--dry-run", is_flag=True, help="Show the runs to remove, and stop.")
@click.option("--last-variants", is_flag=True, help="Also runs of variants that were not run last.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@runs_option
@click.pass_context
def prune(ctx: click.Context, dry_run: bool, last_variants: bool, yes: bool, folder: Path) -> None:
    """Remove the runs that no study refers to, and leftovers of interrupted removals.

    A study refers to the arms and seeds of all its variants (other settings, arms, seeds or files) as they were when
    each was last run; runs of earlier code are removed. With --last-variants only the variant of each study that was
    run last counts.
    """
    from lab.study.store import Store
    from lab_runs.listing import list_runs, remove_leftovers, users_of

    store = Store(_folder(ctx, folder))
    asked = users_of(store.root, last_only=last_variants)
    unused = [run for run in list_runs(store.root) if run.key not in asked]
    if not unused:
        click.echo("every run belongs to a study")
    elif dry_run:
        click.echo(f"{_described(store, [run.key for run in unused])}\n{_origins(unused)}")
    else:
        if not yes:
            click.echo(_origins(unused))
        _remove(store, [run.key for run in unused], ask=not yes)
    if not dry_run:
        remove_leftovers(store.root)


def _origins(runs: Sequence[RunSummary]) -> str:
    """Return the studies that the runs were made for, in one line."""
    counts = Counter(run.study for run in runs)
    parts = [f"{printable(name)} ({_runs(count)})" if name else f"unknown ({count})" for name, count in counts.items()]
    return f"made for {', '.join(parts)}, no longer used by any study"


def _remove(store: Store, keys: Sequence[str], *, ask: bool) -> None:
    if ask:
        click.echo(_described(store, keys))
        click.confirm(f"remove {_count(keys)}?", abort=True)
    # a run in training is skipped: its process would write into a folder that is gone
    busy = [key for key in keys if store.is_busy(key)]
    gone = [key for key in keys if key not in busy]
    try:
        for key in gone:
            # locked, so that no other process begins the run while its folder is being removed
            with store.lock(key):
                store.remove(key)
    except OSError as error:
        raise StoreError(f"cannot remove a run: {error.strerror}", where=str(error.filename)) from error
    click.echo(f"{_count(gone)} removed")
    if busy:
        raise LabError(
            f"{_count(busy)} skipped", where="being trained right now: " + ", ".join(busy), hint="try again later"
        )


def _described(store: Store, keys: Sequence[str]) -> str:
    from lab.report.cells import size
    from lab_runs.listing import list_runs

    chosen = set(keys)
    found = [run for run in list_runs(store.root) if run.key in chosen]
    shown = _table(found[:LISTED_BEFORE_ASKING], COLUMNS)
    more = f"\nand {len(found) - LISTED_BEFORE_ASKING} more" if len(found) > LISTED_BEFORE_ASKING else ""
    total = sum(_sizes(store.folder / key for key in keys))
    return f"{shown}{more}\n{_count(keys)}, {size(total)}"


def _sizes(folders: Iterable[Path]) -> Iterable[int]:
    """Yield the sizes in bytes of the files in folders, following no links."""
    own = (folder for folder in folders if not folder.is_symlink())
    states = (path.lstat() for folder in own for path in folder.rglob("*"))
    return (state.st_size for state in states if stat.S_ISREG(state.st_mode))


def _count(keys: Sequence[str]) -> str:
    return _runs(len(keys))


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
