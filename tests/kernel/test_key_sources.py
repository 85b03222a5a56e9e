"""Sources in keys: whatever was imported and may change a number gives another key, whatever cannot gives none."""

from __future__ import annotations

import importlib
import itertools
import os
import py_compile
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.registry.definition import origin_of, state_digest, value_digest
from lab.study.keys import changed_sources, key_of, local_sources
from lab.study.load import load_study

STUDY = """
import functools
import torch
from lab import Experiment, Study, use

SCALE = 2
CONFIG = {"scale": 2}


class Net(torch.nn.Module):
    scale = 1

    def __init__(self, features: int, *, act=None):
        super().__init__()
        self.layer = torch.nn.Linear(features, 1)

    def forward(self, inputs):
        return self.layer(inputs) * SCALE * CONFIG["scale"] * self.scale


# here
base = Experiment(dataset="points", architecture=Net, loss="squared")
study = Study(base, seeds=2)
"""

_numbers = itertools.count()


@pytest.fixture
def keys(catalog, tmp_path, monkeypatch):
    """Keys of the arms of a study, as a new process would compute them: ``keys(text, helper="x = 1")``."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / f"folder{next(_numbers)}"
    folder.mkdir()

    def keys(text: str = STUDY, **modules: str) -> dict[str, str]:
        _forget(folder)
        for name, content in {"study": text, **modules}.items():
            path = folder / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(content))
        return {arm.name: key_of(arm.experiment, 0, "data", "cpu") for arm in _arms(folder, catalog)}

    yield keys
    _forget(folder)


def _arms(folder: Path, catalog):
    return load_study(folder / "study.py", catalog).resolve(catalog)


def _forget(folder: Path) -> None:
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def after(mark: str, addition: str) -> str:
    return STUDY.replace(mark, f"{mark}\n{textwrap.dedent(addition)}")


# --- two arms, two keys -----------------------------------------------------------------------------------------------

FACTORY = """
from functools import partial


def smoothed(eps):
    def loss(output, target):
        return (output - target).abs().mean() + eps

    return loss


def make(factor):
    class Made(Net):
        def forward(self, inputs):
            return super().forward(inputs) * factor

    return Made


class Act:
    def __init__(self, slope):
        self.slope = slope

    def act(self, inputs):
        return inputs * self.slope


def wrapped(factor):
    def decorate(function):
        @functools.wraps(function)
        def inner(*arguments):
            return function(*arguments) * factor

        return inner

    return decorate


def plain(output, target):
    return (output - target).abs().mean()
"""


@pytest.mark.parametrize(
    "arms",
    [
        "swap('loss', {'a': smoothed(0.1), 'b': smoothed(0.9)})",
        "swap('architecture', {'a': make(1.0), 'b': make(3.0)})",
        "swap('architecture', {'a': use(Net, act=Act(1.0).act), 'b': use(Net, act=Act(2.0).act)})",
        "swap('loss', {'a': wrapped(1.0)(plain), 'b': wrapped(2.0)(plain)})",
        "swap('loss', {'a': lambda o, t: (o - t).abs().mean(), 'b': lambda o, t: (o - t).square().mean()})",
        "swap('loss', {'a': functools.partial(plain), 'b': functools.partial(smoothed(0.5))})",
        "swap('architecture', {'a': use(Net, act=partial(max, 1)), 'b': use(Net, act=partial(max, 2))})",
        "swap('architecture', {'a': type('N', (Net,), {'scale': 1}), 'b': type('N', (Net,), {'scale': 2})})",
        "swap('loss', {'a': Act(1.0).act, 'b': Act(2.0).act})",
    ],
)
def test_definitions_of_one_name_that_hold_other_things_have_other_keys(keys, arms):
    text = after("# here", FACTORY).replace("seeds=2)", f"seeds=2).{arms}")
    found = keys(text)
    assert len({found["a"], found["b"], found["base"]}) == 3
    assert keys(text) == found


def test_what_cannot_be_written_down_is_refused(keys):
    text = after(
        "# here", "import threading\nlock = threading.Lock()\n\n\ndef held(lock):\n    return lambda o, t: lock\n"
    )
    with pytest.raises(LabError, match="cannot be written down"):
        keys(text.replace('loss="squared"', "loss=held(lock)"))


# --- edits of the study file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addition",
    [
        "SCALE = SCALE * 2",
        "SCALE += 1",
        "CONFIG['scale'] = 1",
        "CONFIG.update(scale=3)",
        "Net.scale = 4",
        "Net.forward = lambda self, inputs: self.layer(inputs)",
        "for CONFIG['scale'] in (1, 2):\n    pass",
        "def double(kind):\n    kind.scale = 2\n    return kind\n\n\nNet = double(Net)",
        "def _set():\n    global SCALE\n    SCALE = 5\n\n\n_set()",
        "del CONFIG['scale']",
        "setattr(Net, 'sca' + 'le', 7)",
        "globals()['SCALE'] = 3",
        "HIDDEN = 3\n\n\ndef find():\n    import sys\n\n    return getattr(sys.modules[__name__], 'HID' + 'DEN')",
        "HIDDEN = 3\n\n\ndef find():\n    from importlib import import_module as own\n\n    return own(__name__)",
        "HIDDEN = 3\n\n\ndef find():\n    return find.__globals__['HID' + 'DEN']",
        "torch.backends.mkldnn.flags(enabled=False)",
    ],
)
def test_every_statement_of_the_study_file_counts_that_may_change_a_component(keys, addition):
    assert keys(after("# here", addition)) != keys()


@pytest.mark.parametrize(
    ("before", "later"),
    [
        ("try:\n    def helper():\n        return 1\nexcept ImportError:\n    pass", "return 1"),
        ("if True:\n    HELP = 1\nelse:\n    HELP = 2", "HELP = 1"),
        ("with torch.no_grad():\n    HELP = torch.ones(1)", "torch.ones(1)"),
    ],
)
def test_a_definition_inside_another_statement_counts(keys, before, later):
    text = after("# here", before)
    assert keys(text) != keys(text.replace(later, later.replace("1", "3")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("study = Study(base, seeds=2)", "study = Study(base, seeds=5)\nstudy = study.swap('lr', {'fast': 0.1})"),
        (
            "study = Study(base, seeds=2)",
            "for rate in (0.1, 0.2):\n    other = Study(base, seeds=1)\nstudy = Study(base)",
        ),
        ("# here", "RATES = [0.1, 0.2]"),
        ("# here", "def unused(x):\n    return x"),
        ("# here", "class Unused(torch.nn.Module):\n    def forward(self, x):\n        return x"),
        ("# here", "if __name__ == '__main__':\n    Study(base).run()" if False else "# there"),
        ("class Net(torch", "class Net(  # the net\n    torch"),
    ],
)
def test_what_only_asks_or_is_used_by_nothing_gives_no_new_key(keys, old, new):
    assert keys(STUDY.replace(old, new))["base"] == keys()["base"]


def test_a_study_file_may_be_renamed(keys, catalog):
    before = keys()
    folder = Path(sys.modules[next(n for n in sys.modules if n.startswith("lab_experiment_study"))].__file__).parent
    (folder / "study.py").rename(folder / "question.py")
    arms = load_study(folder / "question.py", catalog).resolve(catalog)
    assert {arm.name: key_of(arm.experiment, 0, "data", "cpu") for arm in arms} == before


def test_two_study_files_of_one_name_keep_their_own_sources(catalog, tmp_path):
    arms = []
    for folder, scale in (("a", 2), ("b", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "q.py").write_text(STUDY.replace("SCALE = 2", f"SCALE = {scale}"))
        arms.append(load_study(tmp_path / folder / "q.py", catalog).resolve(catalog)[0])
    first, second = (key_of(arm.experiment, 0, "data", "cpu") for arm in arms)
    assert first != second


# --- files beside it --------------------------------------------------------------------------------------------------

USING = STUDY.replace("SCALE = 2", "from models import SCALE")


@pytest.mark.parametrize(
    ("models", "changed"),
    [
        ({"models": "SCALE = 2"}, {"models": "SCALE = 3"}),
        ({"models": "from layers import SCALE", "layers": "SCALE = 2"}, {"layers": "SCALE = 3"}),
        ({"models": "from layers import *", "layers": "SCALE = 2"}, {"layers": "SCALE = 3"}),
        (
            {"models": "import layers\nSCALE = layers.x", "layers": "from deep import x", "deep": "x = 2"},
            {"deep": "x = 3"},
        ),
        ({"models": "from parts.one import SCALE", "parts__one": "SCALE = 2"}, {"parts__one": "SCALE = 3"}),
        (
            {
                "models": "from parts.one import SCALE",
                "parts__one": "from . import two\nSCALE = two.x",
                "parts__two": "x = 2",
            },
            {"parts__two": "x = 3"},
        ),
        (
            {
                "models": "from parts.one import SCALE",
                "parts__one": "from .two import x as SCALE",
                "parts__two": "x = 2",
            },
            {"parts__two": "x = 3"},
        ),
        ({"models": "def f():\n    import layers\nSCALE = 2", "layers": "x = 2"}, {"layers": "x = 3"}),
        (
            {"models": "import importlib\nSCALE = importlib.import_module('layers').x", "layers": "x = 2"},
            {"layers": "x = 3"},
        ),
        (
            {"models": "import importlib\nSCALE = importlib.import_module('lay' + 'ers').x", "layers": "x = 2"},
            {"layers": "x = 3"},
        ),
        *(
            (
                {"models": "from parts.one import SCALE", "parts__one": one, "parts__two": "x = 2"},
                {"parts__two": "x = 3"},
            )
            for one in (
                "from importlib import import_module\nSCALE = import_module('.two', 'parts').x",
                "from importlib import import_module\nSCALE = import_module('.two', __package__).x",
                "from importlib import import_module as load\nSCALE = load('parts.two').x",
                "import importlib\nload = importlib.import_module\nSCALE = load('parts.two').x",
                "import pkgutil\nSCALE = pkgutil.resolve_name('parts.two:x')",
                "import runpy\nSCALE = runpy.run_module('parts.two')['x']",
            )
        ),
    ],
)
def test_every_module_that_the_study_imports_counts_however_deep(keys, models, changed):
    assert keys(USING, **models) != keys(USING, **{**models, **changed})
    assert keys(USING, **models) == keys(USING, **models)


def test_a_loader_in_one_package_may_import_from_another(keys):
    loader = {"utils__loader": "import importlib\ndef get(name): return importlib.import_module('mods.' + name)"}
    study = STUDY.replace("SCALE = 2", "from utils.loader import get\nSCALE = get('x').V")
    assert keys(study, **loader, mods__x="V = 2") != keys(study, **loader, mods__x="V = 3")
    assert keys(study, **loader, mods__x="V = 3") == keys(study, **loader, mods__x="V = 3  # three")


def test_too_many_modules_for_a_computed_name_are_refused(keys, monkeypatch):
    monkeypatch.setattr("lab.registry.closure.MAX_FILES_BESIDE", 3)
    models = "import importlib\nSCALE = importlib.import_module('lay' + 'ers').x"
    with pytest.raises(LabError, match="imports by names that it computes, and any of more than 3 modules may be"):
        keys(USING, models=models, layers="x = 2", a="", b="", c="")


# what only the study imports, and what a module of its own component reads
APART = """
    import torch
    import shared


    class Mine(torch.nn.Linear):
        def __init__(self, features: int):
            super().__init__(features, int(shared.SCALE))
"""
FROM_APART = STUDY.replace("# here", "import other\nfrom apart import Mine").replace("=Net,", "=Mine,")


@pytest.mark.parametrize(
    "other",
    [
        "import shared\nshared.SCALE = 2",
        "import shared\nshared.SCALE += 2",
        "import shared\nsetattr(shared, 'SCALE', 2)",
        "import shared\nshared.TABLE['scale'] = 2",
        "import shared\nshared.TABLE.update(scale=2)",
        "import shared\nfor name in ['SCALE']:\n    vars(shared)[name] = 2",
        "import shared\ntry:\n    shared.change(2)\nfinally:\n    pass",
        "import shared\nSTATE = shared.change(2)",
        "import shared\n@shared.change\ndef scale(): return 2",
        "import shared\nclass Scale(shared.Base): value = 2",
        "def change():\n    import shared\n    shared.SCALE = 2\nSTATE = change()",
    ],
)
def test_a_module_that_only_the_study_imports_counts_if_it_may_change_another(keys, other):
    shared = """
        SCALE = 1
        TABLE = {}


        class Base:
            def __init_subclass__(cls):
                TABLE[cls.__name__] = cls


        def change(value):
            global SCALE
            SCALE = value if isinstance(value, int) else 1
            return value
    """
    modules = {"apart": APART, "shared": shared}
    assert keys(FROM_APART, **modules, other=other) != keys(FROM_APART, **modules, other=other.replace("2", "3"))
    assert keys(FROM_APART, **modules, other=other) == keys(FROM_APART, **modules, other=other + "  # two")


def test_a_module_of_another_arm_that_only_defines_does_not_count(keys):
    other = """
        import math
        from dataclasses import dataclass

        import torch

        WIDTH = math.prod([2, 3])
        print("other")


        @dataclass
        class Settings:
            width: int = 2


        class Other(torch.nn.Linear):
            def forward(self, inputs):
                self.seen = 1
                return inputs


        if __name__ == "__main__":
            Settings().width = 5
    """
    modules = {"apart": APART, "shared": "SCALE = 1"}
    assert keys(FROM_APART, **modules, other=other) == keys(FROM_APART, **modules, other=other.replace("1", "2"))


def test_what_a_study_file_sets_in_another_module_counts(keys):
    study = FROM_APART.replace("import other", "import shared\nshared.SCALE = 2")
    modules = {"apart": APART, "shared": "SCALE = 1"}
    assert keys(study, **modules) != keys(study.replace("shared.SCALE = 2", "shared.SCALE = 3"), **modules)


def test_a_module_that_nothing_imports_does_not_count(keys):
    assert keys(USING, models="SCALE = 2", other="x = 1") == keys(USING, models="SCALE = 2", other="x = 2")


def test_a_function_of_another_file_that_is_a_parameter_counts(keys):
    text = STUDY.replace("SCALE = 2", "SCALE = 2\nimport acts").replace("=Net,", "=use(Net, act=acts.act),")
    one, other = (keys(text, acts=f"def act(x):\n    return x * {factor}") for factor in (2, 3))
    assert one != other


def test_a_class_of_another_file_counts_with_what_it_uses_there(keys):
    text = STUDY.replace("# here", "from mine import Mine").replace("architecture=Net", "architecture=Mine")
    mine = """
        import torch
        W = 1


        class Mine(torch.nn.Linear):
            def __init__(self, features: int):
                super().__init__(features, W)
    """
    assert keys(text, mine=mine) != keys(text, mine=mine.replace("W = 1", "W = 2"))


# --- surroundings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", ["os.environ['MY_SCALE']", "os.environ.get('MY_SCALE')", "os.getenv('MY_SCALE', '1')"])
def test_an_environment_variable_that_a_component_reads_counts(keys, monkeypatch, read):
    text = STUDY.replace("SCALE = 2", f"import os\nSCALE = int({read})")
    monkeypatch.setenv("MY_SCALE", "2")
    first = keys(text)
    assert keys(text) == first
    monkeypatch.setenv("MY_SCALE", "3")
    assert keys(text) != first


@pytest.mark.parametrize(
    "module",
    [
        "from os import environ as e\nSCALE = int(e['MY_SCALE'])",
        "import os\nNAME = 'MY_SCALE'\nSCALE = int(os.environ[NAME])",
        "import os\nSCALE = {k: int(v) for k, v in os.environ.items() if k.startswith('MY_')}['MY_SCALE']",
        "from os import getenv as g\ndef read(name): return int(g(f'MY_{name}'))\nSCALE = read('SCALE')",
        "from texts import of\nSCALE = of('MY_SCALE')",
        "import os\nSCALE = 2 if 'MY_SCALE' in os.environ else 1",
    ],
)
def test_an_environment_variable_counts_however_its_name_is_given(keys, monkeypatch, module):
    texts = "import os\ndef of(name): return int(os.environ[name])"
    monkeypatch.setenv("MY_SCALE", "2")
    first = keys(USING, models=module, texts=texts)
    monkeypatch.setenv("OTHER", "2")
    assert keys(USING, models=module, texts=texts) == first
    monkeypatch.setenv("MY_SCALE", "3")
    assert keys(USING, models=module, texts=texts) != first


def test_a_variable_that_a_module_takes_out_of_the_environment_counts(keys, monkeypatch):
    models = "import os\nSCALE = int(os.environ.pop('MY_SCALE'))"
    monkeypatch.setenv("MY_SCALE", "2")
    first = keys(USING, models=models)
    monkeypatch.setenv("MY_SCALE", "3")
    assert keys(USING, models=models) != first


@pytest.mark.parametrize(
    "read",
    [
        "runpy.run_path({0!r})['SCALE']",
        "SourceFileLoader('other', {0!r}).load_module().SCALE",
        "loaded({0!r}).SCALE",
        "executed(os.open({0!r}, os.O_RDONLY))",
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_source_that_is_run_without_an_import_counts_with_what_it_imports(keys, tmp_path, read):
    models = f"""
        import importlib.util
        import os
        import runpy
        from importlib.machinery import SourceFileLoader

        def loaded(path):
            spec = importlib.util.spec_from_file_location("other", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module

        def executed(file):
            names = {{}}
            exec(os.read(file, 10_000), names)
            return names["SCALE"]

        SCALE = {read.format(str(tmp_path / "defs.py"))}
    """
    (tmp_path / "defs.py").write_text("from texts import SCALE")
    first = keys(USING, models=models, texts="SCALE = 2")
    (tmp_path / "defs.py").write_text("from texts import SCALE  # a comment")
    assert keys(USING, models=models, texts="SCALE = 2") == first
    assert keys(USING, models=models, texts="SCALE = 3") != first
    (tmp_path / "defs.py").write_text("SCALE = 2")
    assert keys(USING, models=models, texts="SCALE = 2") != first


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "read",
    [
        "json.load(open({0!r}))",
        "pathlib.Path({0!r}).read_text()",
        "numpy.loadtxt({0!r})",
        "os.read(os.open({0!r}, os.O_RDONLY), 9)",
    ],
)
def test_a_file_that_is_read_at_import_counts(keys, tmp_path, read):
    (tmp_path / "scale.txt").write_text("2")
    reading = read.format(str(tmp_path / "scale.txt"))
    models = f"import json\nimport os\nimport pathlib\nimport numpy\nSCALE = float({reading})"
    first = keys(USING, models=models)
    assert keys(USING, models=models) == first
    (tmp_path / "scale.txt").write_text("3")
    assert keys(USING, models=models) != first


@pytest.mark.parametrize(
    "given", ["{0!r}", "[{0!r}]", "{{'w': {0!r}}}", "pathlib.Path({0!r})", "[pathlib.Path({0!r})]"]
)
def test_the_content_of_a_file_counts_however_its_name_is_given_and_not_where_it_lies(keys, tmp_path, given):
    def text(path: Path) -> str:
        value = given.format(str(path))
        return STUDY.replace("import torch\n", "import pathlib\nimport torch\n").replace(
            "=Net,", f"=use(Net, act={value}),"
        )

    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("1")
    second.write_text("1")
    same = keys(text(first))
    assert keys(text(second)) == same
    second.write_text("2")
    assert keys(text(second)) != same


@pytest.mark.parametrize(
    "given", ["{{{0!r}}}", "functools.partial(act, path={0!r})", "reading({0!r})", "[functools.partial(act, {0!r})]"]
)
def test_a_file_counts_whatever_holds_its_name(keys, tmp_path, given):
    definitions = """
        def act(x, path=""): return x
        def reading(path): return lambda x: x * float(open(path).read())
    """
    text = after("# here", definitions).replace(
        "architecture=Net", f"architecture=use(Net, act={given.format(str(tmp_path / 'w.txt'))})"
    )
    (tmp_path / "w.txt").write_text("2")
    first = keys(text)
    assert keys(text) == first
    (tmp_path / "w.txt").write_text("3")
    assert keys(text) != first


def test_attributes_of_functions_that_a_factory_makes_are_told_apart():
    def made(scale):
        def act(x):
            return x * act.scale

        act.scale = scale
        return act

    assert state_digest(made(1)) == state_digest(made(1)) != state_digest(made(2))


def test_the_content_of_a_folder_counts_and_not_where_it_lies(keys, tmp_path):
    def text(path: Path) -> str:
        value = f"pathlib.Path({str(path)!r})"
        return STUDY.replace("import torch\n", "import pathlib\nimport torch\n").replace(
            "=Net,", f"=use(Net, act={value}),"
        )

    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "w.txt").write_text("1")
    same = keys(text(tmp_path / "one"))
    assert keys(text(tmp_path / "two")) == same
    (tmp_path / "two" / "deep" / "w.txt").write_text("2")
    assert keys(text(tmp_path / "two")) != same


def test_what_a_callback_writes_into_its_folder_is_no_part_of_the_key(keys, tmp_path):
    keeping = (
        "\n\nfrom lab import Callback\n\n\nclass Keeping(Callback):\n    def __init__(self, *, place):\n        pass\n"
    )
    text = after("# here", keeping).replace("seeds=2)", "seeds=2)  # end")
    text = text.replace('loss="squared"', f'loss="squared", callbacks=[use(Keeping, place={str(tmp_path)!r})]')
    first = keys(text)
    (tmp_path / "written.txt").write_text("1")
    assert keys(text) == first


def test_what_a_star_import_takes_counts(keys):
    modules = {"one": "scale = 1\n", "two": "__all__ = ['other']\nscale = 2\nother = 3\n"}
    text = after("# here", "from one import *\nfrom two import *\nNet.scale = scale")
    first = keys(text, **modules)
    assert keys(text, **{**modules, "two": modules["two"].replace("'other'", "'scale'")}) != first


def test_a_text_that_is_raised_to_be_caught_counts_and_the_words_of_an_error_do_not(keys):
    raised = """
        class Found(Exception):
            pass


        def find():
            raise Found("gelu")


        def check():
            raise ValueError("a scale must be positive")


        try:
            find()
        except Found as found:
            Net.scale = len(found.args[0])
    """
    text = after("# here", raised)
    first = keys(text)
    assert keys(text.replace('"gelu"', '"relu6"')) != first
    assert keys(text.replace("must be positive", "is above 0")) == first


def test_a_name_that_a_question_binds_besides_counts(keys):
    text = STUDY.replace("seeds=2)", "seeds=(SCALE := 3))")
    assert keys(text) != keys(text.replace("3", "4"))


OWN_STUDY = """
class Study:
    def __init__(self, scale):
        Net.scale = scale


made = Study(2)
import lab
from lab import Study as Asked
"""


def test_a_class_of_ones_own_called_study_is_no_question(keys):
    text = after("# here", OWN_STUDY).replace("study = Study(", "study = Asked(").replace("seeds=2", "seeds=5")
    assert keys(text) != keys(text.replace("Study(2)", "Study(3)"))
    assert keys(text) == keys(text.replace("seeds=5", "seeds=6"))


def test_a_function_of_ones_own_may_do_anything_whatever_its_name(keys):
    logged = "def log(scale):\n    Net.scale = scale\n\n\nunread = log(2)\n"
    text = after("# here", logged)
    assert keys(text) != keys(text.replace("log(2)", "log(3)"))


@pytest.mark.parametrize("call", ["lab.Study", "lab.study.study.Study", "short.Study"])
def test_a_study_is_a_question_however_it_is_imported(keys, call):
    text = after("# here", "import lab\nimport lab.study.study\nimport lab as short").replace("= Study(", f"= {call}(")
    assert keys(text) == keys(text.replace("seeds=2", "seeds=3"))


@pytest.mark.parametrize("place", ["$SCALE_OF_NET", "a/${SCALE_OF_NET}/b", "%SCALE_OF_NET%"])
def test_a_variable_that_is_expanded_in_a_text_counts(keys, monkeypatch, place):
    text = after("# here", f"import os\nNet.scale = len(os.path.expandvars({place!r}))")
    monkeypatch.setenv("SCALE_OF_NET", "1")
    first = keys(text)
    monkeypatch.setenv("SCALE_OF_NET", "22")
    assert keys(text) != first


def test_a_set_is_the_same_in_every_process():
    from lab.registry.values import to_plain

    assert to_plain({"b", "a", "c"}) == ["a", "b", "c"]
    assert to_plain(frozenset({3, 20, 1})) == [1, 20, 3]


# --- as it was imported -----------------------------------------------------------------------------------------------


def test_a_file_that_changed_after_its_import_is_told_and_does_not_change_the_key(keys, catalog):
    before = keys(USING, models="SCALE = 2")
    folder = Path(sys.modules["models"].__file__).parent
    arm = _arms(folder, catalog)[0]
    (folder / "models.py").write_text("SCALE = 33")
    assert key_of(arm.experiment, 0, "data", "cpu") == before["base"]
    (told,) = changed_sources(arm.experiment)
    assert "models.py was changed after it was imported" in str(told)


def test_a_module_that_was_reloaded_has_its_new_source(keys, catalog):
    import importlib

    before = keys(USING, models="SCALE = 2")
    folder = Path(sys.modules["models"].__file__).parent
    (folder / "models.py").write_text("SCALE = 33")
    importlib.reload(sys.modules["models"])
    arm = _arms(folder, catalog)[0]
    assert key_of(arm.experiment, 0, "data", "cpu") != before["base"]
    assert changed_sources(arm.experiment) == []


def test_an_edit_within_the_same_second_and_of_the_same_size_is_seen(keys, catalog):
    keys(USING, models="SCALE = 2")
    folder = Path(sys.modules["models"].__file__).parent
    state = (folder / "models.py").stat()
    (folder / "models.py").write_text("SCALE = 3")
    os.utime(folder / "models.py", ns=(state.st_atime_ns, state.st_mtime_ns))
    _forget(folder)
    module = sys.modules[_arms(folder, catalog)[0].experiment.component("architecture").factory.__module__]
    assert module.SCALE == 3


def test_the_sources_of_the_user_are_the_study_file_and_what_it_imports(keys, catalog):
    keys(USING, models="from layers import SCALE", layers="SCALE = 2")
    folder = Path(sys.modules["models"].__file__).parent
    found = local_sources(_arms(folder, catalog)[0].experiment)
    assert {source.name: source.path.name for source in found if not source.name.startswith("tests.")} == {
        "study.py": "study.py",
        "models": "models.py",
        "layers": "layers.py",
    }


# --- packages ---------------------------------------------------------------------------------------------------------


def test_the_version_of_a_library_that_a_component_imports_counts(keys, monkeypatch):
    from lab.study import keys as keys_module

    text = STUDY.replace("import torch\n", "import torch\nimport scipy\n")
    first = keys(text)
    monkeypatch.setattr(keys_module, "_version_of", lambda package: ((package, "99"),))
    assert keys(text) != first


def test_a_partial_that_a_plugin_registers_is_keyed_by_its_arguments():
    import functools

    one, other = (functools.partial(max, value) for value in (1, 2))
    assert state_digest(one) != state_digest(other)
    assert origin_of(one) != origin_of(other)


def test_a_hook_of_the_study_that_runs_before_training_counts(catalog, tmp_path):
    hooked = "from lab import hookimpl\n\n\n@hookimpl\ndef lab_run_started(run):\n    torch.ones(1)\n"

    def key(text: str) -> str:
        (tmp_path / "hooked.py").write_text(text)
        experiment = load_study(tmp_path / "hooked.py", catalog).resolve(catalog)[0].experiment
        return key_of(experiment, 0, "data", "cpu", catalog=catalog)

    text = STUDY.replace("architecture=Net", "architecture='line'")
    plain, one, two = key(text), key(text + hooked), key(text + hooked.replace("ones(1)", "ones(2)"))
    assert len({plain, one, two}) == 3


def test_two_studies_have_each_their_own_module_of_one_name(catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    arms = []
    for folder, scale in (("a", 2), ("b", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "namesake_of_both.py").write_text(
            f"import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return {scale} * x\n"
        )
        text = STUDY.replace("SCALE = 2", "from namesake_of_both import Net as Own").replace("=Net,", "=Own,")
        (tmp_path / folder / "q.py").write_text(text)
        arms.append(load_study(tmp_path / folder / "q.py", catalog).resolve(catalog)[0])
    first, second = (arm.experiment.component("architecture").factory() for arm in arms)
    assert (first(1), second(1)) == (2, 3)
    assert key_of(arms[1].experiment, 0, "data", "cpu")
    with pytest.raises(LabError, match="'namesake_of_both' is another module by now"):
        key_of(arms[0].experiment, 0, "data", "cpu")
    _forget(tmp_path)


def test_the_name_under_which_a_study_file_is_imported_is_no_part_of_what_a_value_holds():
    made = [type("Held", (), {"__module__": f"lab_experiment_study_{number}"})() for number in (1, 2)]
    for each in made:
        each.value = 1
    assert len({value_digest(each) for each in made}) == 1


@pytest.mark.parametrize("is_edited", [False, True])
def test_an_old_compiled_file_is_a_change_only_if_its_source_is_younger_than_the_process(
    tmp_path, monkeypatch, is_edited
):
    """Where Python may not write its cache (``PYTHONDONTWRITEBYTECODE``), it leaves an old one and reads the source."""
    from lab.registry import modules

    path = tmp_path / "stale_helper.py"
    path.write_text("SCALE = 1\n")
    py_compile.compile(str(path))
    path.write_text("SCALE = 22\n")
    if not is_edited:
        os.utime(path, (1_000_000_000, 1_000_000_000))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "stale_helper", raising=False)
    assert importlib.import_module("stale_helper").SCALE == 22
    # As if it had been imported before lab watched imports.
    monkeypatch.setattr(modules, "_kept", {})
    with pytest.raises(LabError, match="changed after it was imported") if is_edited else nullcontext():
        assert modules.source_of_module("stale_helper").text == "SCALE = 22\n"
