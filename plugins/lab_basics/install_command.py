"""``lab install`` and ``lab uninstall``: packages with plugins, by pip, in the environment that ``lab`` runs in."""

from __future__ import annotations

import importlib

import click

from lab.cli.main import Session
from lab.cli.packages import plain_name, run_pip
from lab.errors import LabError
from lab.registry.discovery import find_entry_points

__all__ = ["install", "uninstall"]


@click.command(
    epilog="Examples:  lab install lab-cosine  ·  lab install ./lab-cosine  ·  lab install --upgrade lab-cosine"
)
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
@click.option("--upgrade", "-U", is_flag=True, help="Take a newer version, if there is one.")
@click.option("--editable", "-e", is_flag=True, help="Use the folder itself, so that edits count at once.")
def install(packages: tuple[str, ...], upgrade: bool, editable: bool) -> None:
    """Install packages into the environment that lab runs in, and name the plugins that they add."""
    before = _plugins()
    options = [*(["--upgrade"] if upgrade else []), *(["--editable"] if editable else [])]
    run_pip(["install", *options, *packages])
    added = sorted(_plugins() - before)
    if added:
        click.echo(f"new plugins: {', '.join(added)}\n  what they add: lab plugins; their contracts: lab check")
    else:
        click.echo(f"installed; no new plugin of lab is in {', '.join(packages)}")


@click.command(epilog="Example:  lab uninstall lab-cosine")
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def uninstall(session: Session, packages: tuple[str, ...], yes: bool) -> None:
    """Remove packages from the environment that lab runs in. Runs that used their plugins stay, and name them."""
    known = {plugin.distribution for plugin in session.catalog().plugins.values() if not plugin.is_builtin}
    strange = [name for name in packages if plain_name(name) not in {plain_name(each) for each in known}]
    if strange:
        raise LabError(
            f"'{strange[0]}' is no package with a plugin of lab",
            hint=f"installed: {', '.join(sorted(known)) or 'none besides the built-in plugins'}",
        )
    if not yes:
        click.confirm(f"remove {', '.join(packages)}?", abort=True)
    before = _plugins()
    run_pip(["uninstall", "--yes", *packages])
    click.echo(f"removed: {', '.join(sorted(before - _plugins())) or 'nothing'}")


def _plugins() -> set[str]:
    # packages were installed while this process ran
    importlib.invalidate_caches()
    return {point.name for point in find_entry_points("lab")}
