"""The folder of bad plugins: what the user sees of each, and that everything else works."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab import use
from lab.errors import LabError, PluginError, UnknownNameError
from lab.registry.plugins import Catalog, load_catalog
from lab.registry.resolve import Resolver
from tests.kernel.toys import plugin_module

BAD = Path(__file__).parent / "bad_plugins"
SYNTAX_ERROR = '"""Does not even parse."""\n\ndef lab_losses(:\n    return {}\n'

LEFT_OUT = {
    "import_error": "ModuleNotFoundError: No module named 'no_such_package' (import_error.py, line 3)",
    "syntax_error": "SyntaxError: invalid syntax (syntax_error.py, line 3)",
    "raises_at_import": "ValueError: no licence for this machine (raises_at_import.py, line 3)",
    "exits_at_import": "SystemExit: usage: exits_at_import FILE (exits_at_import.py, line 5)",
    "generator_exit": (
        "GeneratorExit (generator_exit.py, line 3); a plugin that cannot be used should raise ImportError"
    ),
    "cancelled_at_import": (
        "CancelledError (cancelled_at_import.py, line 5); a plugin that cannot be used should raise ImportError"
    ),
    "misspelt_hook": (
        "there is no hook 'lab_architecture'; did you mean: lab_architectures? (misspelt_hook.py, line 7)"
    ),
    "wrong_argument": ("lab_report_sections has no argument 'pages'; it has: study, runs (wrong_argument.py, line 7)"),
    "wrong_argument_of_registry_hook": (
        "lab_tokenizers has no argument 'language'; it has: none (wrong_argument_of_registry_hook.py, line 7)"
    ),
    "wrapper": ("hook wrappers are not supported: lab_losses (wrapper.py, line 7)"),
    "returns_a_list": ("lab_metrics must return a dictionary, not list (returns_a_list.py, line 7)"),
    "returns_rubbish": (
        "lab_losses: 'rubbish' must be 'module:attribute', a class, a function or preset(...), not 3"
        " (returns_rubbish.py, line 7)"
    ),
    "bad_name": (
        "lab_losses: 'my loss' is not a valid component name (letters, digits, '_', '-', '.') (bad_name.py, line 7)"
    ),
    "raises_in_hook": "NameError: name 'missing' is not defined (raises_in_hook.py, line 8)",
    "registry_that_is_there": ("there is a registry 'losses' already (registry_that_is_there.py, line 7)"),
    "registry_without_spec": (
        "lab_registries must return a list of RegistrySpec, not of str: 'flavours' (registry_without_spec.py, line 7)"
    ),
    "clashes_with_builtin": ("optimizer 'adam' belongs to lab_basics 0.1.0 already (clashes_with_builtin.py, line 7)"),
}


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def catalog_with(install, complaints):
    def catalog_with(*names: str, **options) -> Catalog:
        install(**{name: SYNTAX_ERROR if name == "syntax_error" else BAD / f"{name}.py" for name in names})
        return load_catalog(warn=complaints.append, **options)

    return catalog_with


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_bad_plugin_is_left_out_whole_and_told_of_in_two_lines(catalog_with, complaints, name):
    catalog = catalog_with(name)
    assert complaints == [f"lab: plugin {name} 1.0 could not be loaded and is skipped\n  {LEFT_OUT[name]}"]
    plugin = catalog.plugins[name]
    assert (plugin.status, plugin.cause, plugin.provides) == ("failed", LEFT_OUT[name], {})
    assert not any(entry.plugin is plugin for registry in catalog.registries.values() for entry in registry.entries())


@pytest.mark.parametrize("name", LEFT_OUT)
def test_everything_else_works_beside_a_bad_plugin(catalog_with, name):
    catalog = catalog_with(name)
    assert {plugin.status for plugin in catalog.plugins.values() if plugin.is_builtin} == {"loaded"}
    resolver = Resolver(catalog)
    assert resolver.resolve("optimizers", use("adam", eps=1e-6)) is not None


@pytest.mark.parametrize("name", LEFT_OUT)
def test_strict_stops_at_a_bad_plugin(catalog_with, name):
    with pytest.raises(PluginError) as caught:
        catalog_with(name, strict=True)
    assert str(caught.value) == (
        f"plugin {name} 1.0 could not be loaded\n  {name.replace('_', '-')} 1.0\n  {LEFT_OUT[name]}"
    )


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_bad_plugin_that_is_switched_off_is_not_told_of(catalog_with, complaints, name):
    assert catalog_with(name, without=[name]).plugins[name].status == "disabled"
    assert complaints == []


def test_a_missing_name_is_told_with_the_plugin_that_may_have_it(catalog_with):
    with pytest.raises(UnknownNameError) as caught:
        catalog_with("import_error").registry("losses")["earth_mover"]
    assert str(caught.value) == (
        "unknown loss 'earth_mover'\n"
        "  could not load: import_error 1.0 (ModuleNotFoundError: No module named 'no_such_package' "
        "(import_error.py, line 3))\n"
        "  all losses: lab list losses"
    )


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("no_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("no_attribute", "AttributeError: module 'math' has no attribute 'no_such_loss'"),
        ("exits", "SystemExit: 4\n    {site}/exits_when_used.py, line 1: raise SystemExit(4)"),
    ],
)
def test_a_component_that_cannot_be_imported_is_an_error_when_it_is_used(install, catalog_with, name, cause):
    catalog = catalog_with("unresolvable")
    site = install()
    (site / "exits_when_used.py").write_text("raise SystemExit(4)\n")
    entry = catalog.registry("losses")[name]
    with pytest.raises(PluginError) as caught:
        entry.load()
    assert str(caught.value) == (
        f"cannot load '{entry.target}'\n  loss '{name}' (unresolvable 1.0), registered in {site}/unresolvable.py, line "
        f"{9 + ['no_module', 'no_attribute', 'exits'].index(name)}\n  {cause.format(site=site)}"
    )
    assert catalog.registry("losses")["fine"].load()


def test_a_hook_that_fails_at_report_time_is_told_of_and_the_others_answer(catalog_with, complaints):
    catalog = catalog_with("fails_at_report")
    sections = dict(catalog.call("lab_report_sections", study=None, runs=[]))
    assert all(plugin.is_builtin for plugin in sections)
    catalog.call("lab_study_finished", study=None, runs=[], results=None, record=None, sections=[])
    assert complaints == [
        "lab: plugin fails_at_report 1.0 failed in lab_report_sections\n"
        "  ZeroDivisionError: division by zero (fails_at_report.py, line 8)",
        "lab: plugin fails_at_report 1.0 failed in lab_study_finished\n  SystemExit: 3 (fails_at_report.py, line 13)",
    ]


def test_strict_stops_at_a_hook_that_fails(catalog_with):
    catalog = catalog_with("fails_at_report", strict=True)
    with pytest.raises(LabError) as caught:
        catalog.call("lab_study_finished", study=None, runs=[], results=None, record=None, sections=[])
    assert str(caught.value) == (
        "plugin fails_at_report 1.0 failed in lab_study_finished\n  SystemExit: 3 (fails_at_report.py, line 13)"
    )


def test_sections_that_are_none_are_told_of(catalog_with, complaints):
    from lab import Section

    given = catalog_with("wrong_sections").gather("lab_report_sections", Section, study=None, runs=[])
    assert all(plugin.is_builtin for plugin, _ in given)
    assert complaints == [
        "lab: plugin wrong_sections 1.0 failed in lab_report_sections\n"
        "  lab_report_sections must return a list of Section, not of str: 'all went well' (wrong_sections.py, line 7)"
    ]


def test_a_slow_import_is_named_with_its_time(catalog_with):
    assert catalog_with("slow_import").plugins["slow_import"].seconds > 0.6


@pytest.mark.parametrize("error", ["GeneratorExit()", "CancelledError('stop')", "Skipped('no losses today')"])
def test_no_kind_of_error_in_a_hook_ends_the_command(load, error):
    class Skipped(BaseException):
        """As pytest's."""

    def lab_losses():
        raise eval(error, {"CancelledError": asyncio.CancelledError, "Skipped": Skipped})

    loaded = load(gives_up=plugin_module(lab_losses=lab_losses), fine=plugin_module(lab_losses={"fine": len}))
    assert [plugin.status for plugin in loaded.catalog.plugins.values()] == ["loaded", "failed"]
    assert "a plugin that cannot be used should raise ImportError" in loaded.complaints[0]


def test_ctrl_c_while_a_plugin_is_imported_is_heard(load):
    with pytest.raises(KeyboardInterrupt):
        load(slow=KeyboardInterrupt())


def test_plugin_that_prints_is_named_with_the_line(catalog_with, complaints):
    catalog = catalog_with("loud")
    told = [line for line in complaints if "prints" in line]
    assert told[0] == "lab: plugin loud 1.0 prints while it is loaded: 'loud import' (loud.py, line 7)"
    assert catalog.plugins["loud"].status == "loaded"


def test_plugin_that_prints_by_way_of_a_library_is_named_with_its_own_line(catalog_with, complaints, install):
    site = install()
    (site / "shouting_library.py").write_text("def shout(text):\n    print(text)\n")
    install(shouting="\n\nfrom shouting_library import shout\nshout('hello')\n")
    catalog_with("loud")
    assert "lab: plugin shouting 1.0 prints while it is loaded: 'hello' (shouting.py, line 4)" in complaints


def test_what_a_plugin_prints_goes_to_stderr(catalog_with, install, capfd):
    site = install()
    (site / "loud_component.py").write_text("print('loud component', flush=True)\ndef loss(output, target): ...\n")
    catalog = catalog_with("loud")
    catalog.registry("losses")["loud"].load()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == "loud import\nloud C code\nloud hook\nloud component\n"
