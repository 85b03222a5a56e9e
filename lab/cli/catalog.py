"""``lab list``, ``lab show``, ``lab plugins``: what is there, what it is, where from."""

from __future__ import annotations

import click

from lab.cli.main import Session
from lab.errors import UnknownNameError
from lab.registry.component import Preset
from lab.registry.plugins import Catalog
from lab.registry.registry import Entry, Registry, close_matches

__all__ = ["list_components", "plugins", "show"]


@click.command("list", epilog="Examples:  lab list  ·  lab list architectures  ·  lab list sampler")
@click.argument("kind", required=False)
@click.pass_obj
def list_components(session: Session, kind: str | None) -> None:
    """List components, of every KIND or of one."""
    catalog = session.catalog()
    registries = [catalog.registry(kind)] if kind else list(catalog.registries.values())
    click.echo("\n\n".join(_describe_registry(registry) for registry in registries))


def _describe_registry(registry: Registry) -> str:
    rows = [(entry.name, _origin(entry)) for entry in registry.entries()]
    width = max((len(name) for name, _ in rows), default=0)
    body = [f"  {name:<{width}}  {origin}" for name, origin in rows] or ["  (none)"]
    return "\n".join([f"{click.style(registry.spec.name, bold=True)}: {registry.spec.doc}", *body])


def _origin(entry: Entry) -> str:
    mark = "" if entry.plugin.is_builtin else f" ({entry.plugin.distribution})"
    preset = f"  = {entry.target!r}" if isinstance(entry.target, Preset) else ""
    return f"{entry.plugin}{mark}{preset}"


@click.command(epilog="Examples:  lab show seq2seq_rnn  ·  lab show lab_basics:adam")
@click.argument("name")
@click.pass_obj
def show(session: Session, name: str) -> None:
    """Show the component NAME: signature, docstring, plugin, file and line."""
    catalog = session.catalog()
    entries = catalog.find(name)
    if not entries:
        raise _unknown(catalog, name)
    click.echo("\n\n".join(describe(entry, catalog) for entry in entries))


def _unknown(catalog: Catalog, name: str) -> UnknownNameError:
    everything = {entry.name: entry for registry in catalog.registries.values() for entry in registry.entries()}
    close = [
        f"{match} ({everything[match].kind}, {everything[match].plugin})" for match in close_matches(name, everything)
    ]
    lines = [f"did you mean: {' or '.join(close)}?"] if close else []
    lines += [f"could not load: {line}" for line in catalog.failures()]
    return UnknownNameError(
        f"no component is called '{name}'", hint="\n".join([*lines, "everything there is: lab list"])
    )


def describe(entry: Entry, catalog: Catalog) -> str:
    """One component in full."""
    import inspect

    from lab.registry.binding import Parameter, parameters_of

    singular = catalog.registries[entry.kind].spec.singular
    head = click.style(f"{singular} {entry.name}", bold=True)
    if isinstance(entry.target, Preset):
        inner = catalog.registries[entry.kind][entry.target.target]  # type: ignore[index]
        return f"{head}  ({entry.plugin})\n  a preset: {entry.target!r}\n\n{describe(inner, catalog)}"
    factory = entry.load()
    parameters, is_open = parameters_of(factory, catalog)
    lines = [f"    {parameter}" for parameter in parameters.values()]
    star = next((i for i, p in enumerate(parameters.values()) if p.default is not Parameter.REQUIRED), None)
    if star is not None:
        lines.insert(star, "    *")
    signature = "\n".join(
        [f"{entry.name}(", *(f"{line}," for line in lines), *(["    **options,"] if is_open else []), ")"]
    )
    where = f"{inspect.getsourcefile(inspect.unwrap(factory))}:{inspect.getsourcelines(inspect.unwrap(factory))[1]}"
    doc = inspect.getdoc(factory) or "(no docstring)"
    return f"{head}  ({entry.plugin})\n  {where}\n\n{signature}\n\n{doc}"


@click.command(epilog="Example:  lab plugins")
@click.pass_obj
def plugins(session: Session) -> None:
    """List plugins: name, version, status, import time, what they provide, and why one could not be loaded."""
    for plugin in session.catalog().plugins.values():
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in plugin.provides.items())
        head = f"{plugin.name} {plugin.version} ({plugin.distribution})"
        click.echo(f"{click.style(head, bold=True)}  {plugin.status}  {1000 * plugin.seconds:.0f} ms")
        for line in filter(None, (counts, *plugin.cause.splitlines())):
            click.echo(f"  {line}")
