from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_seq2seq.callbacks import AttentionMaps, Translations
from lab_seq2seq.losses import Seq2SeqLoss
from lab_seq2seq.plots import attention_map
from lab_seq2seq.steppers import TeacherForcing
from lab_seq2seq.transformer import Transformer

from lab.errors import ParameterError
from lab.training import Learner
from tests.plugins.lab_seq2seq.conftest import FACTS, PAD, ToyTranslation, small_model


def trained(data: Any, folder: Path | None, *callbacks: Any, **options: Any) -> Path:
    learner = Learner(
        small_model(data, **options),
        data,
        Seq2SeqLoss(PAD),
        stepper=TeacherForcing(PAD),
        callbacks=callbacks,
        folder=folder,
        progress=False,
    )
    learner.fit(1)
    return (folder or Path()) / "artefacts"


def test_translations_show_source_reference_and_prediction(data: ToyTranslation, tmp_path: Path) -> None:
    folder = trained(data, tmp_path, Translations(count=4))
    rows = [json.loads(line) for line in (folder / "translations.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["reference"] for row in rows] == [data.valid[at][2] for at in (0, 4, 8, 12)]
    assert rows[0]["source"] == " ".join(reversed(rows[0]["reference"].lower().split()))
    text = (folder / "translations.txt").read_text(encoding="utf-8")
    assert text.startswith(f"source:     {rows[0]['source']}\nreference:  {rows[0]['reference']}\nprediction: ")
    assert text.count("\n\n") == 3


def test_further_texts_are_translated_without_a_reference(data: ToyTranslation, tmp_path: Path) -> None:
    folder = trained(data, tmp_path, Translations(count=1, texts=("a b", "c")))
    rows = [json.loads(line) for line in (folder / "translations.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["source"], row["reference"]) for row in rows[:2]] == [("a b", ""), ("c", "")]
    assert len(rows) == 3


def test_more_samples_than_sentences_gives_them_all(data: ToyTranslation, tmp_path: Path) -> None:
    folder = trained(data, tmp_path, Translations(count=1000, beam=2))
    assert len((folder / "translations.jsonl").read_text(encoding="utf-8").splitlines()) == len(data.valid)


def test_attention_maps_leave_pictures_and_numbers(data: ToyTranslation, tmp_path: Path) -> None:
    folder = trained(data, tmp_path, AttentionMaps(count=3), attention=AdditiveAttention) / "attention"
    assert sorted(path.name for path in folder.iterdir()) == ["01.png", "02.png", "03.png", "maps.json"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.glob("*.png"))
    for one in json.loads((folder / "maps.json").read_text(encoding="utf-8")):
        assert one["source"][-1] == "_eos_"
        assert len(one["weights"]) == len(one["target"])
        assert all(len(row) == len(one["source"]) for row in one["weights"])
        assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in one["weights"])


def test_attention_maps_of_a_transformer_have_every_layer_and_head(data: ToyTranslation, tmp_path: Path) -> None:
    model = Transformer(
        data.source_vocab_size, data.target_vocab_size, **FACTS, max_length=9, width=8, heads=2, encoder_layers=1,
        decoder_layers=2, feed_forward=8,
    )  # fmt: skip
    options = {"stepper": TeacherForcing(PAD), "folder": tmp_path, "progress": False}
    Learner(model, data, Seq2SeqLoss(PAD), callbacks=[AttentionMaps(count=3)], **options).fit(1)
    for one in json.loads((tmp_path / "artefacts/attention/maps.json").read_text(encoding="utf-8")):
        views = {view["name"]: view for view in one["views"]}
        assert len(views) == 2 * (1 + 2 + 2)
        cross = [views[f"decoder over source, layer 2, head {head}"]["weights"] for head in (1, 2)]
        assert (torch.tensor(cross).mean(0) - torch.tensor(one["weights"])).abs().max() < 2e-3
        own = views["decoder, layer 1, head 1"]
        assert (own["source"][0], own["source"][1:]) == ("_bos_", one["target"][:-1])
        assert views["encoder, layer 1, head 2"]["target"] == one["source"]
        for view in one["views"]:
            assert all(sum(row) == pytest.approx(1, abs=1e-2) for row in view["weights"])


def test_a_model_without_attention_leaves_no_maps(data: ToyTranslation, tmp_path: Path) -> None:
    assert not (trained(data, tmp_path, AttentionMaps()) / "attention").exists()


def test_without_a_folder_nothing_is_left(data: ToyTranslation) -> None:
    trained(data, None, Translations(), AttentionMaps(), attention=AdditiveAttention)


def test_artefacts_do_not_change_training(data: ToyTranslation, tmp_path: Path) -> None:
    model, options = small_model(data), {"folder": tmp_path, "progress": False}
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    losses = []
    for callbacks in ([], [Translations(beam=2)]):
        model.load_state_dict(weights)
        learner = Learner(model, data, Seq2SeqLoss(PAD), callbacks=callbacks, stepper=TeacherForcing(PAD), **options)
        learner.fit(1)
        losses.append([row["train_loss"] for row in learner.fit(2)])
    assert losses[0] == losses[1]


def test_labels_of_a_map_are_the_words() -> None:
    figure = attention_map(["où", "sont-ils", "?"], ["where", "are", "they", "?"], [[0.5, 0.25, 0.25]] * 4, title="1")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["où", "sont-ils", "?"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["where", "are", "they", "?"]


def test_a_count_of_nothing_is_refused() -> None:
    with pytest.raises(ParameterError) as failure:
        Translations(count=0)
    assert str(failure.value) == "count must be at least 1, got 0\n  callback 'translations'"
