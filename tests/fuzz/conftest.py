"""Fixtures of the fuzz suite: a sandbox, and a small store to damage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.sandbox import COUNTS, Sandbox

STUDY = '''"""Does width matter?"""
from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=40), architecture=use("mlp", hidden_size=4), loss="cross_entropy",
    metrics=["accuracy"], batch_size=20, epochs=1,
)
study = Study(base, seeds=2).swap("architecture.hidden_size", {"wide": 8})
'''

LOCAL = '''"""Own components."""
import torch
from lab import Experiment, Study, use


class Net(torch.nn.Module):
    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(input_size, output_size)

    def forward(self, inputs):
        return self.layer(inputs)


base = Experiment(dataset=use("points", count=40), architecture=Net, loss="cross_entropy", batch_size=20)
study = Study(base, seeds=1).swap("lr", {"fast": 0.1})
'''


@pytest.fixture
def minutes(request: pytest.FixtureRequest) -> float:
    """For how long each test goes on; 0 in ordinary runs."""
    return float(request.config.getoption("--fuzz-minutes"))


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setenv("HOME", str(tmp_path / "box" / "work"))
    for name in ("LAB_DATA", "LAB_RUNS"):
        monkeypatch.delenv(name, raising=False)
    box = Sandbox(tmp_path / "box")
    box.reset()
    return box


@pytest.fixture(scope="session", autouse=True)
def _imported() -> None:
    """Import what takes long before anything is timed; an import that is interrupted may leave C code half made."""
    import lab_charlm.data
    import lab_collab.data
    import lab_tabular.data
    import lab_text.vectors
    import lab_vision.sources
    import sklearn.ensemble
    import torch._dynamo

    import lab.study.preflight

    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    assert all((lab_charlm.data, lab_collab.data, lab_tabular.data, lab_text.vectors, lab_vision.sources))
    assert sklearn.ensemble
    assert lab.study.preflight


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with two studies that were run."""
    box = Sandbox(tmp_path_factory.mktemp("store") / "box")
    box.reset()
    (box.work / "wide.py").write_text(STUDY)
    (box.work / "own.py").write_text(LOCAL)
    for name in ("wide.py", "own.py"):
        code, out, err = box.lab("run", name, "--quiet", "--workers", "1")
        assert code == 0, out + err
    return box.work


@pytest.fixture(scope="session", autouse=True)
def _told() -> Iterator[None]:
    """Write the counts of examples to the file that LAB_FUZZ_COUNTS names."""
    yield
    if os.environ.get("LAB_FUZZ_COUNTS"):
        with Path(os.environ["LAB_FUZZ_COUNTS"]).open("a", encoding="utf-8") as file:
            for name, (count, longest) in COUNTS.items():
                file.write(f"{name}: {count} examples, the longest {longest:.1f} s\n")
