"""Kinds of input and of labels: folders, frames, splits, groups, folds, several classes, numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from lab_basics.losses import bce
from lab_basics.optimizers import adam
from lab_sentences.data import data_of_frame, labelled_text
from lab_sentences.models import TextClassifier

from lab import Learner
from lab.errors import DataError, ParameterError


def frame_of(size=40):
    rows = [{"text": f"tens{n // 10} ones{n % 10}", "label": "ab"[n % 2], "source": f"s{n // 4}"} for n in range(size)]
    return pd.DataFrame(rows)


def written(tmp_path, frame, name="texts.csv"):
    frame.to_csv(tmp_path / name, index=False)
    return str(tmp_path / name)


def texts_of(data, split):
    return {" ".join(data.preparation.shown(ids)) for ids in split.ids}


def test_a_frame_is_read_as_its_file(tmp_path):
    frame = frame_of()
    assert data_of_frame(frame).fingerprint == labelled_text(path=written(tmp_path, frame)).fingerprint


def test_frames_have_parts_of_their_own():
    data = data_of_frame(frame_of(), valid=frame_of(8), test=frame_of(4))
    assert (len(data.train), len(data.valid), len(data.test)) == (40, 8, 4)


def test_a_missing_value_of_a_frame_is_an_empty_text():
    frame = frame_of()
    frame.loc[3, "text"] = np.nan
    data = data_of_frame(frame)
    assert len(data.train) + len(data.valid) == 39
    with pytest.raises(ParameterError, match="unknown parameter"):
        data_of_frame(frame, folder=3)


def test_folders_are_classes(tmp_path):
    for label in ("good", "bad"):
        (tmp_path / label).mkdir()
        for number in range(6):
            (tmp_path / label / f"{number}.txt").write_text(f"a {label} film {number}", encoding="utf-8")
    data = labelled_text(path=str(tmp_path), valid_share=0.3)
    assert data.class_names == ("bad", "good")
    assert (len(data.train), len(data.valid)) == (8, 4)


def test_folders_of_splits_are_read_as_given(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        for label in ("good", "bad"):
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(count):
                (tmp_path / split / label / f"{number}.txt").write_text(f"{split} {label} {number}", encoding="utf-8")
    data = labelled_text(path=str(tmp_path), valid_share=0.25)
    assert (len(data.train), len(data.valid), len(data.test)) == (6, 2, 4)


def test_a_folder_without_texts_is_told(tmp_path):
    with pytest.raises(DataError, match="no text files in subfolders"):
        labelled_text(path=str(tmp_path))


def test_files_of_their_own_validate_and_test(tmp_path):
    whole, part = written(tmp_path, frame_of()), written(tmp_path, frame_of(6), "part.csv")
    data = labelled_text(path=whole, valid_path=part, test_path=part)
    assert (len(data.train), len(data.valid), len(data.test)) == (40, 6, 6)
    with pytest.raises(ParameterError, match="valid_path without path"):
        labelled_text(valid_path=part)


def test_a_column_of_splits_is_kept_to(tmp_path):
    frame = frame_of()
    frame["part"] = ["train"] * 30 + ["dev"] * 6 + ["test"] * 4
    data = labelled_text(path=written(tmp_path, frame), split="part")
    assert (len(data.train), len(data.valid), len(data.test)) == (30, 6, 4)
    frame.loc[0, "part"] = "trian"
    with pytest.raises(DataError, match="row 1: 'trian' is not a split"):
        labelled_text(path=written(tmp_path, frame), split="part")


def test_groups_stay_together(tmp_path):
    frame = frame_of(80)
    data = labelled_text(path=written(tmp_path, frame), group="source", valid_share=0.1)
    source = dict(zip(frame["text"], frame["source"], strict=True))
    train, valid = ({source[text] for text in texts_of(data, split)} for split in (data.train, data.valid))
    assert not train & valid
    assert len(valid) == 2


def test_every_text_validates_in_exactly_one_fold(tmp_path):
    path = written(tmp_path, frame_of())
    folds = [labelled_text(path=path, folds=5, fold=fold) for fold in range(5)]
    found = [texts_of(data, data.valid) for data in folds]
    assert sum(map(len, found)) == len(set.union(*found)) == 40
    assert all(torch.bincount(data.valid.target).tolist() == [4, 4] for data in folds)


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (3, 3), (3, -1)])
def test_folds_that_do_not_exist_are_told(folds, fold):
    with pytest.raises(ParameterError, match="does not exist"):
        labelled_text(folds=folds, fold=fold)


def test_folds_without_a_class_are_told(tmp_path):
    frame = frame_of()
    frame.loc[:1, "label"] = "rare"
    with pytest.raises(DataError, match=r"4 folds are unbalanced.*'rare'"):
        labelled_text(path=written(tmp_path, frame), folds=4)


def test_a_text_may_have_several_classes(tmp_path):
    rows = [("fast car", "fast;car"), ("slow car", "car"), ("fast run", "fast"), ("slow run", "")] * 12
    path = written(tmp_path, pd.DataFrame(rows, columns=["text", "label"]))
    data = labelled_text(path=path, target="classes", joiner=";", valid_share=0.25)
    assert (data.class_names, data.output_size, data.train.target.shape[1]) == (("car", "fast"), 2, 2)
    torch.manual_seed(0)
    model = TextClassifier(data.vocab_size, 2, data.pad_id, None, 1, embedding_dim=8, dropout=0.0)
    learner = Learner(model, data, bce, optimizer=adam, lr=5e-2, batch_size=8, progress=False)
    learner.fit(10)
    found = learner.predict(["fast car", "slow run"])
    assert [{name for name, share in each.items() if share > 0.5} for each in found] == [{"car", "fast"}, set()]


def test_numbers_where_classes_are_meant_are_asked_back(tmp_path):
    frame = frame_of()
    frame["label"] = [f"{n / 2}" for n in range(40)]
    with pytest.raises(DataError, match="values and not classes") as caught:
        labelled_text(path=written(tmp_path, frame))
    assert "target='number'" in caught.value.hint
    data = labelled_text(path=written(tmp_path, frame), target="number")
    assert data.train.target.dtype == torch.float32
    frame.loc[4, "label"] = "many"
    with pytest.raises(DataError, match=r"'many' of train text 5 is not a number"):
        labelled_text(path=written(tmp_path, frame), target="number")
    with pytest.raises(ParameterError, match="classes, not numbers"):
        labelled_text("sst2", target="number")


def test_a_label_of_the_validation_part_alone_is_told(tmp_path):
    frame = frame_of()
    frame["part"] = ["train"] * 30 + ["valid"] * 10
    frame.loc[35, "label"] = "new"
    with pytest.raises(DataError, match="valid part has classes that the training part lacks: new"):
        labelled_text(path=written(tmp_path, frame), split="part")


def test_trainable_tokenizers_learn_from_the_training_texts(tmp_path):
    pytest.importorskip("sentencepiece")
    from functools import partial

    from lab_text.subwords import BpeTokenizer

    data = labelled_text(path=written(tmp_path, frame_of(200)), tokenizer=partial(BpeTokenizer, vocab_size=40))
    assert 0 < data.vocab_size < 60
    assert data.preparation.tokenizer.is_trained
