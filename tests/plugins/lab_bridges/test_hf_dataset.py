"""Datasets of Hugging Face on disk as data of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lab_bridges.datasets import hf_dataset

from lab import Experiment, Study, run_study, use
from lab.errors import DataError, LabError, ParameterError, UnknownNameError
from lab.registry.plugins import load_catalog

pytest.importorskip("datasets", reason="needs datasets (the extra `datasets`)")
# of datasets, of itself
pytestmark = pytest.mark.filterwarnings("ignore")


def rows(count: int = 60, start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "x": (n % 7) / 7,
            "pair": [n % 3, n % 5],
            "kind": "abc"[n % 3],
            "number": n % 3,
            "text": f"row {n}",
            "y": n / 9,
        }
        for n in range(start, start + count)
    ]


def saved(folder: Path, **splits: list[dict[str, Any]]) -> Path:
    from datasets import Dataset, DatasetDict

    DatasetDict({name: Dataset.from_list(part) for name, part in splits.items()}).save_to_disk(str(folder))
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return saved(tmp_path / "small", train=rows(60), validation=rows(12, 60), test=rows(6, 72))


def test_numbers_and_lists_stand_side_by_side_and_texts_become_classes(small: Path):
    data = hf_dataset(path=small, input=("x", "pair"), target="kind", test="test")
    inputs, target = data.train[4]
    assert inputs.tolist() == pytest.approx([4 / 7, 1, 4])
    assert (int(target), data.class_names, data.input_size, data.output_size) == (1, ("a", "b", "c"), 3, 3)
    assert (len(data.train), len(data.valid), len(data.test)) == (60, 12, 6)


def test_floats_are_values_and_integers_classes_unless_told(small: Path):
    value = hf_dataset(path=small, input="x", target="y")
    assert (value.output_size, value.train[9][1].tolist()) == (1, [1.0])
    assert hf_dataset(path=small, input="x", target="number").output_size == 3
    assert hf_dataset(path=small, input="x", target="number", task="value").output_size == 1


def test_class_labels_keep_their_names(tmp_path: Path):
    from datasets import ClassLabel, Dataset

    names = ["cat", "dog", "never"]
    part = Dataset.from_dict({"x": [0.0, 1.0], "label": [1, 0]}).cast_column("label", ClassLabel(names=names))
    part.save_to_disk(str(tmp_path / "d"))
    data = hf_dataset(path=tmp_path / "d", input="x", target="label", valid=0.5)
    assert (data.class_names, int(data.train[0][1]), len(data.valid)) == (tuple(names), 1, 1)


@pytest.mark.parametrize(("shape", "channels"), [((8, 6), 1), ((8, 6, 3), 3)])
def test_pictures_are_floats_between_0_and_1(tmp_path: Path, shape: tuple[int, ...], channels: int):
    from datasets import Dataset
    from PIL import Image

    drawn = [Image.fromarray(np.full(shape, n * 20, np.uint8)) for n in range(8)]
    Dataset.from_dict({"image": drawn, "label": [0, 1] * 4}).save_to_disk(str(tmp_path / "d"))
    data = hf_dataset(path=tmp_path / "d", input="image", target="label", valid=0.25)
    pixels, _ = data.train[5]
    assert (tuple(pixels.shape), float(pixels.max())) == ((channels, 8, 6), pytest.approx(100 / 255))
    assert (data.channels, data.image_size, data.input_size) == (channels, (8, 6), channels * 48)
    batch = next(iter(data.loader(data.train, [[0, 5]])))
    assert tuple(batch[0].shape) == (2, channels, 8, 6)


def test_the_fingerprint_is_of_the_content_alone(tmp_path: Path, small: Path):
    def of(path: Path, **changes: Any) -> str:
        return hf_dataset(path=path, **{"input": "x", "target": "kind", **changes}).fingerprint

    copy = saved(tmp_path / "copy", train=rows(60), validation=rows(12, 60))
    assert of(copy) == of(small)
    assert of(small, input="pair") != of(small)
    changed = rows(60)
    changed[3]["x"] += 1
    assert of(saved(tmp_path / "changed", train=changed, validation=rows(12, 60))) != of(small)


def test_an_experiment_trains_on_it(small: Path, tmp_path: Path):
    base = Experiment(
        dataset=use("hf_dataset", path=small, input=("x", "pair"), target="kind"),
        architecture="mlp",
        loss="cross_entropy",
        metrics=["accuracy"],
        lr=0.05,
        batch_size=8,
        epochs=6,
    )
    study = Study(base, seeds=1, name="on_disk")
    found = run_study(study, runs=tmp_path / "runs", catalog=load_catalog(only=[])).runs[0]
    assert found.status == "finished", found.result
    assert found.metrics["valid_accuracy"] > 0.6


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"valid": "valid"}, UnknownNameError, "unknown split 'valid'\n.*\n  did you mean: validation\\?"),
        ({"test": "holdout"}, UnknownNameError, "splits: train, validation, test; or hold out a part"),
        ({"input": "z"}, UnknownNameError, "unknown column 'z'"),
        ({"target": "kin"}, UnknownNameError, "did you mean: kind\\?"),
        ({"input": "text"}, DataError, "column 'text' holds text"),
        ({"valid": 1.5}, ParameterError, "between 0 and 1, got 1.5"),
        ({"target": "y", "task": "classes"}, DataError, "column 'y' holds no classes"),
        ({"target": "pair", "task": "value"}, DataError, "a target is one number"),
        ({"path": Path("nowhere")}, DataError, "there is no folder 'nowhere'"),
    ],
)
def test_what_cannot_be_read_is_explained(small: Path, changes: dict[str, Any], error: type[LabError], message: str):
    with pytest.raises(error, match=message):
        hf_dataset(**{"path": small, "input": "x", "target": "kind", **changes})


def test_rows_that_cannot_be_used_are_explained(tmp_path: Path):
    def read(name: str, train: list[dict[str, Any]], valid: list[dict[str, Any]] | None = None) -> None:
        path = saved(tmp_path / name, train=train, validation=valid or train)
        hf_dataset(path=path, input="x", target="kind")

    with pytest.raises(DataError, match="column 'x' has missing values"):
        read("missing", [{"x": 1.0, "kind": "a"}, {"x": None, "kind": "b"}])
    with pytest.raises(DataError, match="column 'x' holds lists of several lengths"):
        read("ragged", [{"x": [1.0], "kind": "a"}, {"x": [1.0, 2.0], "kind": "b"}])
    with pytest.raises(DataError, match="valid split has a class that training has not: c"):
        read("unknown", [{"x": 1.0, "kind": "a"}, {"x": 2.0, "kind": "b"}], [{"x": 1.0, "kind": "c"}])
    with pytest.raises(DataError, match="different shapes: train \\(1,\\), valid \\(2,\\)"):
        read("widths", [{"x": [1.0], "kind": "a"}], [{"x": [1.0, 2.0], "kind": "a"}])


def test_a_folder_of_something_else_is_explained(tmp_path: Path):
    with pytest.raises(DataError, match="this folder holds no dataset"):
        hf_dataset(path=tmp_path, input="x", target="kind")


def test_a_missing_package_is_named_with_its_command(small: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lab_bridges.datasets.find_spec", lambda name: None)
    with pytest.raises(LabError, match=r"pip install 'lab-ablation\[datasets\]'"):
        hf_dataset(path=small, input="x", target="kind")


def test_targets_have_the_types_that_losses_expect(small: Path):
    assert hf_dataset(path=small, input="x", target="kind").train[0][1].dtype == torch.long
    assert hf_dataset(path=small, input="x", target="y").train[0][1].dtype == torch.float32
