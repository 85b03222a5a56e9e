"""``lab list``, ``lab show``, ``lab plugins``, ``lab --help``, and tab completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lab.cli import summaries
from lab.cli.main import COMMANDS, GROUPS
from lab.cli.summaries import summary_of
from lab.registry.plugins import load_catalog
from lab.registry.registry import Entry, Plugin, RegistrySpec

BAD = Path(__file__).parent / "bad_plugins"

PLUGIN = '''"""Losses of a third party."""
from lab import hookimpl, preset


class Cosine:
    """One minus the cosine.

    Shapes:
        output, target (B, F)
    """

    def __init__(self, size: int, *, eps: float = 1e-8, power: int | None = None) -> None:
        self.eps = eps


@hookimpl
def lab_losses():
    return {"cosine_distance": Cosine, "sharp_cosine": preset("cosine_distance", power=3)}
'''


@pytest.fixture
def third_party(install):
    return install(lab_cosine=PLUGIN) / "lab_cosine.py"


# --- lab list ---------------------------------------------------------------------------------------------------------


def test_list_shows_every_kind(lab):
    result = lab("list")
    assert (result.code, result.err) == (0, "")
    for kind in ("datasets: training data", "optimizers: optimizers", "attentions: "):
        assert f"\n{kind}" in f"\n{result.out}"


@pytest.mark.parametrize("kind", ["losses", "loss"])
def test_list_of_a_kind_marks_components_of_third_parties_with_their_package(lab, third_party, kind):
    result = lab("list", kind)
    assert result.out.startswith("losses: loss functions\n")
    assert re.search(r"^  cosine_distance +\w.* \(lab_cosine 1.0, lab-cosine\)$", result.out, re.MULTILINE)
    assert re.search(
        r"^  sharp_cosine +\= use\('cosine_distance', power=3\) \(lab_cosine 1.0, lab-cosine\)$",
        result.out,
        re.MULTILINE,
    )
    assert re.search(r"^  mse +Mean squared error. \(lab_basics\)$", result.out, re.MULTILINE)


def test_list_has_a_sentence_for_every_built_in_component():
    entries = [e for registry in load_catalog(only=[], strict=True).registries.values() for e in registry.entries()]
    assert len(entries) > 200
    assert [entry.label for entry in entries if len(summary_of(entry)) < 5] == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ('def loss(a, b):\n    """Half of 0.5.  More.\n\n    x\n    """\n', "Half of 0.5."),
        (
            'class loss(\n    Base,\n):\n    """As ``f`` of *A b*, by A. Bee et al. 1999\n    and more\n    """\n',
            "As f of A b, by A. Bee et al. 1999 and more",
        ),
        ("def loss(a, b):\n    return 1\n", ""),
        ("from .deep import other, loss\n", "Deep."),
        ("loss = make()\n", ""),
        ("def loss(:\n", ""),
    ],
)
def test_a_summary_is_the_first_sentence_of_a_docstring_wherever_it_is_written(tmp_path, monkeypatch, source, sentence):
    package = tmp_path / "some_losses"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "top.py").write_text(source)
    (package / "deep.py").write_text('def loss():\n    """Deep."""\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    summaries._source.cache_clear()
    spec = RegistrySpec("losses", "loss")
    assert summary_of(Entry(spec, "loss", "some_losses.top:loss", Plugin("p", "d", "1"))) == sentence


def test_a_changed_docstring_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = Entry(RegistrySpec("losses", "loss"), "loss", "a_loss:loss", Plugin("p", "d", "1"))
    for sentence in ("Old.", "Old.", "Quite new."):
        (tmp_path / "a_loss.py").write_text(f'def loss():\n    """{sentence}"""\n')
        # as another process would find it
        summaries._source.cache_clear()
        assert summaries.summaries_of([entry]) == [sentence]


def test_summaries_of_unchanged_sources_come_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "a_loss.py").write_text('def loss():\n    """Cached."""\n')
    entry = Entry(RegistrySpec("losses", "loss"), "loss", "a_loss:loss", Plugin("p", "d", "1"))
    summaries._source.cache_clear()
    summaries.summaries_of([entry])
    monkeypatch.setattr(summaries, "summary_of", None)
    assert summaries.summaries_of([entry]) == ["Cached."]


def test_a_terminal_shows_the_whole_sentence_in_as_many_lines_as_it_needs(lab, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    plain = lab("list", "losses").out
    monkeypatch.setattr("lab.cli.catalog.sys.stdout.isatty", lambda: True, raising=False)
    shown = click.unstyle(lab("list", "losses").out)
    assert max(map(len, shown.splitlines())) <= 60 < max(map(len, plain.splitlines()))
    assert shown.split() == plain.split()


# --- lab --help -------------------------------------------------------------------------------------------------------


def test_the_help_has_every_command_under_a_heading_with_a_sentence(lab, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    catalog = load_catalog(only=[], strict=True)
    added = catalog.collect_owned("lab_commands", taken=COMMANDS)
    assert [name for name, (_, found) in added.items() if not (found[1].endswith(".") and found[2] in GROUPS)] == []
    shown = lab("--help").out
    assert [heading for heading in GROUPS[:-1] if f"\n{heading}:\n" not in shown] == []
    for name in (*COMMANDS, *added):
        assert re.search(rf"^  {name} +\w", shown, re.MULTILINE), name
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("declared", "heading", "text"),
    [
        ('"x:y"', "Other commands", "(added by mine 1.0)"),
        ('("x:y", "Do it.")', "Other commands", "Do it."),
        ('("x:y", "Do it.", "Runs")', "Runs", "Do it."),
        ('("x:y", "Do it.", "Of mine")', "Of mine", "Do it."),
    ],
)
def test_a_plugin_names_the_heading_of_its_command(lab, install, tmp_path, declared, heading, text):
    install(mine=f"from lab import hookimpl\n\n@hookimpl\ndef lab_commands():\n    return {{'do-it': {declared}}}\n")
    shown = lab("--help").out
    [section] = [part for part in re.split(r"\n\n", shown) if part.startswith(f"{heading}:")]
    assert re.search(rf"^  do-it +{re.escape(text)}$", section, re.MULTILINE)


RAISING = """from lab import hookimpl
import click

@click.command()
def count():
    'Count.'
    return [][3]

@hookimpl
def lab_commands():
    return {'count': count}
"""


def test_a_command_of_a_plugin_that_raises_is_named_with_its_line(lab, install):
    site = install(counting=RAISING)
    result = lab("count")
    assert result.code == 2
    assert result.err == (
        "lab: command 'count' of counting 1.0 raises IndexError: list index out of range\n"
        f"  {site / 'counting.py'}, line 7: return [][3]\n"
        "  --debug shows the traceback\n"
    )


def test_list_of_an_unknown_kind_is_an_error(lab):
    result = lab("list", "loses")
    assert result.code == 2
    assert result.err.startswith(
        "lab: unknown kind 'loses'\n  did you mean: losses?\n  kinds: datasets, architectures, "
    )


# --- lab show ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cosine_distance", "lab_cosine:cosine_distance"])
def test_show_gives_signature_docstring_plugin_file_and_line(lab, third_party, name):
    assert lab("show", name).out == (
        f"loss cosine_distance  (lab_cosine 1.0)\n"
        f"  {third_party}:5\n"
        "\n"
        "cosine_distance(\n"
        "    size: int,\n"
        "    *,\n"
        "    eps: float = 1e-08,\n"
        "    power: int | None = None,\n"
        ")\n"
        "\n"
        "One minus the cosine.\n"
        "\n"
        "Shapes:\n"
        "    output, target (B, F)\n"
    )


def test_show_of_a_preset_shows_what_it_presets_too(lab, third_party):
    out = lab("show", "sharp_cosine").out
    assert out.startswith(
        "loss sharp_cosine  (lab_cosine 1.0)\n"
        "  a preset: use('cosine_distance', power=3)\n"
        "\n"
        "loss cosine_distance  (lab_cosine 1.0)\n"
    )


def test_show_of_a_name_in_two_registries_shows_both(lab):
    out = lab("show", "mse").out
    assert "loss mse  (lab_basics 0.1.0)" in out
    assert "metric mse  (lab_basics 0.1.0)" in out


def test_show_of_a_component_without_source_says_so(lab, install):
    install(lab_maths="from lab import hookimpl\n\n@hookimpl\ndef lab_losses():\n    return {'dist': 'math:dist'}\n")
    assert lab("show", "dist").out.startswith(
        "loss dist  (lab_maths 1.0)\n  math (no source)\n\ndist(\n    p,\n    q,\n)\n"
    )


def test_show_of_an_unknown_name_gives_close_matches_of_every_kind(lab):
    result = lab("show", "adamv")
    assert result.code == 2
    assert result.err.startswith(
        "lab: unknown component 'adamv'\n  did you mean: adam (optimizers, lab_basics 0.1.0) or adamw "
    )
    assert result.err.endswith("  all components: lab list\n")


def test_show_says_what_could_not_be_loaded(lab, install):
    install(import_error=BAD / "import_error.py")
    assert "  could not load: import_error 1.0 (ModuleNotFoundError" in lab("show", "cosine_rnn").err


def test_show_of_a_component_that_cannot_be_imported_is_an_error(lab, install):
    install(unresolvable=BAD / "unresolvable.py")
    result = lab("show", "no_module")
    first, second, third = result.err.splitlines()
    assert (result.code, first) == (2, "lab: cannot load 'no_such_module:loss'")
    assert second.startswith("  loss 'no_module' (unresolvable 1.0), registered in ")
    assert second.endswith("unresolvable.py, line 9")
    assert third == "  ModuleNotFoundError: No module named 'no_such_module'"


# --- lab plugins ------------------------------------------------------------------------------------------------------


def without_times(text: str) -> str:
    return re.sub(r"\d+ ms", "0 ms", text)


def test_plugins_are_listed_with_version_package_status_time_and_what_they_provide(lab, third_party):
    out = without_times(lab("plugins").out)
    assert "lab_cosine 1.0 (lab-cosine)  loaded  0 ms\n  2 losses\n" in out
    assert re.search(r"^lab_basics 0\.1\.0 \(lab-ablation\)  loaded  0 ms\n  .*\d+ samplers, ", out, re.MULTILINE)


def test_plugins_that_are_not_loaded_are_listed_with_their_cause(lab, third_party, install):
    install(import_error=BAD / "import_error.py")
    out = without_times(lab("--without", "lab_cosine", "plugins").out)
    assert "lab_cosine 1.0 (lab-cosine)  disabled  0 ms\n  switched off by name\n" in out
    assert (
        "import_error 1.0 (import-error)  failed  0 ms\n"
        "  ModuleNotFoundError: No module named 'no_such_package' (import_error.py, line 3)\n" in out
    )


def test_a_slow_import_is_remarked_on_with_its_time(lab, install):
    install(slow_import=BAD / "slow_import.py")
    assert re.search(
        r"^slow_import 1\.0 \(slow-import\)  loaded  6\d\d ms  \(slow to import\)$", lab("plugins").out, re.M
    )


# --- the group itself -------------------------------------------------------------------------------------------------


def test_help_lists_every_command_with_one_line(lab):
    result = lab("--help")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^  run +Answer the question in a study file\.$", result.out, re.MULTILINE)
    assert re.search(r"^  data +List corpora, and fetch one\.$", result.out, re.MULTILINE)
    assert 'eval "$(_LAB_COMPLETE=bash_source lab)"' in " ".join(result.out.split())


def test_an_unknown_command_gives_close_matches(lab):
    result = lab("shwo")
    assert result.code == 2
    assert result.err.endswith("Error: unknown command 'shwo'\n  did you mean: show?\n")


def test_a_bad_plugin_is_told_of_by_every_command_and_stops_none(lab, install):
    install(misspelt_hook=BAD / "misspelt_hook.py")
    told = (
        "lab: plugin misspelt_hook 1.0 could not be loaded and is skipped\n"
        "  there is no hook 'lab_architecture'; did you mean: lab_architectures? (misspelt_hook.py, line 7)\n"
    )
    for arguments in (["--help"], ["list"], ["show", "adam"], ["plugins"]):
        result = lab(*arguments)
        assert (result.code, result.err) == (0, told)


def test_without_silences_a_bad_plugin_even_in_the_help(lab, install):
    install(misspelt_hook=BAD / "misspelt_hook.py")
    assert lab("--without", "misspelt_hook", "--help").err == ""


def test_strict_stops_with_the_cause(lab, install):
    install(misspelt_hook=BAD / "misspelt_hook.py")
    result = lab("--strict", "list")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "lab: plugin misspelt_hook 1.0 could not be loaded\n"
        "  misspelt-hook 1.0\n"
        "  there is no hook 'lab_architecture'; did you mean: lab_architectures? (misspelt_hook.py, line 7)\n",
    )


def test_without_an_unknown_plugin_is_an_error(lab):
    assert lab("--without", "lab_basic", "list").err.startswith(
        "lab: unknown plugin 'lab_basic'\n  did you mean: lab_basics"
    )


def test_commands_that_are_none_are_errors_when_they_are_used(lab, install):
    install(wrong_commands=BAD / "wrong_commands.py")
    told = "lab: plugin wrong_commands 1.0: 'run' of lab_commands is skipped\n  it belongs to lab already\n"
    assert lab("--help").err == told
    assert lab("pi").err == told + "lab: command 'pi' (wrong_commands 1.0) is not a click command: 3.141592653589793\n"
    assert lab("gone").err == told + (
        "lab: cannot load 'no_such_module:command'\n"
        "  command 'gone' (wrong_commands 1.0)\n"
        "  ModuleNotFoundError: No module named 'no_such_module'\n"
    )


def test_a_list_of_commands_is_told_of_and_the_help_works(lab, install):
    install(list_of_commands=BAD / "list_of_commands.py")
    result = lab("--help")
    assert (result.code, result.err) == (
        0,
        "lab: plugin list_of_commands 1.0 failed in lab_commands\n"
        "  lab_commands must return a dictionary, not list (list_of_commands.py, line 7)\n",
    )


# --- tab completion ---------------------------------------------------------------------------------------------------


@pytest.fixture
def complete(lab, monkeypatch):
    """What the shell offers for a command line that ends here."""

    def complete(line: str) -> list[str]:
        monkeypatch.setenv("_LAB_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        return [answer.partition(",")[2] for answer in lab().out.split()]

    return complete


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_gets_a_completion_script(lab, monkeypatch, shell):
    monkeypatch.setenv("_LAB_COMPLETE", f"{shell}_source")
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda self=None: None, raising=False)
    assert "_LAB_COMPLETE=" in lab().out


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("lab sho", {"show"}),
        ("lab list arch", {"architectures"}),
        ("lab show seq2seq_bi", {"seq2seq_bidir", "seq2seq_bidir_attn"}),
        ("lab run --pl", {"--plan"}),
        ("lab run nowhere.py --arms a", set()),
        ("lab run nowhere.py --set l", set()),
        ("lab run --executor pro", {"processes"}),
        ("lab new plugin x --kind command", {"command"}),
        ("lab compare nothing --metric v", set()),
    ],
)
def test_commands_kinds_names_and_options_are_completed(complete, line, offered):
    assert set(complete(line)) == offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["--set", "optimizer=adam_"], {"optimizer=adam_written"}),
        # bash takes "=" for a word
        (["--set", "optimizer", "=", "adam_"], {"adam_written"}),
        (["--set", "loss", "="], {"mse"}),
        (["--executor", "=", "pro"], {"processes"}),
    ],
)
def test_what_stands_behind_an_equals_sign_is_completed(complete, tmp_path, words, offered):
    (tmp_path / "s.py").write_text(
        "from lab import *\nbase = Experiment(dataset='points', architecture='mlp', loss='mse')\nstudy = Study(base)\n",
        encoding="utf-8",
    )
    assert offered <= set(complete(" ".join(["lab", "run", str(tmp_path / "s.py"), *words])))


def test_a_process_of_its_own_completes_behind_an_equals_sign():
    asked = {"_LAB_COMPLETE": "bash_complete", "COMP_WORDS": "lab run --executor = pro", "COMP_CWORD": "4"}
    command = [sys.executable, "-m", "lab"]
    answer = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert answer.stdout == "plain,processes\n"


def test_arms_of_the_study_are_completed(complete, tmp_path):
    (tmp_path / "s.py").write_text(
        "from lab import Experiment, Study\n"
        "study = Study(Experiment(dataset='a', architecture='b', loss='c')).swap('lr', {'slow': 0.1, 'slower': 0.01})\n"
    )
    assert complete("lab find-lr s.py --arm s") == ["slow", "slower"]
    assert complete("lab run s.py --arms sl") == ["slow", "slower"]
    assert complete("lab run s.py --arms slow,sl") == ["slow,slow", "slow,slower"]


PATHS = """
print("what a file prints is no answer")
from lab import Experiment, Study, use
study = Study(Experiment(
    dataset="points", architecture=use("mlp"), loss="cross_entropy", callbacks=["one_cycle"], metrics=["accuracy"],
))
"""


@pytest.mark.parametrize(
    ("start", "offered"),
    [
        ("l", ["loss=", "lr=", "loss."]),
        ("architecture.h", ["architecture.hidden_size="]),
        ("callbacks.one_cycle.pct", ["callbacks.one_cycle.pct_start="]),
        ("optimizer=adag", ["optimizer=adagrad", "optimizer=adagrad_written"]),
        ("lr=0", []),
    ],
)
def test_paths_of_the_study_are_completed(complete, tmp_path, start, offered):
    (tmp_path / "s.py").write_text(PATHS)
    for command in ("run", "show", "find-lr", "schedule"):
        found = complete(f"lab {command} s.py --set {start}")
        assert [each for each in found if not each.startswith("loss.")] == [e for e in offered if e != "loss."]


def test_parameters_of_a_training_function_are_completed(complete, tmp_path):
    (tmp_path / "s.py").write_text(
        "from lab import Study, use\n\ndef train(*, rate=0.1, width=3):\n    return {'score': 1.0}\n\n"
        "study = Study(use(train), compare='score', higher_is_better=True)\n"
    )
    assert complete("lab run s.py --set wi") == ["width="]


def test_metrics_of_a_study_and_columns_of_a_file_are_completed(complete, tmp_path):
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "runs.csv").write_text("arm,seed,key,status,valid_loss,valid_accuracy,seconds\n")
    (tmp_path / "results.csv").write_text("arm,seed,score\n")
    for command in ("compare", "check-claim", "variance", "importance"):
        assert complete(f"lab {command} mine --metric v") == ["valid_loss", "valid_accuracy"], command
    assert complete("lab compare mine --metric s") == []
    assert complete("lab compare results.csv --metric s") == ["score"]


def test_a_close_command_is_named(lab):
    assert "did you mean: compare?" in lab("compar").err
