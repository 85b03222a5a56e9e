"""Generated documentation: whole pages from the code, and pieces of code in pages.

    python docs/generate.py            write the pages that are out of date
    python docs/generate.py --check    write nothing; name the pages that are out of date, and exit with 1 for them

``api.md``, ``hooks.md``, ``components.md``, ``cli.md`` and ``files.md`` are generated whole. In the other pages and in
the README, the text between ``<!-- insert KIND WHAT -->`` and ``<!-- end -->`` is replaced by ``INSERTS[KIND](WHAT)``.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import itertools
import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from click.testing import CliRunner

from lab.cli.known import known_plugins
from lab.cli.main import COMMANDS, Session, cli
from lab.registry import hookspecs
from lab.registry.component import Preset
from lab.registry.plugins import Catalog, load_catalog
from lab.registry.registry import Entry, Registry, load_object
from lab.registry.signature import parameters_of, signature_text

__all__ = ["PAGES", "main", "stale", "texts"]

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
NOTICE = "<!-- Written by docs/generate.py; change the code, not this page. -->\n"
LANGUAGES = {".py": "python", ".toml": "toml", ".txt": "text"}
INSERT = re.compile(r"(<!-- insert (\w+) (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


# --- docstrings as Markdown -------------------------------------------------------------------------------------------

SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Shapes):")


def markdown(docstring: str) -> str:
    """Convert a docstring to Markdown: sections become lists, literal blocks and examples become fences."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(_lines(docstring.splitlines()))).strip()


def _lines(lines: list[str]) -> Iterator[str]:
    while lines:
        line = lines.pop(0)
        if heading := SECTION.fullmatch(line.strip()):
            yield from ("", f"*{heading[1]}*", "")
            yield from _section(heading[1], _take(lines, lambda text: text.startswith("    ") or not text))
        elif line.startswith(">>> "):
            example = _take(lines, lambda text: bool(text))
            yield from ("", "```pycon", line, *example, "```", "")
        elif line.rstrip().endswith("::"):
            block = _take(lines, lambda text: text.startswith("    ") or not text)
            said = line.rstrip().removesuffix("::").rstrip()
            colon = "" if said.endswith(".") else ":"
            yield from (_escaped(f"{said}{colon}") if said else "", "", *_fence(inspect.cleandoc("\n".join(block))), "")
        else:
            yield _escaped(line)


def _take(lines: list[str], wanted: Callable[[str], bool]) -> list[str]:
    taken = []
    while lines and wanted(lines[0]):
        taken.append(lines.pop(0))
    return taken


def _section(name: str, lines: list[str]) -> Iterator[str]:
    body = [line[4:] for line in lines if line.strip()]
    if name == "Shapes":
        yield from (*_fence("\n".join(body)), "")
        return
    items: list[str] = []
    for line in body:
        if line.startswith(" ") and items:
            items[-1] += f" {line.strip()}"
        else:
            items.append(line)
    yield from (f"- {_item(item)}" for item in items)
    yield ""


def _item(text: str) -> str:
    """Format ``name: description`` with the name as code, and leave any other line as it is."""
    names, colon, rest = text.partition(": ")
    if colon and re.fullmatch(r"[\w*]+(, [\w*]+)*", names):
        return f"{', '.join(f'`{name}`' for name in names.split(', '))}: {_escaped(rest)}"
    return _escaped(text)


def _escaped(text: str) -> str:
    """Escape Markdown outside of backticks."""
    pieces = re.split(r"(``.*?``|`.*?`)", text)
    plain = [re.sub(r"[*<|]|(?<!\w)_|_(?!\w)", r"\\\g<0>", piece) for piece in pieces[::2]]
    code = [f"`{piece.strip('`')}`" for piece in pieces[1::2]]
    return "".join(a + b for a, b in zip(plain, [*code, ""], strict=True))


def _fence(text: str, language: str = "text") -> list[str]:
    return [f"```{language}", *text.rstrip("\n").splitlines(), "```"]


# --- hooks ------------------------------------------------------------------------------------------------------------


def hooks_page() -> str:
    """Return the page of all hooks, with their signatures and docstrings."""
    functions = {name: f for name, f in vars(hookspecs).items() if name.startswith("lab_") and callable(f)}
    filling = {spec.hook for spec in hookspecs.KERNEL_REGISTRIES}
    manual, *rest = inspect.cleandoc(hookspecs.__doc__ or "").split("\n\n")
    lines = [NOTICE, "# Hooks", "", manual, "", *[markdown("\n\n".join(rest))], ""]
    lines += ["## Hooks that fill a registry of the kernel", ""]
    lines += [line for name in filling_order(functions, filling) for line in _hook(name, functions[name])]
    lines += ["## Hooks of registries that built-in plugins open", "", _OPENED, ""]
    lines += ["| hook | registry | opened by | its components are |", "| --- | --- | --- | --- |"]
    lines += [_opened_row(registry, owner) for registry, owner in _opened()]
    lines += ["", "## All other hooks", ""]
    lines += [line for name, function in functions.items() if name not in filling for line in _hook(name, function)]
    return "\n".join(lines).rstrip() + "\n"


_OPENED = (
    "They exist as soon as the plugin is loaded, take nothing, and return a dictionary from names to components, as "
    "those above do."
)


def filling_order(functions: Iterable[str], filling: set[str]) -> list[str]:
    """Return the hooks that fill registries, in the order of ``hookspecs.py``."""
    return [name for name in functions if name in filling]


def _hook(name: str, function: Callable[..., Any]) -> list[str]:
    lines = [f"### {name}", "", *_fence(signature_of(function), "text"), "", markdown(inspect.getdoc(function) or "")]
    spec = next((spec for spec in hookspecs.KERNEL_REGISTRIES if spec.hook == name), None)
    if spec is not None and spec.contract:
        lines += ["", f"Contract: `{spec.contract.replace(':', '.')}`."]
    if spec is not None and spec.call_arguments:
        given = ", ".join(f"`{argument}`" for argument in spec.call_arguments)
        lines += ["", f"Its caller supplies, besides the data's facts: {given}."]
    return [*lines, ""]


def signature_of(function: Callable[..., Any]) -> str:
    """Return a function's signature as its source writes it."""
    node = ast.parse(inspect.getsource(function)).body[0]
    assert isinstance(node, ast.FunctionDef)
    node.decorator_list, node.body = [], [ast.Pass()]
    return ast.unparse(node).splitlines()[0].removeprefix("def ").removesuffix(":")


def _opened() -> list[tuple[Registry, str]]:
    catalog = builtin_catalog()
    owners = {name: plugin.name for plugin in catalog.plugins.values() for name in plugin.opens}
    return [(catalog.registries[name], owner) for name, owner in owners.items()]


def _opened_row(registry: Registry, owner: str) -> str:
    contract = registry.spec.contract.replace(":", ".")
    return f"| `{registry.spec.hook}` | `{registry.spec.name}`: {registry.spec.doc} | `{owner}` | `{contract}` |"


# --- components -------------------------------------------------------------------------------------------------------


def builtin_catalog() -> Catalog:
    """Return the catalog of the built-in plugins alone."""
    return load_catalog(only=[], strict=True)


def components_page() -> str:
    """Return the page of all built-in components, by registry."""
    catalog = builtin_catalog()
    lines = [NOTICE, "# Components", "", _COMPONENTS, ""]
    for registry in catalog.registries.values():
        lines += [f"## {registry.spec.name}", "", f"{_sentence(registry.spec.doc)} Hook: `{registry.spec.hook}`.", ""]
        lines += [line for entry in registry.entries() for line in _component(entry, catalog)]
    return "\n".join(lines).rstrip() + "\n"


_COMPONENTS = """\
What a plain install holds. `lab list` says the same of your own machine, third-party plugins included, and
`lab show NAME` adds file and line. Parameters before the star are filled from the data; those behind it are yours."""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _component(entry: Entry, catalog: Catalog) -> list[str]:
    lines = [f"### {entry.name}", "", f"From `{entry.plugin.name}`."]
    if isinstance(entry.target, Preset):
        return [*lines[:-1], f"From `{entry.plugin.name}`; a preset: `{entry.target!r}`.", ""]
    thing = entry.load()
    if callable(thing):
        parameters, _ = parameters_of(thing, catalog)
        lines += ["", *_fence(_folded(signature_text(entry.name, parameters)), "text")]
    doc = inspect.getdoc(thing) if callable(thing) else getattr(thing, "description", "")
    if getattr(thing, "__module__", "").startswith("torch."):
        doc = f"``{thing.__module__}.{thing.__qualname__}``, as PyTorch documents it."
    return [*lines, "", markdown(doc or ""), ""]


def _folded(signature: str) -> str:
    """Break a signature of more than 100 characters into one parameter per line."""
    if len(signature) <= 100:
        return signature
    name, _, rest = signature.partition("(")
    inside, closing, returned = rest.rpartition(") -> ") if ") -> " in rest else (rest.removesuffix(")"), "", "")
    return "\n".join([f"{name}(", *(f"    {piece}," for piece in _split(inside)), f"){closing[1:]}{returned}"])


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets and quotes."""
    pieces, depth, quoted = [""], 0, False
    for sign in text:
        quoted ^= sign == "'"
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not depth and not quoted:
            pieces.append("")
        else:
            pieces[-1] += sign
    return [piece.strip() for piece in pieces]


# --- classes that plugins use -----------------------------------------------------------------------------------------

REFERENCE = {
    "What components are given and return": ["lab.training.state:Training", "lab_text.corpora:data_folder"],
    "What hooks are given and return": [
        "lab.study.run:Run", "lab.study.run:RunProgress", "lab.study.store:RunRecord",
        "lab.study.study:Trial", "lab.study.study:Arm",
    ],
    "The conformance kit": [
        "lab.testing:Conformance", "lab.testing:Example", "lab.testing:ConformanceSupport", "lab.testing:ComponentCase",
        "lab.testing:Finding",
    ],
    "Protocols of translation": [
        "lab_seq2seq.protocols:TranslationModel", "lab_seq2seq.protocols:StepwiseModel",
        "lab_seq2seq.protocols:DecodingState",
    ],
}  # fmt: skip

_NOTES = {
    "Stepper": "Gradients are empty when `train_step` begins. `backward` may be called several times: they add up. "
    "`optimizer_step` clears them after the step, so nothing else zeroes gradients; a stepper that steps the optimizer "
    "itself clears them, too.",
    "Learner": "A component gets it as an argument, or as `self.learner` of a stepper; random numbers come from "
    '`learner.streams.generator("name")`.',
}
"""Sentences of ``api.md`` for those who write components, below the docstring."""

_REFERENCE = """\
What plugins are given, subclass or return beyond `import lab`, each imported from the module before the colon.
[Writing a plugin](writing-a-plugin.md) has an example of each kind."""

_IN_API = {
    "Components are given and return": ["Data", "Learner", "Stepper", "Evaluation", "Callback", "TaskRun", "part",
                                        "mean_over"],
    "Hooks are given and return": ["RegistrySpec", "Section", "Results"],
}  # fmt: skip
"""Names that plugins meet and that ``api.md`` describes, by who meets them."""


def reference_page() -> str:
    """Return the page of the classes that plugins use, and of the contracts of all registries."""
    lines = [NOTICE, "# Reference for plugins", "", _REFERENCE, ""]
    lines += ["| In [Python interface](api.md) | |", "| --- | --- |"]
    for meeting, names in _IN_API.items():
        lines.append(f"| {meeting} | {' · '.join(f'[{name}](api.md#{name.lower()})' for name in names)} |")
    lines.append("")
    for heading, paths in REFERENCE.items():
        lines += [f"## {heading}", "", *(line for path in paths for line in _reference(path))]
    lines += ["## Contracts of registries", ""]
    described = {name for names in API.values() for name in names}
    for registry in builtin_catalog().registries.values():
        module, _, name = registry.spec.contract.partition(":")
        if module and not module.startswith("torch") and name not in described:
            lines += _reference(registry.spec.contract, f" ({registry.spec.name})")
    return "\n".join(lines).rstrip() + "\n"


def _reference(path: str, suffix: str = "") -> list[str]:
    module, _, name = path.partition(":")
    thing = getattr(importlib.import_module(module), name)
    lines = [f"### {module}:{name}{suffix}", ""]
    lines += [*_fence(_folded(f"{name}{_plain_signature(thing)}")), "", markdown(inspect.getdoc(thing) or ""), ""]
    if isinstance(thing, type):
        methods = [_method(own, member) for own, member in _own_members(thing)]
        lines += ["*Methods*", "", *methods] if methods else []
    return [*lines, ""]


def _own_members(thing: type) -> Iterator[tuple[str, Any]]:
    """Iterate over the public methods and properties that a class defines, in the order of its source."""
    for name, member in vars(thing).items():
        function = getattr(member, "__func__", getattr(member, "fget", None) or member)
        if not name.startswith("_") and inspect.isfunction(function) and inspect.getdoc(function):
            yield name, member


def _method(name: str, member: Any) -> str:
    function = getattr(member, "__func__", getattr(member, "fget", None) or member)
    doc = " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
    given = (
        ""
        if isinstance(member, property)
        else _plain_signature(function, without_self=not isinstance(member, staticmethod))
    )
    return f"- `{name}{given}`: {_escaped(doc)}"


def _plain_signature(thing: Any, *, without_self: bool = False) -> str:
    """Return the names of parameters and their plain defaults."""
    try:
        parameters = list(inspect.signature(thing).parameters.values())
    except (TypeError, ValueError):
        return ""
    shown, is_keyword = [], False
    for each in parameters[1:] if without_self else parameters:
        if each.kind is each.KEYWORD_ONLY and not is_keyword:
            shown.append("*")
        is_keyword |= each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        star = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        plain = isinstance(each.default, (str, int, float, bool, tuple, type(None)))
        default = "" if each.default is each.empty else f"={each.default!r}" if plain else "=…"
        shown.append(f"{star}{each.name}{default}")
    return f"({', '.join(shown)})"


# --- the command line -------------------------------------------------------------------------------------------------


def cli_page() -> str:
    """Return the page of all commands, with arguments, options and examples."""
    session = Session((), strict=True, debug=False)
    session.catalog(only=[])  # the session caches it: the page must not list third-party commands of this machine
    context = click.Context(cli, info_name="lab", obj=session)
    lines = [NOTICE, "# The command line", "", _CLI, "", *_command(cli, context, "## lab")]
    for command, inner in _commands(cli, context):
        lines += _command(command, inner, f"## {inner.command_path}")
        for subcommand, innermost in _commands(command, inner):
            lines += _command(subcommand, innermost, f"### {innermost.command_path}")
    return "\n".join(lines).rstrip() + "\n"


_CLI = """\
`python -m lab` is the same as `lab`. Exit codes: 0 all done, 1 some runs failed or something was found, 2 the question
itself is wrong, 130 interrupted with everything saved. Every expected failure says what is wrong, where it comes from
and what to do; `--debug` shows the traceback."""


def _commands(group: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    if isinstance(group, click.Group):
        for name in sorted(group.list_commands(context), key=lambda name: [*COMMANDS, name].index(name)):
            command = group.get_command(context, name)
            assert command is not None
            yield command, click.Context(command, info_name=name, parent=context)


def _command(command: click.Command, context: click.Context, heading: str) -> list[str]:
    lines = [heading, "", *_fence(_usage(command, context)), "", _prose(command.help or ""), ""]
    lines += [_option(option) for option in command.params if isinstance(option, click.Option)]
    if command.epilog:
        lines += ["", *_fence(_examples(command.epilog))]
    return [*lines, ""]


def _usage(command: click.Command, context: click.Context) -> str:
    pieces = [
        context.command_path,
        *(["[OPTIONS]"] if any(isinstance(p, click.Option) for p in command.params) else []),
    ]
    pieces += [_argument(argument) for argument in command.params if isinstance(argument, click.Argument)]
    if isinstance(command, click.Group):
        pieces.append("[COMMAND]" if command.invoke_without_command else "COMMAND")
    return " ".join(pieces)


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    name = name if argument.nargs == 1 or name.endswith("...") else f"{name}..."
    return name if argument.required else f"[{name}]"


def _prose(text: str) -> str:
    return _escaped(inspect.cleandoc(text).replace("\b\n", ""))


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" if option.is_flag else f"`{name} {_metavar(option)}`" for name in option.opts)
    default = f" Default: `{option.default}`." if option.show_default and not option.is_flag else ""
    environment = f" Environment: `{option.envvar}`." if isinstance(option.envvar, str) else ""
    return f"- {names}: {_escaped(option.help or '')}{default}{environment}"


def _metavar(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return "N" if isinstance(option.type, click.IntRange) or option.type is click.INT else option.type.name.upper()


def _examples(epilog: str) -> str:
    text = re.sub(r"^Examples?:\s*?(?=\S|\n)", "", epilog.strip()).replace("\b\n", "").replace("  ·  ", "\n")
    return re.sub(r"(?m)^  (?=lab )", "", textwrap.dedent(text.strip("\n")))


# --- the interface in Python ------------------------------------------------------------------------------------------

API: dict[str, list[str]] = {
    "Asking": ["Study", "Experiment", "use", "preset", "log", "command", "TaskRun", "run_study"],
    "Reading": ["Results", "compare", "load", "Section"],
    "Training": ["Learner", "Data", "Stepper", "Evaluation", "Callback", "CancelBatch", "CancelEpoch", "CancelFit"],
    "Writing components": ["hookimpl", "plugin_api", "RegistrySpec", "mean_over", "part", "LabError"],
}
"""Public names of ``lab`` by chapter; ``Results`` is what a study returns."""

_API = """\
What `import lab` offers, with the methods that plugins add to studies and learners. [Hooks](hooks.md) are what plugins
implement, [Components](components.md) what names in an experiment stand for."""


def api_page() -> str:
    """Return the page of the public classes and functions, with signatures, docstrings and public methods."""
    lines = [NOTICE, "# Python interface", "", _API, ""]
    lines += ["| | |", "| --- | --- |"]
    for chapter, names in API.items():
        links = " · ".join(f"[{name}](#{name.lower()})" for name in names)
        lines.append(f"| {chapter} | {links} |")
    for chapter, names in API.items():
        lines += ["", f"## {chapter}", ""]
        lines += [line for name in names for line in _public(name)]
    return "\n".join(lines).rstrip() + "\n"


def _public(name: str) -> list[str]:
    import lab
    from lab.study.results import Results

    thing = Results if name == "Results" else getattr(lab, name)
    lines = [f"### {name}", ""]
    lines += _fence(_folded(_call_of(thing, name)), "text") if callable(thing) else []
    lines += ["", markdown(inspect.getdoc(thing) or ""), ""]
    lines += [_NOTES[name], ""] if name in _NOTES else []
    if isinstance(thing, type) and not issubclass(thing, BaseException):
        lines += [line for member in _inherited_members(thing) for line in _member(thing, *member)]
    added = {"Study": "lab_study_methods", "Learner": "lab_learner_methods"}.get(name)
    for method, (plugin, target) in builtin_catalog().collect_owned(added).items() if added else ():
        function = load_object(target, method) if isinstance(target, str) else target
        lines += [f"#### {name}.{method}", "", f"From `{plugin.name}`.", ""]
        lines += [*_fence(_folded(_call_of(function, method, skipped=1)), "text"), ""]
        lines += [markdown(inspect.getdoc(function) or ""), ""]
    return lines


def _inherited_members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class that have a docstring, its own first."""
    seen: set[str] = set()
    for base in cls.__mro__:
        for name, member in vars(base).items() if base.__module__.startswith("lab.") else ():
            described = inspect.getdoc(_function_of(member)) if _function_of(member) is not None else None
            if not name.startswith("_") and name not in seen and described:
                yield name, member
            seen.add(name)


def _function_of(member: Any) -> Callable[..., Any] | None:
    found = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    return found if inspect.isfunction(found) else None


def _member(cls: type, name: str, member: Any) -> list[str]:
    function = _function_of(member)
    assert function is not None
    lines = [f"#### {cls.__name__}.{name}", ""]
    if not isinstance(member, property):
        lines += [*_fence(_folded(_call_of(function, name, skipped=not isinstance(member, staticmethod))), "text"), ""]
    return [*lines, markdown(inspect.getdoc(function) or ""), ""]


def _call_of(function: Callable[..., Any], name: str, *, skipped: int = 0) -> str:
    """Return a signature as its source writes it, without its first ``skipped`` parameters (``self``)."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return f"{name}(...)"
    pieces: list[str] = []
    kinds = inspect.Parameter
    starred = False
    for parameter in [*signature.parameters.values()][skipped:]:
        if parameter.kind is kinds.KEYWORD_ONLY and not starred:
            pieces.append("*")
        starred |= parameter.kind in (kinds.KEYWORD_ONLY, kinds.VAR_POSITIONAL)
        mark = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        hint = "" if parameter.annotation is kinds.empty else f": {_hint(parameter.annotation)}"
        default = "" if parameter.default is kinds.empty else f"{' = ' if hint else '='}{_default(parameter.default)}"
        pieces.append(f"{mark}{parameter.name}{hint}{default}")
    returned = signature.return_annotation
    is_given = returned is not inspect.Signature.empty and not isinstance(function, type)
    return f"{name}({', '.join(pieces)})" + (f" -> {_hint(returned)}" if is_given else "")


def _hint(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(value: Any) -> str:
    """Return a default without an address in memory, which would differ each time."""
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return "..." if " at 0x" in repr(value) or repr(value) == "NOTHING" else repr(value)


# --- files ------------------------------------------------------------------------------------------------------------


def files_page() -> str:
    """Return the page with one line per file of ``lab/`` and ``plugins/``, by folder."""
    lines = [NOTICE, "# Files", "", _FILES, ""]
    for folder in [ROOT / "lab", *sorted((ROOT / "plugins").glob("lab_*"))]:
        for package, modules in itertools.groupby(sorted(folder.rglob("*.py"), key=_package_first), _package):
            lines += [f"## {package}", "", "| file | description |", "| --- | --- |"]
            lines += [f"| `{path.name}` | {_summary(path)} |" for path in modules if _summary(path)]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


_FILES = """\
Every module of the kernel and of the built-in plugins, with the first line of its docstring. [Finding your
way](finding-your-way.md) starts from a symptom instead."""


def _package(path: Path) -> str:
    return f"{path.parent.relative_to(ROOT).as_posix()}/"


def _package_first(path: Path) -> tuple[str, bool, str]:
    return _package(path), path.name != "__init__.py", path.name


def _summary(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return _escaped(" ".join(doc.partition("\n\n")[0].split())).replace("``", "`")


# --- pieces of code in pages ------------------------------------------------------------------------------------------


def _file(path: str) -> str:
    source = ROOT / path
    return "\n".join(_fence(source.read_text(encoding="utf-8"), LANGUAGES.get(source.suffix, "text")))


def _drawing(module: str) -> str:
    """Return the first literal block of a module's docstring."""
    doc = inspect.getdoc(importlib.import_module(module)) or ""
    drawn = re.search(r"::\n\n((?:    .*\n|\n)+)", doc)
    assert drawn is not None, f"{module} has no literal block"
    return "\n".join(_fence(inspect.cleandoc(drawn[1])))


def _notebook(file: str) -> str:
    """Return an executed notebook as Markdown; ``docs/notebook.py`` executes it."""
    return str(_beside("notebook").page_of(json.loads((DOCS / file).read_text(encoding="utf-8"))))


def _gallery(_: str) -> str:
    """Return the pictures of the gallery; ``docs/gallery.py`` takes them."""
    return str(_beside("gallery").gallery_page())


def _beside(name: str) -> ModuleType:
    """Return another module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _paragraph(what: str) -> str:
    """Return a paragraph of a module's docstring, counted from 0, as a quotation."""
    module, number = what.split()
    paragraph = (inspect.getdoc(importlib.import_module(module)) or "").split("\n\n")[int(number)]
    return "\n".join(f"> {line}" for line in markdown(paragraph).splitlines())


def _scaffold(name: str) -> str:
    """Return the study that ``lab new experiment NAME`` writes."""
    with tempfile.TemporaryDirectory() as folder:
        done = CliRunner().invoke(cli, ["new", "experiment", name, "--into", folder], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return "\n".join(_fence((Path(folder) / f"{name}.py").read_text(encoding="utf-8"), "python"))


def _figures(file: str) -> str:
    """Return the last results of a benchmark file as a table, from ``figures.json``."""
    known = json.loads((DOCS / "figures.json").read_text(encoding="utf-8"))
    rows = [_figure_row(figure) for figure in known if figure["file"] == file and not figure["short"]]
    if not rows:
        return "\nNot measured on this machine yet.\n"
    head = ["| what | other side | lab | figure | asked | held |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join(["", *head, *rows, ""])


def _figure_row(figure: dict[str, Any]) -> str:
    beside = f"{figure['beside']}: {_number(figure['peer'])} {figure['unit']}" if "peer" in figure else ""
    lab = f"{_number(figure['lab'])} {figure['unit']}" if "peer" in figure else ""
    ours = f"{_number(figure['value'])} {figure['of']}"
    held = "" if figure["bound"] == "no bound" else "yes" if figure["held"] else "**missed**"
    return f"| {figure['what']} | {beside} | {lab} | {ours} | {figure['bound']} | {held} |"


def _number(value: float) -> str:
    """Format with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _known(_: str) -> str:
    """Return the list of known plugins as a table."""
    rows = []
    for plugin in known_plugins():
        page = plugin.documentation
        adds = "<br>".join(f"{kind}: {', '.join(f'`{name}`' for name in names)}" for kind, names in plugin.adds.items())
        cells = (f"[{plugin.package}]({page})", plugin.summary, adds, f"`{plugin.install}`", plugin.license, plugin.lab)
        rows.append(f"| {' | '.join(cells)} |")
    head = ["| package | about | adds | `lab install` | license | lab |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join(["", *head, *rows, ""])


INSERTS: dict[str, Callable[[str], str]] = {
    "drawing": _drawing,
    "figures": _figures,
    "file": _file,
    "gallery": _gallery,
    "known": _known,
    "notebook": _notebook,
    "paragraph": _paragraph,
    "scaffold": _scaffold,
}


def with_inserts(text: str) -> str:
    """Return a page with all inserts up to date."""
    return INSERT.sub(lambda found: f"{found[1]}{INSERTS[found[2]](found[3])}\n{found[4]}", text)


# --- all of it --------------------------------------------------------------------------------------------------------

PAGES: dict[str, Callable[[], str]] = {
    "hooks.md": hooks_page,
    "components.md": components_page,
    "reference.md": reference_page,
    "cli.md": cli_page,
    "api.md": api_page,
    "files.md": files_page,
}


def texts() -> dict[Path, str]:
    """Return the up-to-date text of every page, by path."""
    written = {DOCS / name: make() for name, make in PAGES.items()}
    by_hand = [path for path in (*sorted(DOCS.glob("*.md")), ROOT / "README.md") if path not in written]
    return {**written, **{path: with_inserts(path.read_text(encoding="utf-8")) for path in by_hand}}


def stale() -> dict[Path, str]:
    """Return the up-to-date text of the pages that are out of date."""
    return {
        path: text for path, text in texts().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main() -> int:
    """Write the pages that are out of date or, with ``--check``, only name them."""
    found, check = stale(), "--check" in sys.argv[1:]
    for path, text in found.items():
        print(f"{'not up to date' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
