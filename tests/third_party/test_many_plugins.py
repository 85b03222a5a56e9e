"""Thirty installed plugins: the help imports none of them, and nothing that is wrong with one is silenced by that."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = '''"""A plugin."""
import os
import sys
from lab import hookimpl

print("imported {number}", file=sys.stderr)
{body}

@hookimpl
def lab_commands():
    return {{"command-{number}": "package_{number}.commands:command"}}


@hookimpl
def lab_losses():
    return {{"loss_{number}": "package_{number}.losses:loss"}}
'''
COMMAND = """import click


@click.command()
def command():
    click.echo("done")
"""


class Site:
    """A folder of packages on the path of a process of its own, with a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site"
        self.folder.mkdir()
        self.environment = {**os.environ, "PYTHONPATH": str(self.folder), "LAB_CACHE": str(folder / "cache")}

    def install(self, number: int, body: str = "") -> Path:
        """A package with a plugin, as pip lays it out; gives its plugin.py."""
        package = self.folder / f"package_{number}"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        (package / "commands.py").write_text(COMMAND, encoding="utf-8")
        (package / "plugin.py").write_text(PLUGIN.format(number=number, body=body), encoding="utf-8")
        info = self.folder / f"package_{number}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: package-{number}\nVersion: 1.0\n", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(f"[lab]\np{number} = package_{number}.plugin\n", encoding="utf-8")
        return package / "plugin.py"

    def lab(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lab", *arguments]
        environment = {**self.environment, **more}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_help_imports_no_plugin_that_it_knows_and_shows_its_command(site: Site) -> None:
    site.install(1)
    first, second = site.lab("--help"), site.lab("--help")
    assert first.stderr == "imported 1\n"
    assert second.stderr == ""
    assert first.stdout == second.stdout
    assert "command-1 (added by p1 1.0)" in " ".join(second.stdout.split())


def test_command_that_is_known_runs_without_importing_its_plugin(site: Site) -> None:
    site.install(1)
    site.lab("--help")
    done = site.lab("command-1")
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_plugin_that_changed_is_imported_again(site: Site) -> None:
    file = site.install(1)
    site.lab("--help")
    file.write_text(file.read_text(encoding="utf-8").replace("command-1", "other"), encoding="utf-8")
    assert "other" in site.lab("--help").stdout
    site.install(2)
    assert "command-2" in site.lab("--help").stdout


def test_plugin_that_is_gone_takes_its_command_away(site: Site) -> None:
    site.install(1)
    site.lab("--help")
    (site.folder / "package_1-1.0.dist-info" / "entry_points.txt").unlink()
    assert "command-1" not in site.lab("--help").stdout


@pytest.mark.parametrize("switch", [{"LAB_DISABLE_PLUGINS": "p1"}, {"LAB_DISABLE_THIRD_PARTY": "1"}])
def test_plugin_that_is_switched_off_adds_no_command(site: Site, switch: dict[str, str]) -> None:
    site.install(1)
    site.lab("--help")
    assert "command-1" not in site.lab("--help", **switch).stdout
    assert "command-1" not in site.lab("--without", "p1", "--help").stdout


@pytest.mark.parametrize("body", ["import nowhere", "@hookimpl\ndef lab_metrics():\n    return 3\n"])
def test_broken_plugin_is_told_of_every_time(site: Site, body: str) -> None:
    site.install(1, body)
    for _ in range(2):
        assert "lab: plugin p1 1.0 could not be loaded and is skipped" in site.lab("--help").stderr


def test_clash_of_commands_is_told_of_every_time(site: Site) -> None:
    site.install(1)
    file = site.install(2)
    file.write_text(file.read_text(encoding="utf-8").replace("command-2", "command-1"), encoding="utf-8")
    for _ in range(2):
        assert "it belongs to p1 1.0 already" in site.lab("--help").stderr


def test_damaged_memory_is_written_anew(site: Site, tmp_path: Path) -> None:
    site.install(1)
    site.lab("--help")
    memory = tmp_path / "cache" / "commands.json"
    for damage in ("{", "[1]", '{"a": 1}', "null"):
        memory.write_text(damage, encoding="utf-8")
        assert "command-1" in site.lab("--help").stdout
        assert len(json.loads(memory.read_text(encoding="utf-8"))) > 1


def test_memory_that_cannot_be_written_costs_only_time(site: Site, tmp_path: Path) -> None:
    site.install(1)
    (tmp_path / "file").touch()
    done = site.lab("--help", LAB_CACHE=str(tmp_path / "file"))
    assert done.returncode == 0
    assert "command-1" in done.stdout


def test_help_with_thirty_plugins_takes_less_than_a_third_longer(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "thirty").mkdir()
    none, thirty = Site(tmp_path / "none"), Site(tmp_path / "thirty")
    for number in range(30):
        thirty.install(number, "import asyncio, decimal, xml.dom.minidom, unittest.mock")
    for site in (none, thirty):
        site.lab("--help")
    said = thirty.lab("--help")
    assert (said.stderr, said.stdout.count("(added by p")) == ("", 30)
    ratio = _median_ratio(thirty, none)
    assert ratio <= 1.3, f"with thirty plugins lab --help takes {ratio:.2f} times as long"


def _median_ratio(first: Site, second: Site, rounds: int = 9) -> float:
    """Processor time of ``lab --help``, the two sites taking turns so that a busy moment strikes both alike."""
    times = [(_seconds(first), _seconds(second)) for _ in range(rounds)]
    return statistics.median(one for one, _ in times) / statistics.median(other for _, other in times)


def _seconds(site: Site) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    site.lab("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
