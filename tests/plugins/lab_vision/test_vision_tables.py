"""Numbered pictures with a table of labels, and predictions of folders for competitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from lab_basics.prediction import load_predictor
from lab_vision.tables import image_table
from PIL import Image

from lab import Experiment, Study, run_study, use
from lab.cli.main import cli
from lab.errors import DataError, ParameterError
from lab.registry.plugins import load_catalog


@pytest.fixture
def folder(tmp_path):
    """Twenty-two pictures 1.png … 22.png, dark ones and bright ones, and labels of the first twenty."""
    (tmp_path / "train").mkdir()
    generator = np.random.default_rng(0)
    for number in range(1, 23):
        pixels = generator.integers(0, 60, (8, 8, 3)) + (150 if number % 2 else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"train/{number}.png")
    rows = [f"{number},{'bright' if number % 2 else 'dark'}" for number in range(1, 21)]
    (tmp_path / "trainLabels.csv").write_text("\n".join(["id,label", *rows]) + "\n")
    return tmp_path


def read(folder, **options):
    return image_table(str(folder / "train"), folder / "trainLabels.csv", size=8, **options)


def test_the_same_share_of_every_class_validates(folder):
    data = read(folder, valid_share=0.2)
    assert data.class_names == ("bright", "dark")
    assert np.bincount(data.valid.target).tolist() == [2, 2]
    assert np.bincount(data.train.target).tolist() == [8, 8]
    assert data.notes[-1] == "2 pictures have no label and are not used"
    # Labels belong to their pictures.
    for split in (data.train, data.valid):
        assert ((split.pixels.float().mean((1, 2, 3)) < 128) == (split.target == 1)).all()


def test_all_pictures_are_trained_on_after_choosing(folder):
    chosen, final = read(folder), read(folder, train_on_all=True)
    assert (len(chosen.train), len(chosen.valid), len(final.train)) == (18, 2, 20)
    assert np.array_equal(final.valid.pixels, chosen.valid.pixels)
    assert final.notes[-1] == "the validation pictures are trained on: their scores say nothing"


def test_columns_may_be_named_and_names_may_have_suffixes(folder):
    rows = [f"x,{'a' if number % 2 else 'b'},{number}.png" for number in range(1, 21)]
    (folder / "trainLabels.csv").write_text("\n".join(["fold,breed,file", *rows]))
    assert read(folder, id_column="file", label_column="breed").class_names == ("a", "b")
    with pytest.raises(DataError, match="no column 'kind'") as caught:
        read(folder, label_column="kind")
    assert caught.value.hint == "there are: fold, breed, file"


def test_all_problems_of_a_table_are_told_at_once(folder):
    (folder / "trainLabels.csv").write_text("id,label\n1,a\n1,b\n2,\n,a\n99,a\n4,lonely\n5,a\n")
    (folder / "train/more").mkdir()
    (folder / "train/more/3.png").write_bytes((folder / "train/3.png").read_bytes())
    with pytest.raises(DataError, match="6 problems with these pictures") as caught:
        read(folder)
    assert caught.value.hint.splitlines() == [
        "line 3: '1' has a label already",
        "line 4: no label",
        "line 5: no name",
        "two pictures are called '3': 3.png, more/3.png",
        "'99' has a label and no picture",
        "1 class with one picture only, which cannot both train and validate: 'lonely'; "
        "add pictures, or correct the labels",
        "beside: 19 pictures without a label: 2, 3, 6 …",
    ]


def test_classes_of_one_picture_are_told_below_a_long_list_of_other_problems(folder):
    rows = "".join(f"{number},a\n" for number in range(100, 120))
    (folder / "trainLabels.csv").write_text(f"id,label\n1,a\n2,a\n3,lonely\n{rows}")
    with pytest.raises(DataError, match="21 problems with these pictures") as caught:
        read(folder)
    lines = caught.value.hint.splitlines()
    assert (lines[-3], "'lonely'" in lines[-2], lines[-1][:27]) == ("and 8 more", True, "beside: 19 pictures without")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,label\n", "the table has no rows"),
        ("", "a table needs two columns"),
        ("id,l\n1,a\n2,b\n", "one picture only"),
    ],
)
def test_tables_without_enough_rows_are_refused(folder, content, message):
    (folder / "trainLabels.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read(folder)
    with pytest.raises(ParameterError, match="valid_share"):
        read(folder, valid_share=0)


def test_a_table_without_a_header_is_told(folder):
    rows = (folder / "trainLabels.csv").read_text().splitlines()[1:]
    (folder / "trainLabels.csv").write_text("\n".join(rows))
    with pytest.raises(DataError) as caught:
        read(folder)
    expected = "line 1 has the label of the picture '1'; a table begins with the names of its columns"
    assert caught.value.hint.splitlines() == [expected, "beside: 2 pictures without a label: 21, 22"]


def test_a_class_of_one_picture_is_named(folder):
    text = (folder / "trainLabels.csv").read_text()
    (folder / "trainLabels.csv").write_text(text.replace("3,bright", "3,unicorn", 1))
    with pytest.raises(DataError, match="one picture only") as caught:
        read(folder)
    assert "'unicorn'; add pictures, or correct the labels" in caught.value.hint


def test_several_runs_give_the_mean_of_their_probabilities(folder, tmp_path):
    study = Study(
        Experiment(
            dataset=use("image_table", path=str(folder / "train"), labels=str(folder / "trainLabels.csv"), size=8),
            architecture=use("course_net", widths=[4], stem=3),
            loss="cross_entropy",
            batch_size=6,
            epochs=1,
        ),
        seeds=2,
    )
    keys = [run.key for run in run_study(study, runs=tmp_path / "runs").runs]

    def predicted(*keys: str) -> pd.DataFrame:
        command = ["predict", *keys, str(folder / "train"), "--submission", "probabilities"]
        result = CliRunner().invoke(cli, [*command, "-o", str(tmp_path / "out.csv"), "--runs", str(tmp_path / "runs")])
        assert result.exit_code == 0
        return pd.read_csv(tmp_path / "out.csv")

    one, other, both = predicted(keys[0]), predicted(keys[1]), predicted(*keys)
    assert list(both.columns) == ["id", "bright", "dark"]
    assert np.allclose(both["dark"], (one["dark"] + other["dark"]) / 2)
    assert not np.allclose(one["dark"], other["dark"])


def test_a_folder_is_predicted_for_a_submission_without_the_training_pictures(folder, tmp_path):
    study = Study(
        Experiment(
            dataset=use("image_table", path=str(folder / "train"), labels=str(folder / "trainLabels.csv"), size=8),
            architecture=use("course_net", widths=[4], stem=3),
            loss="cross_entropy",
            lr=0.05,
            batch_size=6,
            epochs=6,
        ),
        seeds=1,
    )
    [run] = run_study(study, runs=tmp_path / "runs").runs
    (folder / "trainLabels.csv").unlink()
    for picture in list((folder / "train").iterdir())[3:]:
        picture.unlink()
    left = sorted(int(each.stem) for each in (folder / "train").iterdir())
    predictor, learner = load_predictor(run.key, tmp_path / "runs", catalog=load_catalog())

    def predicted(path: Path = folder / "train", only: bool = False, **reading: str) -> pd.DataFrame:
        return predictor.predict(learner, path, only=only, reading=reading)

    whole = predicted()
    assert list(whole.columns) == ["id", "prediction", "p(bright)", "p(dark)"]
    assert whole["id"].tolist() == list(map(str, left))
    assert whole["prediction"].tolist() == ["bright" if number % 2 else "dark" for number in left]
    assert list(predictor.submission(whole, "class").columns) == ["id", "label"]
    probabilities = predictor.submission(whole, "probabilities")
    assert list(probabilities.columns) == ["id", "bright", "dark"]
    assert np.allclose(probabilities[["bright", "dark"]].sum(axis=1), 1)
    assert list(predicted(only=True).columns) == ["prediction", "p(bright)", "p(dark)"]
    assert predicted(folder / f"train/{left[0]}.png")["id"].tolist() == [str(left[0])]
    (folder / "train/a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="1 picture cannot be read") as caught:
        predicted()
    assert caught.value.hint.startswith("a.png: ")
