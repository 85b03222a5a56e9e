"""Rich output of notebooks: what is shown while a study runs, its answer, and that ordinary lines are not red."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import lab
from lab import Data, Experiment, LabError, Learner, Study, use
from lab.notebook import in_notebook

IPython = pytest.importorskip("IPython", reason="IPython is not installed: pip install -e '.[dev]'")


class Screen:
    """The outputs of a cell, as a front end gets them: the last state of each, and how often it was updated."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, str]] = []
        self.updates = 0

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        place = len(self.outputs)
        self.outputs.append(data)

        def update(data: dict[str, str], *, raw: bool) -> None:
            assert raw
            self.updates += 1
            self.outputs[place] = data

        return types.SimpleNamespace(update=update)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def shell(**attributes: Any) -> None:
        found = types.SimpleNamespace(**attributes) if attributes else None
        monkeypatch.setattr(IPython, "get_ipython", lambda: found)

    return shell


@pytest.fixture
def screen(shell: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Screen:
    shell(kernel=object())
    screen = Screen()
    monkeypatch.setattr("IPython.display.display", screen.display)
    monkeypatch.chdir(tmp_path)
    return screen


def study(**changes: Any) -> Study:
    base = Experiment(
        dataset=use("points", count=80),
        architecture="mlp",
        loss="cross_entropy",
        metrics=["accuracy"],
        epochs=2,
        lr=0.1,
    )
    return Study(base, **{"seeds": 2, "name": "asked", **changes})


def test_a_notebook_is_known_by_its_kernel(shell: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    shell()
    assert not in_notebook()
    shell(kernel=None, name="a terminal's shell")
    assert not in_notebook()
    shell(kernel=object())  # Jupyter, VS Code, Kaggle
    assert in_notebook()
    shell(name="Colab's shell")
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_a_study_shows_one_output_that_is_updated_and_nothing_red(
    screen: Screen, capfd: pytest.CaptureFixture[str]
) -> None:
    results = study().swap("lr", {"<slow>": 0.01}).run()
    assert capfd.readouterr() == ("", "")
    [shown] = screen.outputs
    assert screen.updates >= 4
    assert "4 runs trained, 0 found" in shown["text/html"]
    assert "4 runs trained, 0 found" in shown["text/plain"]
    assert shown["text/html"].count("✓") == shown["text/plain"].count("✓") == 4
    assert "&lt;slow&gt;" in shown["text/html"]
    assert "examples: train" in shown["text/html"]
    assert "ipywidgets" not in sys.modules
    assert results.report == Path("runs/asked/report.html").resolve()
    again = study().swap("lr", {"<slow>": 0.01}).run()
    assert len(screen.outputs) == 2
    assert "0 runs trained, 4 found" in screen.outputs[1]["text/plain"]
    assert str(again) == str(results)


def test_a_run_in_progress_has_a_bar_and_the_time_left(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.notebook.REFRESH_S", 0.0)
    seen: list[str] = []
    monkeypatch.setattr(
        "lab.notebook.Output.show",
        lambda self, rich, plain, real=lab.notebook.Output.show: (seen.append(rich), real(self, rich, plain)),
    )
    study(seeds=1).run()
    running = [text for text in seen if "linear-gradient" in text]
    assert running
    assert all("<progress" in text and " so far" in text for text in running)
    assert "linear-gradient" not in seen[-1]
    assert "<progress" not in seen[-1]


def test_the_answer_has_table_notes_pictures_and_the_report(screen: Screen) -> None:
    results = study(seeds=3).swap("lr", {"slow": 0.0001}).run()
    rich = results._repr_html_()
    assert re.search(r">slow</td>.*>3</td>.*worse|>slow</td>.*no difference shown|>slow</td>.*better", rich)
    assert "lower is better" in rich
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,', rich)) == 2
    assert '<a href="runs/asked/report.html"' in rich
    assert not re.search(r"<script|https?://", rich)
    plain = str(results)
    assert plain.splitlines()[0].split()[:3] == ["arm", "n", "valid_loss"]
    assert plain.endswith("report: runs/asked/report.html")
    assert max(map(len, plain.splitlines())) <= 100
    printed: list[str] = []
    results._repr_pretty_(types.SimpleNamespace(text=printed.append), False)
    assert printed == [plain]


def test_colab_gets_the_path_in_place_of_a_link(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    results = study(seeds=1).run()
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    rich = results._repr_html_()
    assert "<a " not in rich
    assert "<code>runs/asked/report.html</code> (in the pane of files on the left)" in rich


def test_results_of_functions_and_of_grids_are_shown(screen: Screen) -> None:
    def train(*, run: lab.TaskRun, a: bool = False, b: bool = False) -> dict[str, float]:
        return {"score": a + b + 0.1 * run.seed}

    asked = Study(use(train), seeds=3, compare="score", higher_is_better=True, name="asked")
    results = asked.grid({"a": [False, True], "b": [False, True]}).run()
    rich = results._repr_html_()
    assert "effect</th>" in rich
    assert rich.count("<img") == 1  # no curves: there are no epochs


def test_a_stopped_cell_says_how_to_go_on(screen: Screen) -> None:
    def train(*, run: lab.TaskRun, x: int = 0) -> dict[str, float]:
        if x:
            raise KeyboardInterrupt
        return {"score": 1.0 + run.seed}

    asked = Study(use(train), seeds=2, compare="score", higher_is_better=True, name="asked").swap("x", [1])
    with pytest.raises(KeyboardInterrupt):
        asked.run()
    assert (
        "2 runs trained, 0 found · interrupted; what was trained is kept: run the cell again"
        in (screen.outputs[0]["text/plain"])
    )


def test_a_failed_run_is_marked_and_a_wrong_question_is_told_without_a_traceback(screen: Screen) -> None:
    def train(*, x: int = 0) -> dict[str, float]:
        if x:
            raise ValueError("no such x")
        return {"score": 1.0}

    asked = Study(use(train), seeds=2, compare="score", higher_is_better=True, name="asked")
    asked.swap("x", [1]).run()
    assert screen.outputs[0]["text/html"].count("✗ failed") == 2
    with pytest.raises(LabError) as caught:
        asked.swap("y", [1]).run()
    assert caught.value._render_traceback_() == [f"{type(caught.value).__name__}: {caught.value}"]


def test_a_listener_of_ones_own_takes_the_place_of_the_table(screen: Screen) -> None:
    from lab.study.execute import SilentListener

    study(seeds=1).run(listener=SilentListener())
    assert screen.outputs == []


def test_a_learner_shows_its_epochs_in_one_output_per_fit(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lab.notebook.REFRESH_S", 0.0)
    inputs = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    pairs = TensorDataset(inputs, (inputs[:, 0] > 0).long())
    learner = Learner(nn.Linear(2, 2), Data(pairs, pairs), nn.CrossEntropyLoss(), batch_size=8)
    learner.fit(2)
    [shown] = screen.outputs
    assert screen.updates >= 10
    assert shown["text/plain"].splitlines()[1].startswith("epoch 2  train_loss ")
    assert shown["text/html"].count("<tr>") == 3
    assert "<progress" not in shown["text/html"]
    learner.fit(1)
    assert [len(output["text/plain"].splitlines()) for output in screen.outputs] == [2, 1]
    assert capfd.readouterr() == ("", "")
