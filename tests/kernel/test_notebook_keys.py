"""Definitions of a notebook's cells: keys that count all that they read, and learners that load again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import lab
from lab import Experiment, LabError, Study, use
from lab.registry.definition import modules_of, origin_of

Cell = Callable[[str], ModuleType]


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    """Run cells as a notebook does: in a main module that has no file."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)

    def run(source: str) -> ModuleType:
        exec(compile(source, "<cell>", "exec"), vars(main))
        return main

    return run


TRAIN = "def train(*, lr=1.0, run=None):\n    return {'score': helper(lr)}\n"
HELPER = "STEP = 1\ndef helper(x):\n    return x + STEP\n"


@pytest.mark.parametrize(
    "change",
    [
        "def helper(x):\n    return x + 2 * STEP\n",
        "STEP = 2\n",
        "def train(*, lr=2.0, run=None):\n    return {'score': helper(lr)}\n",
        "import math\ndef helper(x):\n    return math.exp(x) + STEP\n",
    ],
)
def test_a_function_counts_with_what_it_reads_in_other_cells(cell: Cell, change: str) -> None:
    cell(HELPER)
    before = origin_of(cell(TRAIN).train)
    assert origin_of(cell(change).train) != before


@pytest.mark.parametrize(
    "change",
    [
        HELPER,
        TRAIN,
        "UNREAD = 5\n",
        "def helper(x):\n    '''Add a step.'''\n    # as before\n    return (x + STEP)\n",
        "x = lr = 3\n",
        "study = train(lr=0.5)\n",
    ],
)
def test_what_a_function_does_not_read_makes_no_new_key(cell: Cell, change: str) -> None:
    cell(HELPER)
    before = origin_of(cell(TRAIN).train)
    assert origin_of(cell(change).train) == before


def test_a_class_counts_with_its_base_and_its_attributes_also_without_a_method(cell: Cell) -> None:
    cell("class Base:\n    width = 1\n")
    main = cell("class Net(Base):\n    depth = 2\n")
    before = origin_of(main.Net)
    main.Net.depth = 3
    deeper = origin_of(main.Net)
    cell("class Base:\n    width = 2\n\nclass Net(Base):\n    depth = 2\n")
    assert len({before, deeper, origin_of(main.Net)}) == 3


IMPORTS = "import dataclasses, enum, functools, math, os, typing\nimport pandas as pd\n"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("class A:\n    act = math.sin\ndef train(): return A.act(1)", "class A:\n    act = math.cos"),
        (
            "class A:\n    f = functools.partial(max, 1)\ndef train(): return A.f(0)",
            "class A:\n    f = functools.partial(max, 5)",
        ),
        (
            "class B: v = 1\nclass A:\n    kind = B\ndef train(): return A.kind.v",
            "class B: v = 2\nclass A:\n    kind = B",
        ),
        (
            "class C(enum.Enum):\n    A = 1\nE = C.A\ndef train(): return E.value",
            "class C(enum.Enum):\n    A = 2\nE = C.A",
        ),
        ("def h(*a): return isinstance(a, tuple)\ndef train(): return h(1)", "def h(a): return isinstance(a, tuple)"),
        ("F = {'a': 1, 'b': 2}\ndef train(): return list(F.values())[0]", "F = {'b': 2, 'a': 1}"),
        ("T = list[int]\ndef train(): return typing.get_args(T)[0](2.5)", "T = list[float]"),
        (
            "K = 1\nclass S:\n    @property\n    def g(s): return s._g\n    @g.setter\n    def g(s, v): s._g = v * K\n"
            "def train(): return S()",
            "K = 2",
        ),
        (
            "K = 1\nclass S:\n    @functools.cached_property\n    def g(s): return K\ndef train(): return S().g",
            "K = 2",
        ),
        (
            "d = pd.Series(pd.Categorical(['a'], categories=['a', 'b']))\ndef train(): return d.cat.codes[0]",
            "d = pd.Series(pd.Categorical(['a'], categories=['b', 'a']))",
        ),
        ("os.environ['GAIN'] = '1'\ndef train(): return os.environ['GAIN']", "os.environ['GAIN'] = '2'"),
        ("os.environ['GAIN'] = '1'\ndef train(): return os.getenv('GAIN')", "del os.environ['GAIN']"),
    ],
)
def test_all_that_a_definition_is_made_of_counts(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, one: str, other: str
) -> None:
    monkeypatch.setenv("GAIN", "0")
    before = origin_of(cell(IMPORTS + one).train)
    assert origin_of(cell(one).train) == before
    assert origin_of(cell(other).train) != before


GENERATED = """
import attrs, dataclasses, enum, logging, typing
from lab.registry.definition import state_digest
LOG = logging.getLogger("mine")
@attrs.frozen
class Frozen:
    x: int = 1
    y: list = attrs.Factory(list)
@attrs.define
class Defined:
    x: int = attrs.field(default=1, converter=int)
@dataclasses.dataclass(frozen=True)
class Data:
    x: int = 1
class Named(typing.NamedTuple):
    x: int = 1
class Kind(enum.Enum):
    A = 1
def told(): LOG.info(Frozen())
print(*map(state_digest, (Frozen, Defined, Data, Named, Kind, told)))
"""


def test_classes_with_generated_methods_count_the_same_in_every_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", GENERATED],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    (digests,) = found
    assert len(set(digests.split())) == 6


def test_a_default_of_an_attrs_class_counts(cell: Cell) -> None:
    source = "import attrs\n@attrs.frozen\nclass A:\n    x: int = {}\n"
    one, other = (origin_of(cell(source.format(value)).A) for value in (1, 2))
    assert one != other


def test_data_of_a_notebook_counts_by_its_content(cell: Cell) -> None:
    cell(
        "import numpy as np\nimport pandas as pd\nx = np.arange(3)\nrows = pd.DataFrame({'a': [1, 2], 'b': ['u', 'v']})"
    )
    main = cell("def points():\n    return x, rows['a'].sum()\n")
    before = origin_of(main.points)
    # looking at a frame changes what it remembers of its columns
    assert main.points()[1] == 3
    assert origin_of(main.points) == before
    main.rows.loc[0, "b"] = "w"
    other_rows = origin_of(main.points)
    main.x[0] = 7
    assert len({before, other_rows, origin_of(main.points)}) == 3


def test_a_module_beside_the_notebook_counts_with_its_source(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_notebook.py").write_text("def scale(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    main = cell("import beside_notebook\ndef train(*, lr=1.0):\n    return beside_notebook.scale(lr)\n")
    assert "beside_notebook" in modules_of(main.train)


def test_functions_that_call_each_other_have_a_key(cell: Cell) -> None:
    main = cell("def odd(n):\n    return n and even(n - 1)\ndef even(n):\n    return not n or odd(n - 1)\n")
    before = origin_of(main.odd)
    assert origin_of(cell("def even(n):\n    return n == 0 or odd(n - 1)\n").odd) != before


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, input_size, output_size):
        super().__init__()
        self.layer = nn.Linear(input_size, SIZE)
        self.head = nn.Linear(SIZE, output_size)

    def forward(self, x):
        return self.head(self.layer(x))
"""


def test_a_class_of_a_cell_is_trained_and_loaded_again(cell: Cell, tmp_path: Path) -> None:
    main = cell(f"SIZE = 4\n{NET}")
    base = Experiment(dataset=use("points", count=64), architecture=main.Net, loss="cross_entropy", lr=0.1, epochs=1)
    [run] = Study(base, seeds=1, name="notebook").run(runs=tmp_path).runs
    learner = lab.load(run.key, tmp_path)
    assert isinstance(learner.model, main.Net)
    assert learner.validate()["valid_loss"] == run.metrics["valid_loss"]
    cell("SIZE = 5")
    with pytest.raises(LabError, match="'Net' of this notebook is not what it was in this run"):
        lab.load(run.key, tmp_path)
    del main.Net
    with pytest.raises(LabError, match=r"'Net' of this notebook is not defined yet(.|\n)*run its cells"):
        lab.load(run.key, tmp_path)
    cell(f"SIZE = 4\n{NET}")
    assert lab.load(run.key, tmp_path).validate()["valid_loss"] == run.metrics["valid_loss"]


def test_what_a_notebook_only_imported_is_not_taken_for_a_component(cell: Cell, tmp_path: Path) -> None:
    main = cell(f"SIZE = 4\n{NET}")
    base = Experiment(dataset=use("points", count=64), architecture=main.Net, loss="cross_entropy", lr=0.1, epochs=1)
    [run] = Study(base, seeds=1, name="notebook").run(runs=tmp_path).runs
    cell("from shutil import rmtree as Net")
    with pytest.raises(LabError, match="is not defined yet"):
        lab.load(run.key, tmp_path, anyway=True)


def test_workers_say_that_they_cannot_build_what_a_notebook_defines(cell: Cell, tmp_path: Path) -> None:
    main = cell(f"SIZE = 4\n{NET}")
    base = Experiment(dataset=use("points", count=64), architecture=main.Net, loss="cross_entropy", lr=0.1, epochs=1)
    study = Study(base, seeds=1, name="notebook")
    [run] = study.run(runs=tmp_path, executor=use("processes", workers=2)).runs
    assert run.status == "failed"
    assert "defined in a notebook, which no other process can build" in run.result["error"]
