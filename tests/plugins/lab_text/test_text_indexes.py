"""Indexes of vectors."""

from __future__ import annotations

import numpy as np
import pytest
from lab_text.indexes import ExactIndex, NmslibIndex, make_index, recall_of

from lab.errors import DataError, StoreError


def cloud(count=3000, width=20, seed=0):
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(50, width))
    return (centers[generator.integers(0, 50, count)] + 0.3 * generator.normal(size=(count, width))).astype(np.float32)


@pytest.mark.parametrize("space", ["cosinesimil", "angulardist"])
def test_nmslib_finds_nearly_all_true_neighbours(space):
    index = make_index(cloud(), NmslibIndex(space=space))
    assert index.built.recall >= 0.98
    assert index.built.queries_per_second > 0


def test_recall_counts_what_is_missed():
    class Half(ExactIndex):
        def search(self, queries, k):
            places, near = super().search(queries, k)
            return np.where(np.arange(k) < k // 2, places, -1), near

    index = Half()
    index.build(cloud(500))
    assert recall_of(index)[0] == 0.5


def test_the_exact_index_is_the_default_for_few_vectors():
    assert isinstance(make_index(cloud(100)), ExactIndex)


def test_nmslib_is_the_default_for_many(monkeypatch):
    monkeypatch.setattr("lab_text.indexes.FEW", 100)
    assert isinstance(make_index(cloud(100)), NmslibIndex)


def test_candidates_of_a_query_are_set_again_after_loading(tmp_path):
    built = NmslibIndex(ef_search=200)
    built.build(cloud())
    built.save(tmp_path)
    loaded = NmslibIndex(ef_search=200)
    loaded.load(tmp_path)
    queries = cloud(200, seed=3)
    assert np.array_equal(built.search(queries, 10)[0], loaded.search(queries, 10)[0])


def test_a_damaged_index_is_told(tmp_path):
    built = NmslibIndex()
    built.build(cloud(200))
    built.save(tmp_path)
    (tmp_path / "vectors.npy").write_bytes(b"")
    with pytest.raises(StoreError, match="the index cannot be read"):
        NmslibIndex().load(tmp_path)


def test_a_vector_of_zeros_points_nowhere():
    with pytest.raises(DataError, match="has no direction"):
        ExactIndex().build(np.zeros((3, 2), np.float32))
