"""``lab list``, ``lab show``, ``lab plugins``: components, their signatures and their plugins."""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.cli.completion import complete_kind, complete_path
from lab.cli.documents import components_document, dump, format_option, list_document, plugins_document
from lab.cli.main import Session, session_of
from lab.cli.summaries import summaries_of
from lab.errors import LabError, UnknownNameError
from lab.registry.component import Preset
from lab.registry.plugins import Catalog
from lab.registry.registry import DISTRIBUTION, Entry, Registry
from lab.streams import stdout_to_stderr

if TYPE_CHECKING:
    from lab.registry.signature import Parameter
    from lab.study.study import Arm, Study

__all__ = ["list_components", "plugins", "show"]

SLOW_S = 0.5
"""Slower imports of a plugin are marked: they delay every command."""

MIN_SENTENCE = 30
"""Width that a sentence of a list is given, however narrow the terminal is."""


def _complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    registries = session_of(ctx).catalog().registries.values()
    return sorted({name for registry in registries for name in registry if name.startswith(incomplete)})


@click.command("list", epilog="Examples:  lab list  ·  lab list architectures  ·  lab list sampler")
@click.argument("kind", required=False, shell_complete=complete_kind)
@format_option("lab.list/1")
@click.pass_obj
def list_components(session: Session, kind: str | None, layout: str) -> None:
    """List components, of every KIND or of one."""
    catalog = session.catalog()
    registries = [catalog.registry(kind)] if kind else list(catalog.registries.values())
    if layout == "json":
        click.echo(dump(list_document(registries)))
        return
    described = [registry.entries() for registry in registries]
    summaries = iter(summaries_of(entry for entries in described for entry in entries))
    click.echo("\n\n".join(_describe_registry(*each, summaries) for each in zip(registries, described, strict=True)))


def _describe_registry(registry: Registry, entries: Sequence[Entry], summaries: Iterator[str]) -> str:
    rows = [(entry.name, f"{next(summaries)} ({_origin(entry)})".lstrip()) for entry in entries]
    width = max((len(name) for name, _ in rows), default=0)
    body = [_listed(name, text, width) for name, text in rows] or ["  (none)"]
    return "\n".join([f"{click.style(registry.spec.name, bold=True)}: {registry.spec.doc}", *body])


def _listed(name: str, text: str, width: int) -> str:
    """Return a component's line; a terminal shows it in as many lines as it needs, each below the first."""
    line = f"  {name:<{width}}  {text}"
    if not sys.stdout.isatty():
        # one line each, for grep
        return line
    columns = max(shutil.get_terminal_size().columns, width + MIN_SENTENCE)
    return textwrap.fill(line, columns, subsequent_indent=" " * (width + 4), break_long_words=False)


def _origin(entry: Entry) -> str:
    return entry.plugin.name if entry.plugin.is_builtin else f"{entry.plugin}, {entry.plugin.distribution}"


@click.command(
    epilog="""Examples:

\b
  lab show seq2seq_rnn
  lab show lab_basics:adam
  lab show experiments/bidir_vs_attn.py
  lab show experiments/sgdr_vs_constant.py --schedule
  lab show experiments/augment_or_not.py --batch -o batch.png
"""
)
@click.argument("name", shell_complete=_complete_names)
@click.option("--schedule", is_flag=True, help="Of a study: draw learning rate and momentum of every arm.")
@click.option("--batch", is_flag=True, help="Of a study on pictures: draw a training batch as the model sees it.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=complete_path,
    help="Of a study: change the base.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write what is drawn as a picture.")
@format_option("lab.show/1")
@click.pass_context
def show(
    context: click.Context,
    name: str,
    schedule: bool,
    batch: bool,
    assignments: tuple[str, ...],
    output: Path | None,
    layout: str,
) -> None:
    """Show the component NAME: signature, docstring, plugin, file and line. Or a study, by its file.

    A study shows its question, its recipe and its arms; with --schedule its learning rates, as lab schedule does; with
    --batch the pictures of a training batch after augmentation, as lab sheet does.
    """
    catalog = session_of(context).catalog()
    if layout == "json" and (schedule or batch or output is not None):
        raise click.UsageError("--format json has no schedules and no pictures")
    if schedule and batch:
        raise click.UsageError("give --schedule or --batch")
    if name.endswith(".py") and (schedule or batch or output is not None):
        command = "sheet" if batch else "schedule"
        _invoke(context, command, file=Path(name), assignments=assignments, output=output)
        return
    if name.endswith(".py"):
        from lab.study.load import load_study, override

        with stdout_to_stderr():
            study = override(load_study(name, catalog), assignments, catalog, where=name)
        if layout == "json":
            from lab.report.documents import study_document

            described = study_document(study, study.resolve(catalog, where=study.file))
            click.echo(dump(components_document([], catalog, described)))
            return
        click.echo(_describe_study(study, catalog))
        return
    if schedule or batch or assignments or output is not None:
        raise LabError("--schedule, --batch, --set and --output are for a study", hint="lab show FILE.py --schedule")
    entries = catalog.find(name)
    if not entries:
        raise _unknown(catalog, name)
    if layout == "json":
        click.echo(dump(components_document(entries, catalog, None)))
        return
    click.echo("\n\n".join(describe(entry, catalog) for entry in entries))


def _invoke(context: click.Context, name: str, **options: Any) -> None:
    """Invoke a command that a plugin provides: ``lab schedule``, ``lab sheet``."""
    root = context.find_root()
    assert isinstance(root.command, click.Group)
    # through click, not by import: the kernel must not import a plugin
    command = root.command.get_command(root, name)
    if command is None:
        raise LabError(f"no plugin has the command '{name}'", hint="lab plugins lists what is here; lab_basics has it")
    context.invoke(command, **options)


def _describe_study(study: Study, catalog: Catalog) -> str:
    """Return the question, the base's recipe, and the differences of each arm; no data is read."""
    from lab.registry.values import to_plain
    from lab.study.experiment import describe_value
    from lab.study.folds import describe_replication

    arms = study.resolve(catalog, where=study.file)
    recipe = arms[0].experiment
    replication = describe_replication(study.rules, study.seed_list)
    lines = [study.question.strip(), "", f"{study.name}: {replication}, compared by {study.compare}", ""]
    for slot, content in recipe.slots.items():
        components = content if isinstance(content, list) else [content]
        lines.append(f"  {slot}: {', '.join(component.alias for component in components) or '–'}")
    lines += [f"  {name}: {describe_value(to_plain(value))}" for name, value in recipe.values.items()]
    lines += ["", *(_difference(arm) for arm in arms)]
    return "\n".join(lines)


def _difference(arm: Arm) -> str:
    from lab.study.experiment import describe_value

    changes = [f"{path}: {describe_value(old)} → {describe_value(new)}" for path, (old, new) in arm.difference.items()]
    return f"  arm {arm.name}" + "".join(f"\n      {change}" for change in changes)


def _unknown(catalog: Catalog, name: str) -> UnknownNameError:
    entries = [entry for registry in catalog.registries.values() for entry in registry.entries()]
    known = {entry.name: f"{entry.name} ({entry.kind}, {entry.plugin})" for entry in entries}
    hint = "\n".join([*catalog.unavailable_plugins(), "all components: lab list"])
    return UnknownNameError.among("component", name, known, hint=hint)


def describe(entry: Entry, catalog: Catalog) -> str:
    """Return one component in full; of a preset, its target too."""
    from lab.registry.component import Use
    from lab.registry.resolve import follow_presets
    from lab.registry.signature import parameters_of

    head = click.style(f"{entry.spec.singular} {entry.name}", bold=True)
    if isinstance(entry.target, Preset):
        inner, _ = follow_presets(catalog.registries[entry.kind], Use(entry.qualified_name))
        return f"{head}  ({entry.plugin})\n  a preset: {entry.target!r}\n\n{describe(inner, catalog)}"
    factory = entry.load()
    parameters, is_open = parameters_of(factory, catalog)
    signature = _signature(entry.name, list(parameters.values()), is_open)
    doc = inspect.getdoc(factory) or "(no docstring)"
    parts = [f"{head}  ({entry.plugin})\n  {_file_and_line(factory)}", signature, doc]
    if entry.kind == "datasets":
        from lab.study.experiment import facts_for_samplers

        offered = (
            facts_for_samplers(factory)
            or "lengths where examples have one, and targets, groups, weights that a split has as attributes"
        )
        parts.append(f"Splits offer to samplers: {offered}")
    return "\n\n".join(parts)


def _signature(name: str, parameters: Sequence[Parameter], is_open: bool) -> str:
    """Return a signature with one parameter per line, those that the data fills before the star."""
    needs = [str(parameter) for parameter in parameters if parameter.is_required]
    chosen = [str(parameter) for parameter in parameters if not parameter.is_required]
    lines = [*needs, *(["*"] if chosen else []), *chosen, *(["**options"] if is_open else [])]
    return "\n".join([f"{name}(", *(f"    {line}," for line in lines), ")"])


def _file_and_line(factory: Any) -> str:
    # functools.wraps hides the file and line of a decorated function
    plain = inspect.unwrap(factory)
    try:
        return f"{inspect.getsourcefile(plain)}:{inspect.getsourcelines(plain)[1]}"
    except (TypeError, OSError):
        return f"{getattr(plain, '__module__', None) or 'built in'} (no source)"


@click.command(
    epilog="Examples:  lab plugins  ·  lab plugins --outdated  ·  lab plugins --known  ·  lab plugins --format json"
)
@click.option("--outdated", is_flag=True, help="Third-party packages, beside what pip's package index has.")
@click.option("--known", is_flag=True, help="Plugins of the list in the docs, and which are installed.")
@format_option("lab.plugins/1")
@click.pass_obj
def plugins(session: Session, outdated: bool, known: bool, layout: str) -> None:
    """List plugins: name, version, status, import time, what they provide, and why one could not be loaded."""
    if outdated and known:
        raise click.UsageError("--outdated and --known are two lists")
    if (outdated or known) and layout == "json":
        raise click.UsageError("--outdated and --known print no document: leave out --format json")
    if outdated:
        _show_outdated()
        return
    if known:
        _show_known()
        return
    catalog = session.catalog()
    if layout == "json":
        click.echo(dump(plugins_document(catalog)))
        return
    for plugin in catalog.plugins.values():
        counts = ", ".join(_count(len(names), catalog.registries[kind]) for kind, names in plugin.provides.items())
        head = f"{plugin.name} {plugin.version} ({plugin.distribution})"
        slow = "  (slow to import)" if plugin.seconds > SLOW_S else ""
        click.echo(f"{click.style(head, bold=True)}  {plugin.status}  {1000 * plugin.seconds:.0f} ms{slow}")
        for line in filter(None, (counts, *plugin.cause.splitlines())):
            click.echo(f"  {line}")


def _show_outdated() -> None:
    """Print the third-party packages of which the package index has a newer version, and those it does not have."""
    from lab.cli.packages import versions_of
    from lab.registry.discovery import find_entry_points

    others = sorted({point.distribution for point in find_entry_points("lab") if point.distribution != DISTRIBUTION})
    if not others:
        click.echo("no third-party plugins")
        return
    found = versions_of(others)
    for name, (here, newest) in sorted(found.outdated.items()):
        click.echo(f"{name}  {here} → {newest}\n  lab install --upgrade {name}")
    if found.newest:
        click.echo(f"newest: {', '.join(found.newest)}")
    if found.absent:
        click.echo(f"not in the package index: {', '.join(found.absent)}")


def _show_known() -> None:
    """Print the list of known plugins, and which of them are installed."""
    from lab.cli.known import known_plugins
    from lab.cli.packages import installed, plain_name

    here = installed()
    for plugin in known_plugins():
        mark = f"installed, {here[plain_name(plugin.package)][1]}" if plain_name(plugin.package) in here else ""
        click.echo(f"{click.style(plugin.package, bold=True)}  {mark}".rstrip())
        adds = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in plugin.adds.items())
        for line in (plugin.summary, adds, f"lab install {plugin.install}"):
            click.echo(f"  {line}")


def _count(count: int, registry: Registry) -> str:
    return f"{count} {registry.spec.singular if count == 1 else registry.spec.name}"
