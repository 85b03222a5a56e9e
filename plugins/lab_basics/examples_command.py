"""``lab examples``: list the studies that come with ``lab``, and copy them."""

from __future__ import annotations

import ast
import shutil
import sys
import textwrap
from pathlib import Path

import click

from lab.errors import LabError, did_you_mean

__all__ = ["examples", "examples_folder"]


def examples_folder() -> Path:
    """Return the folder of the studies: part of an installed package, beside the packages in a checkout."""
    installed = Path(__file__).parent / "experiments"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "experiments"


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [path.stem for path in sorted(examples_folder().glob(f"{incomplete}*.py"))]


@click.command(
    epilog="""Examples:

\b
  lab examples
  lab examples bidir_vs_attn && lab run bidir_vs_attn.py
  lab examples heads positions -o studies
"""
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("."),
    help="The folder to write into; else this one.",
)
def examples(names: tuple[str, ...], folder: Path) -> None:
    """List the studies that come with lab, or write the NAMEs into files that you can run and change."""
    known = {path.stem: path for path in sorted(examples_folder().glob("*.py"))}
    if not names:
        width = max(map(len, known), default=0)
        for name, path in known.items():
            line = _fitting(_question(path), width + 2)
            click.echo(f"{click.style(name.ljust(width), bold=True)}  {line}")
        click.echo("\nlab examples NAME writes one into this folder", err=True)
        return
    wanted = [Path(name).name.removesuffix(".py") for name in names]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise LabError(
            f"there is no example {', '.join(map(repr, unknown))}",
            hint=did_you_mean(unknown[0], list(known), "lab examples lists them"),
        )
    there = [folder / f"{name}.py" for name in wanted if (folder / f"{name}.py").exists()]
    if there:
        raise LabError(
            "this file is there already, and stays as it is",
            where="\n".join(map(str, there)),
            hint="choose another folder: -o FOLDER",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        path = folder / f"{name}.py"
        path.write_bytes(known[name].read_bytes())
        click.echo(f"{path}: {_question(known[name])}")
        click.echo(f"lab run {path}")


def _fitting(text: str, indent: int) -> str:
    """Return a text as wide as a terminal is right of ``indent`` columns; without a terminal, in one line."""
    if not sys.stdout.isatty():
        return text
    left = max(shutil.get_terminal_size().columns - indent, 20)
    return f"\n{' ' * indent}".join(textwrap.wrap(text, left))


def _question(path: Path) -> str:
    """Return the first line of a study's docstring, without importing it."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
