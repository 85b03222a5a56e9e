"""Keys: the same key for the same numbers, another key for anything that decides them."""

from __future__ import annotations

import functools
import itertools
import sys
from pathlib import Path

import pytest
from torch import nn

from lab import use
from lab.errors import StudyError
from lab.registry.definition import origin_of
from lab.registry.source import tree_fingerprint
from lab.study.experiment import checked
from lab.study.keys import key_content, key_of
from lab.study.load import load_study
from tests.kernel.toys import Line, carts_plugin, experiment, plugin_module


@pytest.fixture
def key(catalog):
    def key(seed=0, data="data", device="cpu", **changes):
        return key_of(checked(experiment(**changes), catalog), seed, data, device)

    return key


def code_of(resolved):
    return key_content(resolved, 0, "data", "cpu")["code"]


def test_a_key_is_twenty_hexadecimal_digits(key):
    assert len(key()) == 20
    assert set(key()) <= set("0123456789abcdef")


def test_another_content_of_a_file_that_a_component_is_given_is_another_key(catalog, tmp_path):
    class FromFile(Line):
        def __init__(self, features: int, *, start: Path) -> None:
            super().__init__(features)

    def key() -> str:
        question = experiment(architecture=use(FromFile, start=str(tmp_path / "start.txt")))
        return key_of(checked(question, catalog), 0, "data", "cpu")

    absent = key()
    (tmp_path / "start.txt").write_text("1")
    first = key()
    (tmp_path / "start.txt").write_text("2")
    assert len({absent, first, key()}) == 3
    (tmp_path / "start.txt").write_text("1")
    assert key() == first


def test_the_same_question_has_the_same_key(key):
    assert key() == key()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"data": "other data"},
        {"device": "cuda"},
        {"lr": 0.06},
        {"epochs": 3},
        {"optimizer": "sgd"},
        {"architecture": "deep"},
        {"architecture": use("line", width=1)},
        {"callbacks": ["nothing"]},
        {"loss": use("squared", scale=2.0)},
        {"sampler": "late"},
    ],
)
def test_whatever_decides_the_numbers_changes_the_key(key, change):
    assert key(**change) != key()


def test_a_preset_and_what_it_stands_for_have_the_same_key(key):
    assert key(architecture="deeper") == key(architecture=use("line", width=4, bias=False))


def test_a_default_that_is_written_out_changes_no_key(key):
    assert key(architecture=use("line", width=0)) == key() == key(architecture="toys:line")


def test_a_whole_number_for_a_float_changes_no_key(key):
    assert key(lr=1) == key(lr=1.0)


def test_a_partial_is_keyed_by_what_it_holds(key):
    narrow, wide = functools.partial(Line, width=2), functools.partial(Line, width=3)
    assert key(architecture=narrow) == key(architecture=use(Line, width=2)) != key(architecture=wide)


def test_an_object_that_cannot_be_told_from_another_is_refused(catalog):
    with pytest.raises(StudyError, match="expected a component's name"):
        checked(experiment(loss=nn.MSELoss()), catalog)


# --- source -----------------------------------------------------------------------------------------------------------

SOURCE = '''"""A model."""
import torch


class Model(torch.nn.Module):
    """A linear model."""

    def __init__(self, features: int) -> None:
        super().__init__()  # as always
        self.layer = torch.nn.Linear(features, 1)
'''
SAME = {
    "comment": SOURCE.replace("# as always", "# as ever"),
    "layout": SOURCE.replace("super().__init__()", "(\n            super()\n            .__init__()\n        )"),
    "docstring": SOURCE.replace("A linear model", "The plainest model"),
    "no docstring": SOURCE.replace('    """A linear model."""\n\n', ""),
}
OTHER = {
    "number": SOURCE.replace("features, 1", "features, 2"),
    "name": SOURCE.replace("self.layer", "self.linear"),
    "import": SOURCE.replace("import torch\n", "import torch\nimport math\n"),
}


@pytest.mark.parametrize("name", SAME)
def test_comments_layout_and_docstrings_do_not_count(name):
    assert tree_fingerprint(SAME[name]) == tree_fingerprint(SOURCE)


@pytest.mark.parametrize("name", OTHER)
def test_what_a_source_says_counts(name):
    assert tree_fingerprint(OTHER[name]) != tree_fingerprint(SOURCE)


@pytest.fixture
def package(tmp_path, monkeypatch, catalog):
    """The key with the architecture from a package, or from a single module, of this source."""
    monkeypatch.syspath_prepend(tmp_path)
    number = itertools.count()

    def key(source: str, module: str = "package.models", helper: str = "x = 1\n") -> str:
        _write(tmp_path, module, source, helper)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("package", "single")]:
            monkeypatch.delitem(sys.modules, name)
        plugin = plugin_module(lab_architectures={f"model{next(number)}": f"{module}:Model"})
        catalog.add_module(plugin, f"plugin{next(number)}")
        name = next(iter(plugin.lab_architectures()))
        return str(code_of(checked(experiment(architecture=name), catalog)))

    return key


def _write(root: Path, module: str, source: str, helper: str) -> None:
    path = root / (module.replace(".", "/") + ".py")
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    if path.parent != root:
        (path.parent / "__init__.py").touch()
        (path.parent / "helper.py").write_text(helper)
    sys.path_importer_cache.clear()
    sys.dont_write_bytecode = True


@pytest.mark.parametrize("module", ["package.models", "single"])
def test_the_source_of_a_component_is_part_of_the_key(package, module):
    assert package(SOURCE, module) == package(SAME["comment"], module) != package(OTHER["number"], module)


def test_a_module_that_a_component_imports_is_part_of_the_key(package):
    source = SOURCE.replace("import torch\n", "import torch\nfrom package.helper import x\n")
    assert package(source, helper="x = 1  # one\n") == package(source) != package(source, helper="x = 2\n")


def test_a_module_beside_it_that_a_component_does_not_import_is_not_part_of_the_key(package):
    assert package(SOURCE) == package(SOURCE, helper="x = 2\n")


def test_the_package_of_a_component_that_its_parent_calls_is_part_of_the_key(catalog, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sails_of_others").mkdir()
    source = "from tests.kernel.toys import Part\nclass Silk(Part):\n    def __init__(self, width): pass\n"
    (tmp_path / "sails_of_others" / "__init__.py").write_text(source)
    catalog.add_module(carts_plugin(), "carts")
    catalog.add_module(plugin_module(lab_parts={"silk": "sails_of_others:Silk"}), "others")
    resolved = checked(experiment(architecture=use("cart", sail="silk")), catalog)
    assert "sails_of_others" in code_of(resolved)
    assert "sails_of_others" not in code_of(checked(experiment(architecture="cart"), catalog))


def test_the_kernel_is_part_of_the_key_and_torch_by_its_version(catalog):
    assert "lab" in code_of(checked(experiment(architecture=use(nn.Linear, in_features=2, out_features=1)), catalog))
    assert not any(name.startswith("torch") for name in code_of(checked(experiment(), catalog)))


# --- definitions in the study file ------------------------------------------------------------------------------------

STUDY = '''"""Mine against theirs."""
import torch
from lab import Experiment, Study, use

WIDTH = 3
UNUSED = 1


def make_layer(features):
    return torch.nn.Linear(features, WIDTH)


class Mine(torch.nn.Module):
    """Mine."""

    def __init__(self, features: int):
        super().__init__()
        self.layer = make_layer(features)


base = Experiment(dataset="points", architecture=Mine, loss="squared")
study = Study(base, seeds=2)
'''


@pytest.fixture
def local_key(catalog, tmp_path):
    def local_key(text: str) -> str:
        import linecache

        path = tmp_path / "local_study.py"
        path.write_text(text)
        linecache.clearcache()
        return key_of(load_study(path).resolve(catalog)[0].experiment, 0, "data", "cpu")

    return local_key


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds=2)", "seeds=5).swap('lr', [0.1])"),
        ('"""Mine."""', '"""My own."""'),
        ("import torch\n", "import torch  # the library\n"),
        ("UNUSED = 1", "UNUSED = 2"),
        ("WIDTH = 3\n", "WIDTH = 3\n\n\ndef another():\n    return UNUSED\n"),
    ],
)
def test_a_study_file_may_grow_without_changing_the_key_of_its_own_component(local_key, old, new):
    assert local_key(STUDY) == local_key(STUDY.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.layer = make_layer(features)", "self.layer = make_layer(features).double()"),
        ("torch.nn.Linear(features, WIDTH)", "torch.nn.Linear(features, WIDTH, bias=False)"),
        ("WIDTH = 3", "WIDTH = 4"),
    ],
)
def test_whatever_a_local_component_uses_from_its_file_is_part_of_the_key(local_key, old, new):
    assert local_key(STUDY) != local_key(STUDY.replace(old, new))


def test_a_lambda_is_keyed_by_itself(local_key):
    text = STUDY.replace("architecture=Mine", "architecture=lambda features: torch.nn.Linear(features, 2)")
    assert local_key(text) == local_key(text.replace("seeds=2", "seeds=4"))
    assert local_key(text) == local_key(text.replace('"squared")', '"squared", epochs=1)'))
    assert local_key(text) != local_key(text.replace("features, 2", "features, 3"))


def test_a_definition_inside_a_function_is_keyed_by_the_function(local_key):
    inner = "def make():\n    class Inner(Mine):\n        pass\n\n    return Inner\n\n\nbase ="
    text = STUDY.replace("base =", inner).replace("architecture=Mine", "architecture=make()")
    assert local_key(text) != local_key(text.replace("WIDTH = 3", "WIDTH = 4"))


def test_a_class_that_a_function_makes_counts_with_the_classes_it_is_given(local_key):
    inner = "def make(kind):\n    class Inner(Mine):\n        act = kind\n\n    return Inner\n\n\nbase ="
    text = STUDY.replace("base =", inner).replace("architecture=Mine", "architecture=make(torch.nn.ReLU)")
    assert local_key(text) != local_key(text.replace("make(torch.nn.ReLU)", "make(torch.nn.Tanh)"))


def test_an_experiment_counts_only_if_a_component_reads_it(local_key):
    other = "other = Experiment(dataset='points', architecture='mlp', loss='squared', lr=0.5)\nbase ="
    unread = STUDY.replace("base =", other)
    read = unread.replace("features, WIDTH)", "features, int(WIDTH * other.lr))")
    assert local_key(unread) == local_key(unread.replace("lr=0.5", "lr=3.0"))
    assert local_key(read) != local_key(read.replace("lr=0.5", "lr=3.0"))
    # more seeds and arms of the study that is asked make no new key, also where a variable has its name
    named = STUDY.replace(
        "return torch.nn.Linear(features, WIDTH)", "study = WIDTH\n    return torch.nn.Linear(features, study)"
    )
    assert local_key(named) == local_key(named.replace("seeds=2)", "seeds=5).swap('lr', [0.1])"))


def test_a_definition_typed_at_a_prompt_counts_with_what_it_does():
    def typed(body: str, **others: int) -> str:
        scope = {"__name__": "__main__", **others}
        exec(f"def typed(features):\n    return {body}\n", scope)
        return origin_of(scope["typed"])

    assert typed("features") == typed("(features)")
    assert len({typed("features"), typed("-features"), typed("SIZE", SIZE=1), typed("SIZE", SIZE=2)}) == 4


def test_a_file_beside_the_study_is_part_of_the_key_of_what_uses_it(local_key, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = STUDY.replace("WIDTH = 3", "from beside import WIDTH")

    def beside(content: str) -> str:
        monkeypatch.delitem(sys.modules, "beside", raising=False)
        (tmp_path / "beside.py").write_text(content)
        return local_key(text)

    assert beside("WIDTH = 3\n") == beside("WIDTH = 3  # three\n") != beside("WIDTH = 4\n")
