"""Values of parameters that JSON does not tell apart: they are keyed, and every process gets the value itself."""

import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import lab as lab_package
from lab.errors import LabError
from lab.registry.value_types import Unread, types_of
from lab.registry.values import to_plain
from lab.study.read_back import with_types

VALUES = [
    (1, 2),
    [1, (2, [3, (4,)])],
    {"b": 1, "a": (2, 3)},
    {1: "one", 2: "two"},
    {"a/b": (1,), "a~b": [2]},
    {1, 2, 3},
    frozenset({(1, 2), (0, 5)}),
    range(3, 11, 2),
    slice(0, 10, 2),
    slice(None, 4),
    b"bytes",
    1 + 2j,
    Path("some/file"),
    torch.float16,
    nn.GELU,
    nn.functional.relu,
    (),
    {},
]


def read_back(value):
    """Return a value that went through the JSON of a record."""
    content = json.loads(json.dumps([to_plain(value), types_of(value, "value")]))
    return with_types(*content, "value")


@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(value).partition(" at ")[0])
def test_a_value_comes_back_from_its_json_as_it_was(value):
    found = read_back(value)
    assert (found, type(found)) == (value, type(value))
    assert not isinstance(value, dict) or list(found) == list(value)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "bool", ">f4", "<U3"])
@pytest.mark.parametrize("shape", [(2, 2), (0, 3)])
def test_an_array_comes_back_with_its_dtype_and_shape(dtype, shape):
    value = np.ones(shape).astype(dtype)
    found = read_back({"inner": [value]})["inner"][0]
    assert (found.dtype, found.shape) == (value.dtype, shape)
    assert (found == value).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(2, 2), (0, 3), ()])
def test_a_tensor_comes_back_with_its_dtype_and_shape(dtype, shape):
    value = torch.ones(shape, dtype=dtype)
    found = read_back(value)
    assert (found.dtype, found.shape) == (dtype, value.shape)
    assert torch.equal(found, value)


def test_what_json_gives_back_has_no_type():
    assert types_of({"a": [1, 2.0, "x", None, True], "b": {"c": []}}) == {}


@pytest.mark.parametrize(
    "value", [np.array([object()]), np.array([1j]), np.array(["2020-01-01"], dtype="datetime64[D]")]
)
def test_an_array_that_json_cannot_hold_is_refused_in_words(value):
    with pytest.raises(TypeError, match="give one of numbers, texts or booleans"):
        to_plain(value)


def test_an_object_stays_its_text_until_it_is_found():
    point = namedtuple("Point", "x y")(1, 2)
    found = read_back(point)
    assert isinstance(found, Unread)
    assert found.plain == [1, 2]


@pytest.mark.parametrize(
    ("plain", "tag"),
    [(5, "tuple"), ([1], "numpy whatever"), ("x", "torch dtype"), ([1], "mapping 'a'"), ([1], "range(x)"), (1, "")],
)
def test_a_type_of_a_damaged_record_is_refused(plain, tag):
    with pytest.raises(ValueError, match=r"cannot be|unknown|no dtype|understand"):
        with_types(plain, {"value": tag}, "value")


STUDY = """
import enum
import numpy as np
import torch
from torch import nn
from lab import Experiment, Study, use


class Mode(enum.Enum):
    SMALL = 1


def halved(x):
    return x / 2


class Net(nn.Module):
    def __init__(self, input_size, output_size, *, value, act=nn.functional.relu):
        super().__init__()
        self.line, self.value, self.act = nn.Linear(input_size, output_size), value, act
        with torch.no_grad():
            told = f"{type(value)} {getattr(value, 'dtype', '')} {value} {act.__name__}".partition(" at ")[0]
            self.line.bias[0] = sum(map(ord, told))

    def forward(self, x):
        return self.act(self.line(x))


base = Experiment(dataset="points", architecture=use(Net, value=VALUE), loss="cross_entropy", epochs=1)
study = Study(base, seeds=1)
"""

WRITTEN = [
    "np.array([1, 2], dtype=np.float32)",
    "(1, 2)",
    "{'b': 1, 'a': 2}",
    "Mode.SMALL",
    "nn.GELU",
    "Mode",
    "torch.tensor([1.5])",
    "slice(0, 4, 2)",
    "[nn.ReLU, halved]",
]


def run(tmp_path, text, *more):
    (tmp_path / "typed.py").write_text(text)
    command = [sys.executable, "-m", "lab", "run", "typed.py", "--quiet", *more]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / (more[more.index("--runs") + 1] if "--runs" in more else "runs")
    return {path.parent.name: json.loads(path.read_text())["metrics"] for path in folder.glob(".store/*/result.json")}


@pytest.mark.slow
@pytest.mark.parametrize("value", WRITTEN)
def test_a_worker_trains_with_the_value_itself(tmp_path, value):
    text = STUDY.replace("VALUE", value).replace("seeds=1", "seeds=2")
    assert run(tmp_path, text, "--runs", "one") == run(tmp_path, text, "--workers", "2", "--runs", "two")


@pytest.mark.slow
def test_a_worker_gets_the_learning_rates_of_the_experiment(tmp_path):
    text = STUDY.replace("VALUE", "1").replace("epochs=1", "epochs=1, lr=slice(1e-3, 1e-2)")
    text = text.replace("seeds=1", "seeds=2")
    assert run(tmp_path, text, "--runs", "one") == run(tmp_path, text, "--workers", "2", "--runs", "two")


@pytest.fixture
def key_of_value(lab, tmp_path):
    """Return a function that runs the study with a value, and gives the run's key."""

    def find(value):
        (tmp_path / "typed.py").write_text(STUDY.replace("VALUE", value))
        before = set(Path("runs/.store").glob("*/result.json"))
        assert lab("run", "typed.py", "--quiet").code == 0
        (made,) = set(Path("runs/.store").glob("*/result.json")) - before
        return made.parent.name

    return find


PAIRS = [
    ("(1, 2)", "[1, 2]"),
    ("np.ones(2)", "np.ones(2, dtype=np.float32)"),
    ("{'b': 1, 'a': 2}", "{'a': 2, 'b': 1}"),
    ("{1: 2}", "{'1': 2}"),
    ("slice(0, 4)", "slice(0, 4, 2)"),
    ("torch.ones(2)", "[1.0, 1.0]"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_values_that_json_does_not_tell_apart_have_two_keys(key_of_value, lab, one, other):
    keys = [key_of_value(one), key_of_value(other)]
    assert keys[0] != keys[1]
    assert "value" in lab("runs", "why", *keys).out


def test_a_loaded_model_has_the_value_itself(key_of_value):
    key = key_of_value("[Mode.SMALL, (1, 2)]")
    value = lab_package.load(key).model.value
    assert (type(value[0]).__name__, value[1]) == ("Mode", (1, 2))


def test_arms_that_differ_in_a_type_only_show_it(lab, tmp_path):
    text = STUDY.replace("VALUE", "(1, 2)") + 'study = study.swap("architecture.value", {"listed": [1, 2]})\n'
    (tmp_path / "typed.py").write_text(text)
    outcome = lab("run", "typed.py", "--plan")
    assert outcome.code == 0, outcome.err
    assert "type tuple" in " ".join(outcome.out.split())


def test_a_type_is_no_difference_of_its_own_where_the_value_differs(lab, tmp_path):
    text = STUDY.replace("VALUE", "3") + 'study = study.swap("architecture.value", {"paired": (1, 2)})\n'
    (tmp_path / "typed.py").write_text(text)
    outcome = lab("run", "typed.py", "--plan")
    assert outcome.code == 0, outcome.err
    assert "type" not in outcome.out.replace("typed", "")


def test_a_value_that_is_gone_is_told(key_of_value, tmp_path):
    key = key_of_value("Mode.SMALL")
    (tmp_path / "typed.py").unlink()
    with pytest.raises(LabError, match="written in its study file"):
        lab_package.load(key)
