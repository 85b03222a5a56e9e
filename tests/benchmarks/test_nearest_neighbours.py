"""Nearest neighbors of 100,000 clustered unit vectors of 300 numbers: nmslib beside exact search, in one run."""

from __future__ import annotations

import numpy as np
from lab_text.indexes import ExactIndex, NmslibIndex, unit

from tests.benchmarks.turns import seconds

COUNT, WIDTH, CENTRES, ALONE, BATCH, NEAREST = 100_000, 300, 1000, 200, 1000, 10
RECALL, ALONE_BOUND, BATCH_BOUND = 0.99, 10, 2


def test_nmslib_is_much_faster_than_exact_search_and_misses_little(figure, short):
    count = 10_000 if short else COUNT
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(CENTRES, WIDTH)).astype(np.float32)

    def drawn(number):
        noise = generator.normal(size=(number, WIDTH)).astype(np.float32)
        return unit(centres[generator.integers(0, CENTRES, number)] + 0.5 * noise)

    vectors, queries = drawn(count), drawn(BATCH)
    exact, graph = ExactIndex(), NmslibIndex(m=16, ef_construction=200, ef_search=50)
    exact.build(vectors)
    built = seconds(lambda: graph.build(vectors))

    truth, found = exact.search(queries, NEAREST)[0], graph.search(queries, NEAREST)[0]
    recall = np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(truth.tolist(), found.tolist(), strict=True)])
    alone = [_rate(lambda index=index: [index.search(queries[i : i + 1], NEAREST) for i in range(ALONE)], ALONE)
             for index in (exact, graph)]  # fmt: skip
    batch = [_rate(lambda index=index: index.search(queries, NEAREST), BATCH) for index in (exact, graph)]
    figure.value(f"building nmslib's index of {count:,} × {WIDTH}", built, "s")
    figure.value("recall@10 of nmslib", float(recall), "", at_least=RECALL)
    bounds = {"one at a time": (*alone, ALONE_BOUND), "in batches": (*batch, BATCH_BOUND)}
    for how, (peer, ours, bound) in bounds.items():
        least = None if short else bound  # a small index is searched exactly as fast
        figure.ratio(f"queries {how}", lab=ours, peer=peer, unit="queries/s", beside="exact search", at_least=least)


def _rate(action, count):
    action()
    return count / seconds(action)
