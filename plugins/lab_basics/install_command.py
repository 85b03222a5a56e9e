"""``lab install`` and ``lab uninstall``: packages with plugins, by pip, in the environment that ``lab`` runs in."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import click

from lab.cli.packages import changed_since, described_plugins, installed, plain_name, run_pip
from lab.errors import LabError, did_you_mean
from lab.registry.discovery import find_entry_points
from lab.registry.registry import DISTRIBUTION

__all__ = ["install", "uninstall"]

NAMES_SHOWN = 8
"""Components of a kind that are named; of more, their number."""


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""Examples:

\b
  lab install lab-cosine
  lab install --upgrade lab-cosine
  lab install -e ./lab-cosine
  lab install lab-cosine --index-url https://packages.example.org/simple
""",
)
@click.argument("packages", nargs=-1, type=click.UNPROCESSED, metavar="PACKAGE...")
@click.option("--upgrade", "-U", is_flag=True, help="Take a newer version, if there is one.")
@click.option("--editable", "-e", multiple=True, metavar="FOLDER", help="Use a folder itself: edits count at once.")
def install(packages: tuple[str, ...], upgrade: bool, editable: tuple[str, ...]) -> None:
    """Install packages into the environment that lab runs in, and say what their plugins add.

    A PACKAGE is whatever pip installs: a name, a folder, a wheel, an address. All other options are pip's.
    """
    wanted = [each for each in packages if not each.startswith("-")]
    if not wanted and not editable and not {"-r", "--requirement"} & {*packages}:
        raise click.UsageError("name a package: lab install lab-cosine")
    _refuse_own(wanted)
    before = installed()
    edited = [word for folder in editable for word in ("--editable", folder)]
    run_pip(["install", *(["--upgrade"] if upgrade else []), *edited, *packages])
    # packages were installed while this process ran
    importlib.invalidate_caches()
    anew, others = changed_since(before)
    plugins = [each for each in described_plugins() if plain_name(each["package"]) in anew]
    names = ", ".join([*editable, *wanted])
    if not anew:
        click.echo(f"nothing changed: {names} was installed already; a newer version: lab install --upgrade")
        return
    for plugin in plugins:
        click.echo("\n".join(_described(plugin)))
    changed = [line for line in others if plain_name(line.split()[0]) not in _packages(plugins)]
    if changed:
        click.echo(f"pip also changed: {', '.join(changed)}")
    if not plugins:
        click.echo(f"installed, but no plugin of lab is in it: {names}\n  take it away: pip uninstall")
    failed = [plugin for plugin in plugins if plugin["status"] == "failed"]
    if failed:
        raise LabError(
            f"installed, but plugin '{failed[0]['name']}' could not be loaded",
            hint=f"{failed[0]['cause']}\ntake it away: lab uninstall {failed[0]['package']}",
        )


def _refuse_own(packages: Iterable[str]) -> None:
    """Raise if a package is ``lab`` itself, or a plugin that comes with it."""
    own = {plain_name(point.name) for point in find_entry_points("lab") if point.distribution == DISTRIBUTION}
    for name in packages:
        if plain_name(name) in own:
            raise LabError(f"plugin '{name}' comes with lab", hint="it is installed; lab plugins lists it")
        if plain_name(name) == DISTRIBUTION:
            raise LabError(
                f"'{name}' is lab itself, which does not replace itself while it runs",
                hint=f"pip install --upgrade {DISTRIBUTION}",
            )


def _described(plugin: dict[str, Any]) -> list[str]:
    lines = [f"{plugin['name']} {plugin['version']} ({plugin['package']})  {plugin['status']}"]
    for kind, names in plugin["provides"].items():
        lines.append(f"  {kind}: {', '.join(names) if len(names) <= NAMES_SHOWN else len(names)}")
    if plugin["status"] == "loaded" and not plugin["provides"]:
        lines.append("  no components: it adds commands, or acts in hooks")
    if plugin["status"] == "loaded":
        lines.append(f"  try it: lab check {plugin['name']}")
    return lines


def _packages(plugins: Iterable[dict[str, Any]]) -> set[str]:
    return {plain_name(plugin["package"]) for plugin in plugins}


@click.command(epilog="Example:  lab uninstall lab-cosine")
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def uninstall(packages: tuple[str, ...], yes: bool) -> None:
    """Remove packages from the environment that lab runs in. Runs that used their plugins stay, and name them."""
    # read from metadata: a plugin that cannot even be imported can be taken away
    points = find_entry_points("lab")
    names = [_distribution(name, points) for name in packages]
    if not yes:
        click.confirm(f"remove {', '.join(names)}?", abort=True)
    run_pip(["uninstall", "--yes", *names])
    importlib.invalidate_caches()
    left = {point.name for point in find_entry_points("lab")}
    gone = sorted({point.name for point in points} - left)
    if not gone:
        raise LabError(f"pip removed nothing of {', '.join(names)}", hint="it is installed outside of this environment")
    click.echo(f"removed: {', '.join(gone)}\n  runs that used it can still be listed and reported: lab runs")


def _distribution(name: str, points: Iterable[Any]) -> str:
    """Return the package of a name: its own, or that of its plugin.

    Raises:
        LabError: it is part of lab, or has no plugin.
    """
    found = {plain_name(each): point for point in points for each in (point.distribution, point.name)}
    point = found.get(plain_name(name))
    if point is None:
        others = sorted({each.distribution for each in points if each.distribution != DISTRIBUTION})
        here = f"installed: {', '.join(others) or 'none besides the built-in plugins'}"
        raise LabError(f"'{name}' is no package with a plugin of lab", hint=did_you_mean(name, others, here))
    if point.distribution == DISTRIBUTION:
        raise LabError(
            f"'{name}' comes with lab and cannot be removed alone",
            hint=f"lab --without {point.name} …, or LAB_DISABLE_PLUGINS={point.name}, leaves it out",
        )
    return str(point.distribution)
