"""Study files: found, run, and what is said of bad ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.study.load import load_study

GOOD = '''"""Does width help?"""
from lab import Experiment, Study

base = Experiment(dataset="points", architecture="line", loss="squared")
study = Study(base, seeds=2).swap("architecture.width", [4])
'''


@pytest.fixture
def file(tmp_path):
    def file(text, name="width.py"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return file


def message(path):
    with pytest.raises(LabError) as caught:
        load_study(path)
    return str(caught.value)


def test_a_study_takes_name_and_question_from_its_file(file):
    study = load_study(file(GOOD))
    assert (study.name, study.question, study.seeds) == ("width", "Does width help?", 2)


def test_a_study_may_have_a_name_and_a_question_of_its_own(file):
    study = load_study(file(GOOD.replace("seeds=2", "seeds=2, name='mine', question='Why?'")))
    assert (study.name, study.question) == ("mine", "Why?")


def test_the_only_study_of_a_file_may_have_any_name(file):
    assert load_study(file(GOOD.replace("study =", "width_study ="))).seeds == 2


def test_of_several_studies_the_one_called_study_is_taken(file):
    assert load_study(file(GOOD + "other = Study(base, seeds=9)\n")).seeds == 2


def test_a_study_file_may_define_components(file):
    text = GOOD.replace('"line"', "Mine").replace("base =", "class Mine:\n    pass\n\nbase =")
    assert load_study(file(text)).base.architecture.__name__ == "Mine"


def test_a_file_of_a_similar_name_is_offered(tmp_path):
    (tmp_path / "wider.py").write_text("")
    assert "did you mean: wider.py?" in message(tmp_path / "wider")
    assert "did you mean: wider.py?" in message(tmp_path / "widr.py")


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "nowhere.py"
    assert message(path) == (
        f"there is no such study file\n  {path}\n  lab new experiment NAME writes one to start from"
    )


def test_a_folder_is_no_study_file(tmp_path):
    assert message(tmp_path).startswith("there is no such study file")


def test_a_file_that_is_no_python_is_refused(file):
    path = file("x", "study.txt")
    assert message(path) == f"a study is a Python file\n  {path}\n  its name must end with .py"


def test_a_syntax_error_is_shown_with_its_line(file):
    path = file(GOOD.replace("seeds=2)", "seeds=2))"))
    assert message(path) == (
        "this study file has a syntax error: unmatched ')'\n"
        f'  {path}, line 5: study = Study(base, seeds=2)).swap("architecture.width", [4])'
    )


def test_a_file_without_a_study_says_how_to_make_one(file):
    path = file("base = 1\n")
    assert message(path) == f"this file holds no study\n  {path}\n  give it one: study = Study(base).swap(...)"


def test_several_studies_without_a_first_among_them_are_named(file):
    path = file(GOOD.replace("study =", "one =") + "two = Study(base)\n")
    assert message(path) == f"this file holds 2 studies: one, two\n  {path}\n  call one of them `study`"


def test_one_study_under_two_names_is_one_study(file):
    assert load_study(file(GOOD.replace("study =", "one = two ="))).seeds == 2


def test_a_file_that_raises_is_shown_with_the_line(file):
    path = file(GOOD.replace('"line"', "line"))
    assert message(path) == (
        "this study file raises NameError: name 'line' is not defined\n"
        f'  {path}, line 4: base = Experiment(dataset="points", architecture=line, loss="squared")'
    )


def test_an_error_of_lab_inside_the_file_tells_its_line_too(file):
    path = file(GOOD + 'study = study.swap("lr", {"width=4": 1.0})\n')
    assert message(path) == (
        f"two arms are called 'width=4'\n  {path}, line 6: "
        'study = study.swap("lr", {"width=4": 1.0})\n'
        "  name them yourself: swap('lr', {name: ...})"
    )


def test_a_missing_slot_is_told_as_the_study_writes_it(file):
    path = file(GOOD.replace(', loss="squared"', ""))
    assert message(path) == (
        "this study file raises TypeError: Experiment.__init__() missing 1 required keyword-only argument: 'loss'\n"
        f'  {path}, line 4: base = Experiment(dataset="points", architecture="line")'
    )


def test_a_file_that_exits_is_an_error(file):
    path = file("import sys\nsys.exit(3)\n")
    assert message(path) == f"this study file raises SystemExit: 3\n  {path}, line 2: sys.exit(3)"


def test_a_file_in_another_encoding_is_an_error(tmp_path):
    path = tmp_path / "latin.py"
    path.write_bytes('"""déjà"""\n'.encode("latin-1"))
    assert message(path).startswith("this study file has a syntax error: ")
    # in the words of Python 3.13 and of 3.14
    assert re.search(r"'utf-8' codec can't decode|Non-UTF-8 code starting with '\\xe9'", message(path))


def test_an_unreadable_name_is_no_python_module_name_and_works_all_the_same(file):
    assert load_study(file(GOOD, "my study-2.py")).name == "my study-2"


@pytest.mark.parametrize("raising", ["import pytest; pytest.skip('x', allow_module_level=True)", "raise GeneratorExit"])
def test_no_error_of_a_study_file_ends_the_process(file, raising):
    path = file(raising)
    assert message(path).startswith("this study file raises ")
    assert f"{path}, line 1: " in message(path)


def test_an_error_in_a_module_beside_the_study_is_told_with_both_lines(file, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    helper = file("def broken():\n    raise KeyError('x')\n", "helper_of_a_study.py")
    path = file("import helper_of_a_study\nhelper_of_a_study.broken()\n")
    assert message(path) == (
        f"this study file raises KeyError: 'x'\n  {path}, line 2: helper_of_a_study.broken()\n"
        f"  {helper}, line 2: raise KeyError('x')"
    )


def test_a_syntax_error_in_a_module_beside_the_study_names_that(file, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    helper = file("def broken(:\n", "broken_helper_of_a_study.py")
    path = file("import broken_helper_of_a_study\n")
    assert message(path) == (
        f"a module that this study imports has a syntax error: invalid syntax\n  {helper}, line 1: def broken(:"
    )


@pytest.mark.parametrize("name", ["queue.py", "random.py", "torch.py", "numpy.py"])
def test_a_study_or_its_neighbour_shadows_no_installed_module(file, monkeypatch, name):
    monkeypatch.setattr(sys, "path", list(sys.path))
    stem = name.removesuffix(".py")
    module = sys.modules.get(stem) or __import__(stem)
    monkeypatch.delitem(sys.modules, "queue", raising=False) if stem == "queue" else None
    load_study(file(f"import {stem}\nassert hasattr({stem}, '__name__')\n" + GOOD, name))
    assert sys.modules[stem].__file__ == module.__file__


@pytest.mark.parametrize("use_of_it", ["from wave import LENGTH", "import wave; wave.LENGTH"])
def test_a_neighbour_that_an_installed_module_hides_is_told(file, monkeypatch, use_of_it):
    monkeypatch.setattr(sys, "path", list(sys.path))
    file("LENGTH = 3\n", "wave.py")
    assert message(file(use_of_it + "\n")).endswith(
        "\n  'wave' is an installed or standard module that shadows wave.py; rename that file"
    )


def test_what_a_study_prints_when_it_is_imported_goes_to_stderr(file, capfd):
    load_study(file("import os\nprint('loud', flush=True)\nos.write(1, b'louder\\n')\n" + GOOD))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "loud\nlouder\n")


def test_a_study_that_changes_the_working_folder_is_refused_and_it_is_put_back(file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = file("import os\nos.chdir('/')\n" + GOOD)
    assert message(path).startswith("the working folder was changed to /, and it belongs to the whole process")
    assert f"{path}, line 2: os.chdir('/')" in message(path)
    assert Path.cwd() == tmp_path


def test_a_docstring_that_is_no_text_is_no_question(file):
    assert load_study(file(GOOD + "__doc__ = 3\n")).question == ""


def test_wrong_values_of_a_study_are_told_with_their_line(file):
    path = file(GOOD.replace("seeds=2", "seeds=None, compare=3"))
    assert message(path).startswith(f"2 problems in this study:\n  {path}, line 5: study = Study(base, seeds=None")


def test_a_study_may_import_what_lies_beside_it(file, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    file("WIDTH = 3\n", "beside_the_study.py")
    assert load_study(file("from beside_the_study import WIDTH\n" + GOOD.replace("seeds=2", "seeds=WIDTH"))).seeds == 3
