"""Every hook fires, with the arguments that its manual page says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

from lab import Data, RegistrySpec, Section, Study, hookimpl, use
from lab.cli.main import Commands, Session, cli
from lab.registry import hookspecs
from lab.report.terminal import sections_of
from lab.study.build import build_learner
from lab.study.execute import finish, run_study
from lab.study.study import Arm
from tests.kernel.toys import COMPONENTS, experiment, plugin_module, points

HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("lab_") and callable(hook)}
FILLING = [name for name in HOOKS if name in {spec.hook for spec in hookspecs.KERNEL_REGISTRIES}]


# --- the manual -------------------------------------------------------------------------------------------------------


def test_every_hook_has_a_test_that_names_it():
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py"))
    untested = [name for name in HOOKS if name not in FILLING and not re.search(rf"\b{name}\b", tests)]
    assert untested == []


def test_every_kernel_registry_has_exactly_one_hook():
    assert sorted(FILLING) == sorted(spec.hook for spec in hookspecs.KERNEL_REGISTRIES)


@pytest.mark.parametrize("name", HOOKS)
def test_the_manual_says_who_uses_a_hook(name):
    assert "Used by: " in inspect.getdoc(HOOKS[name])


@pytest.mark.parametrize("name", [name for name in HOOKS if name not in FILLING])
def test_the_manual_says_when_a_hook_fires(name):
    text = inspect.getdoc(HOOKS[name])
    assert re.search(r"Fires |is about to|begins to|has ended", text)


# --- filling registries -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", FILLING)
def test_a_hook_fills_its_registry_and_takes_nothing(load, hook):
    seen = []
    kind = hook.removeprefix("lab_")
    loaded = load(mine=plugin_module(**{hook: lambda: seen.append(hook) or {"thing": Data}}))
    assert seen == [hook]
    assert loaded.catalog.registry(kind)["thing"].load() is Data
    assert inspect.signature(HOOKS[hook]).parameters == {}


def test_lab_registries_fires_before_any_registry_is_filled(load):
    fired = []
    hooks = {
        "lab_losses": lambda: fired.append("losses"),
        "lab_registries": lambda: fired.append("registries") or [RegistrySpec("flavours", "flavour")],
        "lab_flavours": lambda: fired.append("flavours"),
    }
    load(mine=plugin_module(**hooks))
    assert fired == ["registries", "losses", "flavours"]


def test_a_registry_may_be_given_without_a_list(load):
    loaded = load(mine=plugin_module(lab_registries=RegistrySpec("flavours", "flavour")))
    assert "flavours" in loaded.catalog.registries


# --- commands and methods ---------------------------------------------------------------------------------------------


@click.command()
def greet() -> None:
    """Say hello."""
    click.echo("hello")


@pytest.fixture
def commands(load):
    """The commands of a command line that knows these plugins alone."""

    def commands(**plugins: ModuleType) -> tuple[Commands, click.Context, list[str]]:
        loaded = load(**plugins)
        session = Session((), strict=False, debug=False)
        session._catalog = loaded.catalog
        return cli, click.Context(cli, obj=session), loaded.complaints

    return commands


def test_lab_commands_adds_a_command(commands):
    group, context, _ = commands(mine=plugin_module(lab_commands={"greet": f"{__name__}:greet"}))
    assert "greet" in group.list_commands(context)
    assert group.get_command(context, "greet").name == "greet"


def test_a_command_may_be_given_as_an_object(commands):
    group, context, _ = commands(mine=plugin_module(lab_commands={"greet": greet}))
    assert group.get_command(context, "greet") is greet


def test_a_command_of_the_kernel_cannot_be_replaced(commands):
    group, context, complaints = commands(mine=plugin_module(lab_commands={"run": greet}))
    assert group.list_commands(context).count("run") == 1
    assert group.get_command(context, "run").name == "run"
    assert complaints == ["lab: plugin mine 1.0: 'run' of lab_commands is skipped\n  it belongs to lab already"]


@pytest.fixture
def watched(catalog, tmp_path):
    """Run a small study with a plugin that has these hooks; gives the results."""

    def watched(**hooks):
        catalog.add_module(plugin_module(**hooks), "watcher", "1.0")
        study = Study(experiment(epochs=1), seeds=2, name="watched").swap("architecture.width", [2])
        return run_study(study, runs=tmp_path / "runs", catalog=catalog)

    return watched


def answer(learner, question: str = "why") -> tuple[object, str]:
    """A learner's method."""
    return learner, question


def test_lab_learner_methods_adds_methods_that_get_the_learner(watched, catalog):
    watched(lab_learner_methods={"answer": f"{__name__}:answer", "reply": answer})
    learner = build_learner(experiment().resolve(catalog)[0], points(), seed=0, catalog=catalog)
    assert learner.answer("how") == (learner, "how")
    assert learner.reply() == (learner, "why")
    assert "answer" in dir(learner)


@pytest.mark.parametrize("name", ["answer", "reply"])
def test_help_of_a_learner_method_shows_its_function_without_the_learner(watched, catalog, name):
    watched(lab_learner_methods={"answer": f"{__name__}:answer", "reply": answer})
    learner = build_learner(experiment().resolve(catalog)[0], points(), seed=0, catalog=catalog)
    method = getattr(learner, name)
    assert str(inspect.signature(method)) == "(question: 'str' = 'why') -> 'tuple[object, str]'"
    assert method.__doc__ == "A learner's method."


def test_help_of_a_study_method_shows_its_function_without_the_study():
    method = Study(experiment(), seeds=1, name="asked").search
    assert "study" not in inspect.signature(method).parameters
    assert "trials" in inspect.signature(method).parameters
    assert "partial(" not in method.__doc__


def test_a_learner_that_lists_its_methods_imports_none_of_them(catalog):
    catalog.add_module(plugin_module(lab_learner_methods={"answer": "no_such_module:answer"}), "watcher", "1.0")
    learner = build_learner(experiment().resolve(catalog)[0], points(), seed=0, catalog=catalog)
    assert "answer" in dir(learner)


def test_a_learner_method_that_cannot_be_imported_says_so_when_it_is_called(watched, catalog):
    from lab.errors import PluginError

    watched(lab_learner_methods={"answer": "no_such_module:answer"})
    learner = build_learner(experiment().resolve(catalog)[0], points(), seed=0, catalog=catalog)
    with pytest.raises(PluginError, match="cannot load 'no_such_module:answer'\n  learner method 'answer'"):
        learner.answer()


# --- studies and runs -------------------------------------------------------------------------------------------------


def test_lab_former_names_are_read_in_records(load):
    from lab.study.former import with_current_names

    loaded = load(mine=plugin_module(lab_former_names={"mlp_2": "mlp", "mlp_2.units": "width"}))
    inner = {"component": "mlp_2", "plugin": "mine 0.1", "params": {"units": 3, "depth": 1}}
    other = {"component": "mlp_2", "plugin": "another 0.1", "params": {"units": 3}}
    record = {"experiment": {"architecture": {"component": "pair", "plugin": "p", "params": {"both": [inner, other]}}}}
    [renamed, same] = with_current_names(record, loaded.catalog)["experiment"]["architecture"]["params"]["both"]
    assert renamed == {"component": "mlp", "plugin": "mine 0.1", "params": {"width": 3, "depth": 1}}
    assert same == other


def test_former_names_of_the_built_ins_lead_to_names_that_exist():
    from lab.registry.plugins import load_catalog

    catalog = load_catalog()
    for _, table in catalog.call("lab_former_names"):
        for former, current in table.items():
            name, _, parameter = former.partition(".")
            [entry] = [entry for entry in catalog.find(table.get(name, name)) if entry.kind != "corpora"]
            assert not parameter or current in inspect.signature(entry.load()).parameters


def test_lab_study_started_fires_once_with_the_runs_to_do(watched):
    seen = []

    def lab_study_started(study, runs):
        seen.append((study.name, [(run.arm, run.seed) for run in runs]))

    watched(lab_study_started=lab_study_started)
    assert seen == [("watched", [("base", 0), ("base", 1), ("width=2", 0), ("width=2", 1)])]


def test_lab_study_finished_fires_once_with_every_run(watched):
    seen = []

    def lab_study_finished(study, runs):
        seen.append((study.name, [(run.arm, run.seed, run.status) for run in runs]))

    watched(lab_study_finished=lab_study_finished)
    watched_again = [("base", 0), ("base", 1), ("width=2", 0), ("width=2", 1)]
    assert seen == [("watched", [(arm, seed, "finished") for arm, seed in watched_again])]


def test_lab_study_finished_gets_the_record_where_a_report_is_asked_for_and_its_lines_are_shown(watched, catalog):
    seen = []

    def lab_study_finished(results, record, sections):
        seen.append((results.study.name, record, sections))
        return ["one line"]

    results = watched(lab_study_finished=lab_study_finished)
    record = object()
    assert finish(results, catalog, record, ["section"]) == ["one line"]
    assert seen == [("watched", None, ()), ("watched", record, ["section"])]


def test_lab_rounds_says_which_arms_come_next(catalog, tmp_path):
    rounds = iter([[Arm("one more", {"lr": 0.2})], [Arm("the last", {"lr": 0.3})], []])
    catalog.remove("toys")
    catalog.add_module(plugin_module(**{**COMPONENTS, "lab_rounds": {"mine": lambda *_: next(rounds)}}), "toys", "1.0")
    study = Study(experiment(epochs=1), seeds=1, name="rounds").search({"lr": (0.1, 0.5)}, searcher=use(NoTrials))
    results = run_study(study, runs=tmp_path / "runs", catalog=catalog)
    assert [run.arm for run in results.runs] == ["base", "one more", "the last"]


class NoTrials:
    """A searcher that is not asked."""

    def propose(self, space, seen, count, seed):
        raise AssertionError("asked")


def test_lab_run_started_and_lab_run_finished_fire_around_every_run(watched):
    seen = []

    def lab_run_started(run):
        seen.append(("started", run.arm, run.seed))

    def lab_run_finished(run, result):
        seen.append((result.status, run.arm, run.seed))
        assert "valid_loss" in result.metrics

    watched(lab_run_started=lab_run_started, lab_run_finished=lab_run_finished)
    runs = [("base", 0), ("base", 1), ("width=2", 0), ("width=2", 1)]
    assert seen == [(status, *run) for run in runs for status in ("started", "finished")]


def test_lab_report_sections_adds_sections_by_weight_and_then_by_plugin(watched, catalog):
    def lab_report_sections(study, runs):
        assert study.name == "watched"
        assert {"arm", "seed", "status", "metrics", "folder"} <= set(dir(runs[0]))
        return [Section("late", "text", weight=9), Section("early", "text", weight=-1)]

    results = watched(lab_report_sections=lab_report_sections)
    other = plugin_module(lab_report_sections=hookimpl(lambda: [Section("middle", f"{len(results.runs)} runs")]))
    catalog.add_module(other, "a_watcher")
    assert [section.title for section in sections_of(results, catalog)] == ["early", "middle", "late"]


def test_a_hook_may_take_fewer_arguments(catalog):
    seen = []
    module = plugin_module(lab_study_started=lambda runs: seen.append(runs))
    catalog.add_module(module, "brief")
    catalog.call("lab_study_started", study="ignored", runs=["one"])
    assert seen == [["one"]]


def test_hooks_are_called_in_the_order_of_loading(load):
    seen = []
    plugins = {name: plugin_module(lab_study_started=lambda name=name: seen.append(name)) for name in "cab"}
    load(**plugins).catalog.call("lab_study_started", study=None, runs=[])
    assert seen == ["a", "b", "c"]


# --- the conformance kit ----------------------------------------------------------------------------------------------


def support():
    """What a plugin gives to the conformance kit."""
    from lab.testing import ConformanceSupport

    return ConformanceSupport(cases={"losses.mine": None})


def test_lab_conformance_supports_the_kit(load):
    from lab.testing.conformance import kit_of

    loaded = load(mine=plugin_module(lab_conformance=f"{__name__}:support"))
    assert kit_of(loaded.catalog).cases == {"losses.mine": None}


def test_lab_study_methods_adds_methods_that_get_the_study(load, monkeypatch):
    from lab.study import study as module

    def ask(study, question):
        return study, question

    loaded = load(mine=plugin_module(lab_study_methods={"ask": ask}))
    module._study_methods.cache_clear()
    monkeypatch.setattr(module, "load_catalog", lambda warn: loaded.catalog)
    study = Study(experiment())
    try:
        assert study.ask("why") == (study, "why")
        with pytest.raises(AttributeError, match="a study has no 'answer'; plugins add: ask"):
            _ = study.answer
    finally:
        module._study_methods.cache_clear()


def test_lab_comparison_shown_gets_the_record_and_its_lines_go_to_stderr(load, tmp_path):
    from click.testing import CliRunner

    from tests.kernel.stored_study import store_study

    seen = []

    def lab_comparison_shown(results, record, metric, how):
        seen.append((record.study.name, [arm.name for arm in results.arms], metric, list(how)))
        return ["looked"]

    store_study(tmp_path)
    session = Session((), strict=False, debug=False)
    session._catalog = load(mine=plugin_module(lab_comparison_shown=lab_comparison_shown)).catalog
    from lab_report.compare_command import compare

    result = CliRunner().invoke(compare, ["toy", "--runs", str(tmp_path)], obj=session)
    assert seen == [("toy", ["base", "wide", "sgd"], "valid_accuracy", [])]
    CliRunner().invoke(compare, ["toy", "--runs", str(tmp_path), "--base", "wide", "--unpaired"], obj=session)
    assert seen[1][3] == ["against wide", "not paired"]
    assert "note: looked" in result.stderr
