"""``lab new``: a plugin or a study from a template. Nothing is overwritten."""

from __future__ import annotations

import ast
import keyword
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import click

import lab
from lab.cli.main import Session, session_of
from lab.errors import LabError, ParameterError, PluginError, UnknownNameError
from lab.registry.plugins import Catalog
from lab.registry.registry import Registry, RegistrySpec

__all__ = ["new"]

HERE = Path(__file__).parent / "templates"
IN_WORDS = {"word vectors": "source of word vectors"}
"""Kinds whose name in a registry has no article."""
LICENSES = ["MIT", "BSD-3-Clause", "none"]
"""Licenses whose text can be written; "none" reserves all rights."""


def _complete_kind(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    kinds = session_of(ctx).catalog().collect_owned("lab_scaffolds").keys() - {"experiment"}
    return sorted(kind for kind in kinds if kind.startswith(incomplete))


@click.group(epilog="Examples:  lab new plugin cosine --kind attention  ·  lab new experiment wider")
def new() -> None:
    """Start a plugin or a study from a template; nothing is overwritten."""


@new.command(epilog="Example:  lab new plugin cosine --kind attention  &&  pip install -e lab-cosine  &&  lab list")
@click.argument("name")
@click.option(
    "--kind",
    required=True,
    shell_complete=_complete_kind,
    help="What it adds: architecture, loss, sampler, command …; an unknown kind shows them all.",
)
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=".", help="Where its folder goes.")
@click.option(
    "--repository/--no-repository",
    default=True,
    show_default=True,
    help="Also what a repository of its own needs: license, changelog, workflows for tests and releases.",
)
@click.option("--license", "terms", type=click.Choice(LICENSES), default="MIT", show_default=True)
@click.option("--author", help="Who holds the copyright; else the name that git knows.")
@click.pass_obj
def plugin(
    session: Session, name: str, kind: str, into: Path, repository: bool, terms: str, author: str | None
) -> None:
    """Write an installable package with one component of a KIND, its tests and a study that swaps it in."""
    catalog = session.catalog()
    templates = _templates(catalog, kind)
    words = _words(name)
    registry = next(
        (each for each in catalog.registries.values() if kind in (each.spec.singular, each.spec.name)), None
    )
    _refuse_taken(words, registry)
    context = _context(words, catalog, registry.spec) if registry else _names(words, kind)
    folder = into / context["distribution"]
    context |= {"repository": repository, **_copyright(author, terms, context["distribution"])}
    files = _package(templates, context)
    if repository:
        files["README.md"] += _render(HERE / "repository", "README_end.jinja", context)
        files |= _repository(context, terms)
    _write(folder, files)
    click.echo(f"{folder}: " + ", ".join(files))
    then = f"lab check {context['module']}" if registry else "lab plugins"
    click.echo(f"  next: pip install -e {folder}  &&  {then}")


@new.command(epilog="Example:  lab new experiment wider  &&  lab run experiments/wider.py")
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default="experiments", show_default=True)
@click.pass_obj
def experiment(session: Session, name: str, into: Path) -> None:
    """Write a study file to start from."""
    words = _words(name)
    _refuse_taken(words, None)
    file = f"{'_'.join(words)}.py"
    templates = _templates(session.catalog(), "experiment")
    _write(into, {file: _render(templates, "experiment.py.jinja", {"title": " ".join(words).capitalize()})})
    click.echo(f"{into / file}\n  next: lab run {into / file}")


def _words(name: str) -> list[str]:
    """Return the words of a name such as ``cosine-attention``, without the prefix ``lab-``.

    Raises:
        ParameterError: it cannot be the name of a Python module.
    """
    words = [word for word in re.split(r"[-_.]", name.lower()) if word]
    words = words[1:] if words[:1] == ["lab"] else words
    if not words or not all(re.fullmatch(r"[a-z0-9]+", word) for word in words) or words[0][0].isdigit():
        raise ParameterError(
            f"{name!r} cannot be the name of a Python module",
            hint="letters, digits and hyphens, a letter first: cosine-attention",
        )
    return words


def _refuse_taken(words: list[str], registry: Registry | None) -> None:
    """Raise if the name means something else already: the new file would hide it, or it would hide the new one.

    Raises:
        ParameterError: it is a keyword of Python, a module that can be imported, or a component.
    """
    name, module = "_".join(words), "_".join(["lab", *words])
    hint = f"choose another name: {name}_of_mine"
    if keyword.iskeyword(name):
        raise ParameterError(f"'{name}' is a keyword of Python, so no function can be called so", hint=hint)
    if registry is not None and name in registry:
        owner = registry[name].plugin
        raise ParameterError(f"there is a component '{name}' in {registry.spec.name} already, of {owner}", hint=hint)
    # a study is a file beside which Python looks for modules first
    for taken in (module, name):
        if taken in sys.builtin_module_names or PathFinder.find_spec(taken) is not None:
            raise ParameterError(
                f"Python has a module '{taken}' already, which a file of that name would hide", hint=hint
            )


def _templates(catalog: Catalog, kind: str) -> Path:
    """Return the folder of templates for a kind.

    Raises:
        UnknownNameError: no plugin offers one.
        PluginError: the folder that a plugin names is not there.
    """
    offered = catalog.collect_owned("lab_scaffolds")
    if kind not in offered:
        kinds = sorted(offered.keys() - {"experiment"})
        raise UnknownNameError.among("kind of template", kind, kinds, hint=f"kinds: {', '.join(kinds)}")
    owner, path = offered[kind]
    package, _, folder = str(path).partition(":")
    found = _folder_of(package) / folder
    if not found.is_dir():
        raise PluginError(f"plugin {owner}: lab_scaffolds names '{path}', which is not there")
    return found


def _folder_of(package: str) -> Path:
    import importlib.resources

    return Path(str(importlib.resources.files(package)))


def _context(words: list[str], catalog: Catalog, spec: RegistrySpec) -> dict[str, Any]:
    """Return the variables of the templates of a registry's component."""
    conformance = _conformance(catalog, spec.name)
    return {
        **_names(words, spec.singular),
        "hook": spec.hook,
        "registry_doc": spec.doc[:1].upper() + spec.doc[1:],
        "conformance": conformance.__name__,
        "conformance_module": _public_module(conformance),
    }


def _names(words: list[str], kind: str) -> dict[str, Any]:
    """Return the variables of all templates."""
    version = lab.__version__.split(".")
    return {
        "name": "_".join(words),
        "title": " ".join(words).capitalize(),
        "class_name": "".join(word.capitalize() for word in words),
        "module": "_".join(["lab", *words]),
        "distribution": "-".join(["lab", *words]),
        "kind": IN_WORDS.get(kind, kind.replace("-", " ")),
        "kind_module": re.sub(r"[ -]", "_", kind),
        "article": "an" if kind[0] in "aeiou" else "a",
        "lab_version": ".".join(version[:2]),
        "next_version": f"{version[0]}.{int(version[1]) + 1}",
    }


def _conformance(catalog: Catalog, kind: str) -> type:
    from lab.testing.conformance import Conformance, kit_of
    from lab.testing.runner import KINDS

    return kit_of(catalog).kinds.get(kind) or KINDS.get(kind, Conformance)


def _public_module(conformance: type) -> str:
    return "lab.testing" if conformance.__module__.startswith("lab.testing.") else conformance.__module__


def _package(templates: Path, context: dict[str, Any]) -> dict[str, str]:
    """Return the text of every file of the package, by path."""
    component = _render(templates, "component.py.jinja", context)
    context = {**context, "symbol": _last_public_name(component)}
    module, name = context["module"], context["name"]
    return {
        "pyproject.toml": _render(templates, "pyproject.toml.jinja", context),
        "README.md": _render(templates, "README.md.jinja", context),
        f"{module}/__init__.py": _render(templates, "__init__.py.jinja", context),
        f"{module}/plugin.py": _render(templates, "plugin.py.jinja", context),
        f"{module}/{context['kind_module']}.py": component,
        f"tests/test_{name}.py": _render(templates, "tests.py.jinja", context),
        f"experiments/{name}.py": _render(templates, "experiment.py.jinja", context),
    }


def _copyright(author: str | None, terms: str, distribution: str) -> dict[str, Any]:
    """Return the variables of the license."""
    return {
        "author": author or _name_in_git() or f"The authors of {distribution}",
        # an expression of SPDX, as pyproject.toml wants it
        "license": "LicenseRef-Proprietary" if terms == "none" else terms,
        "year": time.localtime().tm_year,
    }


def _name_in_git() -> str:
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    # it is written between quotes
    return done.stdout.strip().replace('"', "").replace("\\", "")


def _repository(context: Mapping[str, Any], terms: str) -> dict[str, str]:
    """Return the text of every file around the package, by path."""
    templates = {
        "LICENSE": f"{terms}.jinja",
        "CHANGELOG.md": "CHANGELOG.md.jinja",
        ".gitignore": "gitignore.jinja",
        ".github/workflows/tests.yml": "tests.yml.jinja",
        ".github/workflows/release.yml": "release.yml.jinja",
    }
    return {path: _render(HERE / "repository", template, context) for path, template in templates.items()}


def _render(folder: Path, template: str, context: Mapping[str, Any]) -> str:
    """Load a template of the kind, of the folder around it, or of this plugin, in this order."""
    import jinja2

    loader = jinja2.FileSystemLoader([folder, folder.parent, HERE])
    environment = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    return environment.get_template(template).render(**context)


def _last_public_name(source: str) -> str:
    """Return the component of a rendered template, the last name in ``__all__``."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return str(ast.literal_eval(node.value)[-1])
    raise PluginError("a template of a component has no __all__")


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files, or none if one exists already.

    Raises:
        LabError: a file is there already.
    """
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise LabError(f"{folder / there[0]} is there already", hint="choose another name, or remove it first")
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
