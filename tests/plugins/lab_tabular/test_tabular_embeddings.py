"""What a trained network knows of categories."""

from __future__ import annotations

import numpy as np
import pytest
from lab_tabular.embeddings import (
    category_distances,
    category_map,
    compare_encodings,
    embedding_features,
    entity_embeddings,
)
from lab_tabular.report import sections
from lab_tabular.sources import towns_frame

from lab import Experiment, Learner, Study, use
from lab.errors import LabError, UnknownNameError
from tests.plugins.lab_tabular.conftest import flats, net


def test_every_category_has_its_vector(learner):
    vectors = entity_embeddings(learner)
    assert list(vectors) == ["town", "kind", "month", "income_missing"]
    assert vectors["town"].index.tolist() == [f"town {number:02}" for number in range(60)]


def test_towns_lie_in_vector_space_as_they_lie_on_the_map(learner):
    found = category_map(learner, "town")
    assert found.correlation > 0.85
    assert np.abs(found.places - found.truth).mean() < 0.3


def test_features_stand_for_rows(learner):
    frame = towns_frame(30, data_seed=5)[0]
    features = embedding_features(learner, frame)
    vectors = entity_embeddings(learner)["town"]
    row = features.filter(like="town_").iloc[4].to_numpy()
    assert np.allclose(row, vectors.loc[frame["town"][4]])
    assert {"rooms", "income"} <= set(features.columns)


def test_other_models_do_better_on_vectors_than_on_ones_and_zeros(learner):
    rows = compare_encodings(learner, sample=2000)
    assert [row["model"] for row in rows] == [
        *("the network", "nearest neighbors", "random forest", "gradient boosting"),
    ]
    assert all(row["embedding"] < row["one_hot"] for row in rows[1:])


def test_an_unknown_column_has_close_matches(learner):
    with pytest.raises(UnknownNameError, match="did you mean: town"):
        category_map(learner, "twon")


def test_a_network_of_ones_and_zeros_has_no_vectors():
    data = flats()
    learner = Learner(net(data, categories="one_hot"), data, lambda output, target: output.sum(), progress=False)
    with pytest.raises(LabError, match="no category embeddings"):
        entity_embeddings(learner)


def test_the_report_shows_maps_encodings_and_films(tmp_path):
    rents = Experiment(
        dataset=use("towns", rows=300), architecture=use("tabular_mlp", layers=[8]), loss="mse", epochs=1,
        callbacks=[use("entity_maps", compare=True, sample=100)],
    )  # fmt: skip
    line = Experiment(dataset="line", architecture="line", loss="mse", epochs=1, callbacks=[use("line_film", frames=2)])
    found = {}
    for name, base in (("rents", rents), ("line", line)):
        runs = Study(base, seeds=1, name=name).run(runs=tmp_path).runs
        found |= {section.title: section for section in sections(runs)}
    entities, film = found["Category embeddings"], found["Training of the line"]
    assert "town: map of 59 categories" in entities.text
    assert "nearest neighbors" in entities.text
    assert "<svg" in entities.html
    assert "data:image/gif;base64," in film.html
    assert film.text.startswith("base: y = ")


def test_towns_with_vectors_near_each_other_mean_alike(learner):
    found = category_distances(learner, "town", pairs=500)
    towns = len(learner.data.preparation.categories["town"])
    assert len(found.vectors) == len(found.outputs) == min(500, towns * (towns - 1) // 2)
    assert found.correlation > 0.5
    with pytest.raises(UnknownNameError, match="categorical column 'twon'"):
        category_distances(learner, "twon")


def test_the_distance_of_predictions_is_that_with_nothing_but_the_category_changed(learner):
    found = category_distances(learner, "town", pairs=10**6, rows=10**6)
    rows = learner.data.valid
    predicted = []
    for code in (2, 3):
        codes = rows.categorical.clone()
        codes[:, learner.data.category_names.index("town")] = code
        predicted.append(learner.predict(codes, rows.continuous).flatten())
    assert found.outputs[0] == pytest.approx(float((predicted[0] - predicted[1]).abs().mean()), rel=1e-4)
