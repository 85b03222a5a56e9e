"""``lab check``: the conformance kit on the command line, without pytest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import click

from lab.cli.main import Session
from lab.errors import UnknownNameError
from lab.registry.plugins import Catalog
from lab.registry.registry import Entry

if TYPE_CHECKING:
    from lab.testing.runner import Outcome

__all__ = ["check"]

SILENT_S = 3.0
"""Seconds after which the check that begins is named on stderr."""

MARKS = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}


@click.command(
    epilog="""Examples:

\b
  lab check lab_cosine          every component of a plugin
  lab check sortish             one component
  lab check metrics:mse         one of several with the same name, by its kind
"""
)
@click.argument("names", nargs=-1, required=True, metavar="PLUGIN|NAME...")
@click.option("--verbose", "-v", is_flag=True, help="Show every check, not only what was found.")
@click.option(
    "--limit",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds that one check may take.",
)
@click.pass_obj
def check(session: Session, names: Sequence[str], verbose: bool, limit: float) -> int:
    """Check that all components of a PLUGIN, or the component NAME, keep their contracts.

    The same checks as in a plugin's own tests, which inherit them from lab.testing. Exit code 1: something was found.
    """
    catalog = session.catalog()
    entries = [entry for name in names for entry in _entries(catalog, name)]
    failed = sum(_check(entry, catalog, verbose=verbose, limit=limit) for entry in entries)
    count = f"{len(entries)} component{'s' if len(entries) != 1 else ''}"
    click.echo(f"{count} checked, " + (f"{failed} with findings" if failed else "nothing found"))
    return 1 if failed else 0


def _entries(catalog: Catalog, name: str) -> list[Entry]:
    """Return the components of a plugin or package, or those named ``name`` or ``kind:name``.

    Raises:
        UnknownNameError: there is none; the message gives close matches, and what could not be loaded.
    """
    everything = [entry for registry in catalog.registries.values() for entry in registry.entries()]
    of_plugin = [entry for entry in everything if name in (entry.plugin.name, entry.plugin.distribution)]
    kind, _, plain = name.partition(":")
    of_kind = [e for e in everything if kind in (e.kind, e.spec.singular) and e.name == plain]
    found = of_plugin or catalog.find(name) or of_kind
    if not found and any(name in (p.name, p.distribution) and p.status == "loaded" for p in catalog.plugins.values()):
        click.echo(f"{name} is loaded and adds no components: commands and hooks have tests of their own", err=True)
        return []
    if not found:
        known = {entry.name for entry in everything} | catalog.plugins.keys()
        hint = "\n".join([*catalog.unavailable_plugins(), "all names: lab list, lab plugins"])
        raise UnknownNameError.among("plugin or component", name, known, hint=hint)
    return found


def _check(entry: Entry, catalog: Catalog, *, verbose: bool, limit: float) -> bool:
    """Check one component, print the findings, and return True if there are any."""
    from lab.testing.runner import check_entry

    shown = time.monotonic()

    def began(name: str, number: int, count: int) -> None:
        nonlocal shown
        # Most components take a second; of the others it is said what takes so long.
        if time.monotonic() - shown > SILENT_S:
            shown = time.monotonic()
            click.echo(f"{entry.label}: check {number} of {count}, {name} …", err=True)

    outcomes = list(check_entry(entry, catalog, limit_s=limit, began=began))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    passed = sum(outcome.status == "ok" for outcome in outcomes)
    said = f"{passed} checks" + (f", {len(failed)} failed" if failed else "")
    click.echo(f"{click.style(entry.label, bold=True)}  {said}")
    told: dict[str, str] = {}
    for outcome in outcomes if verbose else failed:
        # one fault fails many checks in the same way
        earlier = told.setdefault(outcome.text, outcome.check) if outcome.status == "failed" else outcome.check
        _say(outcome if earlier == outcome.check else attrs.evolve(outcome, text=f"as in: {earlier}"))
    return bool(failed)


def _say(outcome: Outcome) -> None:
    color = {"ok": "green", "failed": "red"}.get(outcome.status)
    click.echo(f"  {click.style(f'{MARKS[outcome.status]:<8}', fg=color)}{outcome.check}")
    for line in outcome.text.splitlines():
        click.echo(f"          {line}")
