"""Training batches as tables: what each kind of data says of its examples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_basics.batch_table import batch_table, first_batch, layout

from lab import Experiment, Study, use
from lab.registry.plugins import load_catalog
from lab.study.build import DataCache, build_learner


def shown(dataset: Any, architecture: Any, loss: str, **options: Any) -> list[list[str]]:
    """Return the table of the first training batch."""
    catalog = load_catalog()
    base = Experiment(dataset=dataset, architecture=architecture, loss=loss, batch_size=4, epochs=1, **options)
    experiment = Study(base, seeds=1).resolve(catalog, where="test")[0].experiment
    data = DataCache().get(experiment.component("dataset"))
    learner = build_learner(experiment, data, seed=0, catalog=catalog)
    table = layout(batch_table(data, first_batch(learner), 3))
    assert learner.show_batch(3).splitlines()[0] == table.splitlines()[0]
    return [line.split("  ") for line in table.splitlines()]


def test_windows_of_characters_are_shown_with_targets_one_further() -> None:
    rows = batch_of_text()
    assert rows[0] == ["text", "target"]
    for text, target in rows[1:]:
        assert text[1:] == target[:-1]


def batch_of_text() -> list[list[str]]:
    from lab_charlm.data import char_text

    data = char_text(bptt=8, max_chars=500)
    return batch_table(data, data.train.__getitems__([0, 3]), 5)


@pytest.mark.parametrize(
    ("dataset", "architecture", "loss", "options", "header"),
    [
        (use("ratings", max_rows=500), "dot_bias", "mse", {}, ["user", "item", "rating"]),
        (use("towns", rows=200), "tabular_mlp", "mse", {}, ["town", "kind"]),
        (
            use("fr_en_questions", corpus="embedded", pairs=300), "seq2seq_rnn", "seq2seq_loss",
            {"stepper": "teacher_forcing"}, ["source", "target"],
        ),
        (use("labelled_text", max_size=200), "text_classifier", "cross_entropy", {}, ["text", "target"]),
        (use("points", count=64), "mlp", "cross_entropy", {}, ["part", "shape", "type", "first values"]),
    ],
)  # fmt: skip
def test_every_kind_of_data_says_what_a_batch_holds(
    dataset: Any, architecture: str, loss: str, options: dict[str, Any], header: list[str]
) -> None:
    rows = shown(dataset, architecture, loss, **options)
    assert [cell.strip() for cell in rows[0] if cell.strip()][: len(header)] == header
    assert len(rows) in (3, 4)


def test_rows_of_a_table_are_those_that_the_model_sees() -> None:
    from lab_tabular.sources import towns

    data = towns(rows=100)
    header, first = batch_table(data, data.train.__getitems__([0]), 1)
    assert header[-1] == "rent"
    names = data.preparation.categories["town"]
    assert first[0] == names[int(data.train.categorical[0, 0]) - 2]


def test_data_without_a_table_shows_shapes_and_first_values() -> None:
    batch = (torch.arange(12.0).view(3, 4), torch.tensor([1, 0, 2]))
    rows = batch_table(object(), batch)  # type: ignore[arg-type]
    assert rows[1] == ["input 1", "3 × 4", "float32", "0, 1, 2, 3, 4, 5 …"]
    assert rows[2] == ["target", "3", "int64", "1, 0, 2"]


def test_long_cells_are_shortened_and_line_ends_stay_in_the_row() -> None:
    text = layout([["a", "b"], ["x\ny", "z" * 100]])
    assert text.splitlines()[1].startswith("x↵y  zzz")
    assert text.splitlines()[1].endswith("z…")
    assert len(text.splitlines()) == 2
