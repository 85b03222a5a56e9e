"""Nearest neighbours of 100,000 clustered unit vectors of 300 numbers: nmslib beside exact search, in one run.

pytest tests/benchmarks/test_nearest_neighbours.py -n 0 --benchmark-enable -s
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from lab_devise.indexes import ExactIndex, NmslibIndex
from lab_devise.words import unit

COUNT, WIDTH, CENTRES, ALONE, BATCH, NEAREST = 100_000, 300, 1000, 200, 1000, 10
RECALL, ALONE_BOUND, BATCH_BOUND = 0.99, 10, 2


@pytest.fixture(autouse=True)
def only_when_asked(request: pytest.FixtureRequest):
    if not (request.config.getoption("benchmark_enable") or request.config.getoption("benchmark_only")):
        pytest.skip("measures time: run with --benchmark-enable on a machine that does nothing else")


def test_nmslib_is_much_faster_than_exact_search_and_misses_little(benchmark):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(CENTRES, WIDTH)).astype(np.float32)

    def drawn(count):
        noise = generator.normal(size=(count, WIDTH)).astype(np.float32)
        return unit(centres[generator.integers(0, CENTRES, count)] + 0.5 * noise)

    vectors, queries = drawn(COUNT), drawn(BATCH)
    exact, graph = ExactIndex(), NmslibIndex(m=16, ef_construction=200, ef_search=50)
    exact.build(vectors)
    started = time.perf_counter()
    graph.build(vectors)
    built = time.perf_counter() - started

    truth, found = exact.search(queries, NEAREST)[0], graph.search(queries, NEAREST)[0]
    recall = np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(truth.tolist(), found.tolist(), strict=True)])
    alone = [_rate(lambda index=index: [index.search(queries[i : i + 1], NEAREST) for i in range(ALONE)], ALONE)
             for index in (exact, graph)]  # fmt: skip
    batch = [_rate(lambda index=index: index.search(queries, NEAREST), BATCH) for index in (exact, graph)]
    print(
        f"\nbuilt in {built:.0f} s, recall@10 {recall:.4f} (bound {RECALL}); queries a second, exact and nmslib: "
        f"one at a time {alone[0]:,.0f} and {alone[1]:,.0f}, ratio {alone[1] / alone[0]:.1f} (bound {ALONE_BOUND}); "
        f"in batches {batch[0]:,.0f} and {batch[1]:,.0f}, ratio {batch[1] / batch[0]:.1f} (bound {BATCH_BOUND})"
    )
    benchmark.extra_info.update(recall=float(recall), alone=alone[1] / alone[0], batch=batch[1] / batch[0])
    benchmark.pedantic(graph.search, (queries, NEAREST), rounds=3)
    assert recall >= RECALL
    assert alone[1] >= ALONE_BOUND * alone[0]
    assert batch[1] >= BATCH_BOUND * batch[0]


def _rate(action, count):
    action()
    started = time.perf_counter()
    action()
    return count / (time.perf_counter() - started)
