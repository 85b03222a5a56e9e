"""Nearest-neighbor indexes: exact, and approximate with nmslib or usearch, with measured recall."""

from __future__ import annotations

import importlib
import importlib.util
import json
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from lab.errors import DataError, LabError, ParameterError, ShapeError, StoreError

__all__ = ["Built", "ExactIndex", "Index", "NmslibIndex", "UsearchIndex", "make_index", "recall_of", "unit"]

# Below this number of vectors the exact index is the default: fast enough, and it misses nothing.
FEW = 50_000

QUERIES, NEAREST = 200, 10


def unit(vector: np.ndarray) -> np.ndarray:
    """Return a vector, or rows of vectors, of length 1."""
    values = np.asarray(vector, np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


class Built(NamedTuple):
    """Measurements of an index.

    Attributes:
        recall: share of the true ten nearest neighbors that are found, for some of its vectors with noise as queries.
        seconds: build time.
        queries_per_second: for one batch.
    """

    recall: float
    seconds: float
    queries_per_second: float


class Index(ABC):
    """Base class of indexes: unit vectors, searched by cosine similarity."""

    vectors: np.ndarray
    built: Built | None = None

    @abstractmethod
    def build(self, vectors: np.ndarray) -> None:
        """Build the index of vectors (N, D), which are normalized."""

    @abstractmethod
    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest ``k`` of each query (Q, D): indices (Q, k) and cosine similarities (Q, k), descending."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the index into a folder."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read an index written by ``save``."""

    def check(self, queries: np.ndarray, k: int) -> None:
        """Raise unless queries fit the vectors."""
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            raise ShapeError(
                f"queries have the shape {queries.shape}, but the index has vectors of width {self.vectors.shape[1]}"
            )
        if not 1 <= k <= len(self.vectors):
            raise ParameterError(f"k={k} of {len(self.vectors)} vectors", where="index")


class ExactIndex(Index):
    """Exact search: all similarities, computed by torch in chunks of queries.

    Args:
        chunk: queries per chunk.
    """

    def __init__(self, *, chunk: int = 256) -> None:
        if chunk < 1:
            raise ParameterError(f"chunk must be at least 1, got {chunk}", where="index 'exact'")
        self.chunk = chunk

    def build(self, vectors: np.ndarray) -> None:
        self.vectors = unit(_two_dimensional(vectors))

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        self.check(queries, k)
        rows = torch.from_numpy(self.vectors)
        # In chunks: all similarities at once would need Q × N floats.
        parts = [torch.topk(part @ rows.T, k) for part in torch.from_numpy(unit(queries)).split(self.chunk)]
        return torch.cat([each.indices for each in parts]).numpy(), torch.cat([each.values for each in parts]).numpy()

    def save(self, folder: Path) -> None:
        np.save(folder / "vectors.npy", self.vectors)

    def load(self, folder: Path) -> None:
        self.vectors = _read_vectors(folder)


class NmslibIndex(Index):
    """Hierarchical navigable small-world graph (HNSW, Malkov & Yashunin 2016) by nmslib: fast, with high recall.

    With more than one thread the graph is not reproducible; recall changes in the third digit.

    Args:
        space: ``cosinesimil``, or ``angulardist`` as in the course; both order vectors alike.
        m: neighbors per vector in the graph.
        ef_construction: candidates during construction.
        ef_search: candidates per query; more give a higher recall and take longer.
        threads: number of threads; 0 for all.
    """

    def __init__(
        self,
        *,
        space: Literal["cosinesimil", "angulardist"] = "cosinesimil",
        m: int = 16,
        ef_construction: int = 200,
        ef_search: int = 50,
        threads: int = 0,
    ) -> None:
        if min(m, ef_construction, ef_search) < 1 or threads < 0:
            raise ParameterError(
                f"m={m}, ef_construction={ef_construction}, ef_search={ef_search}, threads={threads}",
                where="index 'nmslib'",
                hint="at least 1; threads at least 0",
            )
        self.space, self.m, self.ef_construction, self.ef_search = space, m, ef_construction, ef_search
        self.threads = threads

    def build(self, vectors: np.ndarray) -> None:
        self.vectors = unit(_two_dimensional(vectors))
        self._graph = self._new()
        self._graph.addDataPointBatch(self.vectors)
        options = {"M": self.m, "efConstruction": self.ef_construction, "post": 0}
        self._graph.createIndex({**options, **({"indexThreadQty": self.threads} if self.threads else {})})
        # Set again after loading, too: nmslib does not save it.
        self._graph.setQueryTimeParams({"efSearch": self.ef_search})

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        self.check(queries, k)
        queries = unit(queries)
        # The batch call starts threads, which a single query does not repay.
        if len(queries) == 1:
            found = [self._graph.knnQuery(queries[0], k=k)]
        else:
            found = self._graph.knnQueryBatch(queries, k=k, num_threads=self.threads)
        # An HNSW graph can be disconnected; the exact index then answers.
        if any(len(places) < k for places, _ in found):
            exact = ExactIndex()
            exact.vectors = self.vectors
            return exact.search(queries, k)
        places, distances = (np.stack(part) for part in zip(*found, strict=True))
        similar = 1 - distances if self.space == "cosinesimil" else np.cos(distances)
        return places.astype(np.int64), similar.astype(np.float32)

    def save(self, folder: Path) -> None:
        np.save(folder / "vectors.npy", self.vectors)
        self._graph.saveIndex(str(folder / "graph.bin"), save_data=True)
        (folder / "graph.json").write_text(json.dumps({"space": self.space}), encoding="utf-8")

    def load(self, folder: Path) -> None:
        self.vectors = _read_vectors(folder)
        try:
            self.space = json.loads((folder / "graph.json").read_text(encoding="utf-8"))["space"]
            self._graph = self._new()
            self._graph.loadIndex(str(folder / "graph.bin"), load_data=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise StoreError("the index cannot be read", where=f"{folder}: {error}") from error
        self._graph.setQueryTimeParams({"efSearch": self.ef_search})

    def _new(self) -> Any:
        import nmslib

        return nmslib.init(method="hnsw", space=self.space)


class UsearchIndex(Index):
    """Hierarchical navigable small-world graph (HNSW, Malkov & Yashunin 2016) by usearch, which few systems lack.

    Needs the extra ``search``. With one thread the graph is the same every time.

    Args:
        m: neighbors per vector in the graph.
        ef_construction: candidates during construction.
        ef_search: candidates per query; more give a higher recall and take longer.
        threads: number of threads; 0 for all.
    """

    def __init__(self, *, m: int = 16, ef_construction: int = 200, ef_search: int = 50, threads: int = 0) -> None:
        if min(m, ef_construction, ef_search) < 1 or threads < 0:
            raise ParameterError(
                f"m={m}, ef_construction={ef_construction}, ef_search={ef_search}, threads={threads}",
                where="index 'usearch'",
                hint="at least 1; threads at least 0",
            )
        self.m, self.ef_construction, self.ef_search, self.threads = m, ef_construction, ef_search, threads

    def build(self, vectors: np.ndarray) -> None:
        self.vectors = unit(_two_dimensional(vectors))
        self._graph = _usearch().Index(
            ndim=self.vectors.shape[1],
            metric="cos",
            dtype="f32",
            connectivity=self.m,
            expansion_add=self.ef_construction,
            expansion_search=self.ef_search,
        )
        self._graph.add(np.arange(len(self.vectors)), self.vectors, threads=self.threads)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        self.check(queries, k)
        # A single query gives its neighbors in one dimension.
        found = self._graph.search(unit(queries), k, threads=self.threads)
        places = np.atleast_2d(found.keys).astype(np.int64)
        # A graph can be disconnected; the exact index then answers.
        if places.shape[1] < k or (np.atleast_1d(getattr(found, "counts", k)) < k).any():
            exact = ExactIndex()
            exact.vectors = self.vectors
            return exact.search(queries, k)
        return places, (1 - np.atleast_2d(found.distances)).astype(np.float32)

    def save(self, folder: Path) -> None:
        np.save(folder / "vectors.npy", self.vectors)
        self._graph.save(str(folder / "graph.usearch"))

    def load(self, folder: Path) -> None:
        self.vectors = _read_vectors(folder)
        try:
            self._graph = _usearch().Index.restore(str(folder / "graph.usearch"))
        except (OSError, ValueError, RuntimeError) as error:
            raise StoreError("the index cannot be read", where=f"{folder}: {error}") from error
        if self._graph is None or self._graph.ndim != self.vectors.shape[1] or len(self._graph) != len(self.vectors):
            raise StoreError("the index cannot be read", where=f"{folder}: no graph of these vectors")
        # Not in the file.
        self._graph.expansion_search = self.ef_search


def _usearch() -> Any:
    try:
        return importlib.import_module("usearch.index")
    except ImportError as error:
        raise LabError(
            f"index 'usearch' needs usearch: {error}",
            hint="pip install 'lab-ablation[search]', or choose index 'exact'",
        ) from error


def _two_dimensional(vectors: np.ndarray) -> np.ndarray:
    if vectors.ndim != 2 or not len(vectors):
        raise ShapeError(f"vectors have the shape {vectors.shape}, expected (N, D) with N at least 1")
    if not np.isfinite(vectors).all():
        # The first bad row shows whether one image or the whole network is affected.
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise DataError(
            f"vector {row:,} has values that are not finite",
            where="index",
            hint="did the training diverge? a smaller lr",
        )
    if not np.linalg.norm(vectors, axis=1).all():
        raise DataError("a vector is all zeros, so it has no direction", where="index", hint="leave such vectors out")
    return vectors


def _read_vectors(folder: Path) -> np.ndarray:
    try:
        vectors: np.ndarray = np.load(folder / "vectors.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StoreError("the index cannot be read", where=f"{folder}: {error}") from error
    if vectors.ndim != 2 or vectors.dtype != np.float32 or not len(vectors) or not np.isfinite(vectors).all():
        raise StoreError(
            "the index is damaged", where=f"{folder}: {vectors.dtype} of the shape {vectors.shape}", hint="remove it"
        )
    return vectors


def make_index(vectors: np.ndarray, index: Index | None = None) -> Index:
    """Return an index of vectors, built and measured against exact search.

    Args:
        vectors: (N, D).
        index: kind of index; None for exact below 50,000 vectors, otherwise nmslib, or usearch where nmslib is not
            installed; exact again where neither is.
    """
    index = _fitting(len(vectors)) if index is None else index
    started = time.perf_counter()
    index.build(vectors)
    seconds = time.perf_counter() - started
    recall, rate = recall_of(index)
    index.built = Built(recall, seconds, rate)
    return index


def _fitting(count: int) -> Index:
    if count < FEW:
        return ExactIndex()
    kinds: dict[str, type[Index]] = {"nmslib": NmslibIndex, "usearch": UsearchIndex}
    return next((kind() for module, kind in kinds.items() if importlib.util.find_spec(module)), ExactIndex())


def recall_of(index: Index, *, queries: int = QUERIES, k: int = NEAREST, seed: int = 0) -> tuple[float, float]:
    """Return the recall of an index for the ``k`` nearest neighbors, and its queries per second in one batch.

    Queries are vectors of the index plus noise of norm 0.1.
    """
    generator = np.random.default_rng(seed)
    chosen = index.vectors[generator.integers(0, len(index.vectors), queries)]
    # Noise, because every index finds a vector that it holds.
    asked = unit(chosen + 0.1 * unit(generator.normal(size=chosen.shape)))
    k = min(k, len(index.vectors))
    started = time.perf_counter()
    places = index.search(asked, k)[0]
    rate = queries / max(time.perf_counter() - started, 1e-9)
    # Already of length 1; build would normalize again.
    exact = ExactIndex()
    exact.vectors = index.vectors
    truth = exact.search(asked, k)[0]
    hits = [len(set(a) & set(b)) for a, b in zip(places.tolist(), truth.tolist(), strict=True)]
    return sum(hits) / (queries * k), rate
