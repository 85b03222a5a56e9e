"""Exported models: equal outputs, sizes of batches, and models that cannot be exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from lab_basics.exporting import FORMATS, export_model
from torch import Tensor, nn

from lab import Data, Experiment, Learner, Study, run_study, use
from lab.cli.main import cli
from lab.errors import LabError
from lab.registry.plugins import load_catalog


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2))

    def forward(self, points: Tensor) -> Tensor:
        result: Tensor = self.layers(points)
        return result


class FixedSize(Net):
    def forward(self, points: Tensor) -> Tensor:
        return super().forward(points.reshape(8, 3))


class Drawing(Net):
    def forward(self, points: Tensor) -> Tensor:
        return super().forward(points) + torch.rand(1)


class Branching(Net):
    def forward(self, points: Tensor) -> Tensor:
        found = super().forward(points)
        return found if float(found.sum()) > 1e6 else -found


class Listing(Net):
    def forward(self, points: Tensor) -> Any:
        return {"logits": super().forward(points)}


def learner(model: nn.Module, count: int = 20, **options: Any) -> Learner:
    points = torch.utils.data.TensorDataset(torch.randn(count, 3), torch.arange(count) % 2)
    torch.manual_seed(0)
    return Learner(model, Data(points, points), nn.functional.cross_entropy, progress=False, **options)


def needs(kind: str) -> None:
    if kind == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package, reason="needs the extra onnx")


@pytest.mark.parametrize("kind", FORMATS)
def test_an_exported_model_gives_the_outputs_of_the_model(kind: Any, tmp_path: Path) -> None:
    needs(kind)
    made = export_model(learner(Net()), tmp_path / "net", kind)
    assert (tmp_path / "net").is_file()
    assert made.difference <= 1e-5
    assert made.other_sizes
    assert list(made.compared) == [8, 7]
    assert list(made.inputs) == ["float32 (8, 3)"]


def test_torch_reads_what_was_exported(tmp_path: Path) -> None:
    made = learner(Net())
    export_model(made, tmp_path / "net.pt2")
    points = torch.randn(30, 3)
    loaded = torch.export.load(tmp_path / "net.pt2").module()
    torch.testing.assert_close(loaded(points), made.predict(points))


def test_a_model_in_training_mode_is_exported_as_it_evaluates(tmp_path: Path) -> None:
    made = learner(Net())
    made.model.train()
    export_model(made, tmp_path / "net.pt2")
    assert made.model.training
    loaded, points = torch.export.load(tmp_path / "net.pt2").module(), torch.randn(9, 3)
    torch.testing.assert_close(loaded(points), loaded(points))


def test_a_fixed_size_of_batches_is_told(tmp_path: Path) -> None:
    class Repeated(Net):
        def forward(self, points: Tensor) -> Tensor:
            # a number of Python, which tracing makes a constant
            return super().forward(points) + torch.arange(len(points) * 2).reshape(len(points), 2).float()

    made = export_model(learner(Repeated()), tmp_path / "net.pt", "torchscript")
    assert not made.other_sizes
    assert list(made.compared) == [8]
    assert made.reason


def test_a_model_that_draws_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="gives other outputs for the same inputs"):
        export_model(learner(Drawing()), tmp_path / "net.pt2")
    assert not (tmp_path / "net.pt2").exists()


def test_a_model_that_branches_on_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be exported as torch_export"):
        export_model(learner(Branching()), tmp_path / "net.pt2")
    assert not (tmp_path / "net.pt2").exists()


def test_a_model_that_takes_one_size_alone_cannot_be_compared_otherwise(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be called with its inputs alone"):
        export_model(learner(FixedSize()), tmp_path / "net.pt2", batch_size=9)


def test_outputs_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="outputs are tensors"):
        export_model(learner(Listing()), tmp_path / "net.pt2")


def test_a_split_that_is_too_small_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no example batch of 8(.|\n)*5 examples"):
        export_model(learner(Net(), count=5), tmp_path / "net.pt2")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(LabError, match=r"needs onnx, onnxscript and onnxruntime(.|\n)*lab-ablation\[onnx\]"):
        export_model(learner(Net()), tmp_path / "net.onnx", "onnx")


def test_the_command_exports_a_run(tmp_path: Path) -> None:
    base = Experiment(
        dataset=use("points", count=120), architecture="mlp", loss="cross_entropy", batch_size=32, epochs=1
    )
    [run] = run_study(Study(base, seeds=1, name="one"), runs=tmp_path / "runs", catalog=load_catalog()).runs
    arguments = ["export", run.key[:10], "--runs", str(tmp_path / "runs"), "-o", str(tmp_path / "model.pt2")]
    answer = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert "model.pt2" in answer.output
    assert "outputs equal those of the run in batches of 8 and 7" in answer.output


@pytest.mark.parametrize("sizes", [(), (4, 3)])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_table_with_or_without_categories_takes_batches_of_any_size(kind: Any, sizes: Any, tmp_path: Path) -> None:
    needs(kind)
    from lab_tabular.models import TabularMLP

    names = tuple(f"column {number}" for number in range(len(sizes)))
    model = TabularMLP(sizes, 3, 2, 0.0, 1.0, names, layers=[6])
    rows = torch.utils.data.TensorDataset(
        torch.ones(20, len(sizes), dtype=torch.long), torch.randn(20, 3), torch.arange(20) % 2
    )
    made = Learner(model, Data(rows, rows), nn.functional.cross_entropy, progress=False)
    assert list(export_model(made, tmp_path / "model", kind).compared) == [8, 7]
