from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_seq2seq.losses import Seq2SeqLoss
from lab_seq2seq.transfer import load_encoder, save_encoder

from lab.errors import LabError, StoreError
from lab.training import Learner
from tests.plugins.lab_seq2seq.conftest import PAD, ToyTranslation, small_model, toy_data


def learner_of(data: Any, **options: Any) -> Learner:
    return Learner(small_model(data, **options), data, Seq2SeqLoss(PAD), progress=False)


def test_an_encoder_moves_to_a_model_with_another_decoder(data: ToyTranslation, tmp_path: Path) -> None:
    one, two = learner_of(data), learner_of(data, attention=AdditiveAttention)
    decoder = two.model.decoder.rnn.weight_ih_l0.clone()
    save_encoder(one, tmp_path / "encoder.safetensors")
    load_encoder(two, tmp_path / "encoder.safetensors")
    for name, weight in one.model.encoder.state_dict().items():
        assert torch.equal(two.model.encoder.state_dict()[name], weight)
    assert torch.equal(two.model.decoder.rnn.weight_ih_l0, decoder)


def test_another_layout_is_refused_with_both_values(data: ToyTranslation, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(learner_of(data), path)
    with pytest.raises(StoreError) as failure:
        load_encoder(learner_of(data, hidden_size=20, cell="lstm"), path)
    assert str(failure.value) == (
        f"this encoder does not fit the model\n  {path}\n"
        "  cell: gru in the file, lstm in the model\n"
        "  hidden_size: 10 in the file, 20 in the model"
    )


def test_another_vocabulary_of_the_same_size_is_refused(data: ToyTranslation, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(learner_of(data), path)
    with pytest.raises(StoreError, match=r"source vocabulary: [0-9a-f]{12} in the file, [0-9a-f]{12} in the model"):
        load_encoder(learner_of(toy_data(letters="uvwxyz")), path)


def test_a_file_of_something_else_is_refused(data: ToyTranslation, tmp_path: Path) -> None:
    learner = learner_of(data)
    learner.save(tmp_path / "model.safetensors")
    with pytest.raises(StoreError) as failure:
        load_encoder(learner, tmp_path / "model.safetensors")
    assert str(failure.value) == (
        f"this file has no encoder\n  {tmp_path / 'model.safetensors'}\n  write one with learner.save_encoder(path)"
    )


def test_a_missing_file_is_named(data: ToyTranslation, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as failure:
        load_encoder(learner_of(data), tmp_path / "none")
    assert str(failure.value).startswith(f"cannot read the encoder\n  {tmp_path / 'none'}: ")


def test_a_model_without_encoder_is_refused(data: ToyTranslation, tmp_path: Path) -> None:
    learner = Learner(torch.nn.Linear(2, 2), data, Seq2SeqLoss(PAD), progress=False)
    with pytest.raises(LabError) as failure:
        save_encoder(learner, tmp_path / "encoder")
    assert str(failure.value) == "a Linear has no encoder to save or load\n  seq2seq_rnn has one"
