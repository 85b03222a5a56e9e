"""Indexes of vectors."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from lab_text.indexes import ExactIndex, NmslibIndex, UsearchIndex, make_index, recall_of

from lab.errors import DataError, LabError, StoreError


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


# --- usearch ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def usearch():
    return pytest.importorskip("usearch.index", reason="usearch is not installed: pip install 'lab-ablation[search]'")


def test_usearch_finds_nearly_all_true_neighbours_and_the_same_ones_every_time(usearch):
    one, other = (make_index(cloud(), UsearchIndex(threads=1)) for _ in range(2))
    assert one.built.recall >= 0.98
    queries = cloud(200, seed=3)
    assert np.array_equal(one.search(queries, 10)[0], other.search(queries, 10)[0])


def test_usearch_answers_as_exact_search_does(usearch):
    index, exact = UsearchIndex(ef_search=400, threads=1), ExactIndex()
    for each in (index, exact):
        each.build(cloud(500))
    for queries in (cloud(7, seed=1), cloud(1, seed=1)):
        places, near = index.search(queries, 4)
        assert np.array_equal(places, exact.search(queries, 4)[0])
        assert np.allclose(near, exact.search(queries, 4)[1], atol=1e-5)


def test_candidates_of_usearch_are_set_again_after_loading(usearch, tmp_path):
    built = UsearchIndex(ef_search=200, threads=1)
    built.build(cloud())
    built.save(tmp_path)
    loaded = UsearchIndex(ef_search=200, threads=1)
    loaded.load(tmp_path)
    queries = cloud(200, seed=3)
    assert np.array_equal(built.search(queries, 10)[0], loaded.search(queries, 10)[0])
    assert loaded._graph.expansion_search == 200


@pytest.mark.parametrize("damage", [b"", b"xx"])
def test_a_damaged_graph_of_usearch_is_told(usearch, tmp_path, damage):
    built = UsearchIndex()
    built.build(cloud(200))
    built.save(tmp_path)
    (tmp_path / "graph.usearch").write_bytes(damage)
    with pytest.raises(StoreError, match="the index cannot be read"):
        UsearchIndex().load(tmp_path)


def test_usearch_that_is_missing_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(LabError, match="index 'usearch' needs usearch") as caught:
        UsearchIndex().build(cloud(10))
    assert "lab-ablation[search]" in str(caught.value)


@pytest.mark.parametrize(
    ("installed", "kind"),
    [(("nmslib", "usearch"), NmslibIndex), (("usearch",), UsearchIndex), ((), ExactIndex)],
)
def test_the_default_for_many_vectors_is_what_is_installed(monkeypatch, installed, kind):
    monkeypatch.setattr("lab_text.indexes.importlib.util.find_spec", lambda name: name if name in installed else None)
    from lab_text.indexes import FEW, _fitting

    assert type(_fitting(FEW)) is kind
