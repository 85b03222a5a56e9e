"""Runs of two arms with the same seed form a pair: the same batches, and equal weights in the parts they share."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from lab import Experiment, Study, use
from lab.registry.plugins import Catalog, load_catalog
from lab.study.build import DataCache, build_learner
from lab.training import Learner, Streams

ARCHITECTURES = ("seq2seq_rnn", "seq2seq_bidir", "seq2seq_attn", "seq2seq_bidir_attn")
PARTS = ("encoder.embedding", "encoder.recurrent", "bridge", "embedding", "attention", "context", "decoder", "output")
WIDTHS = {"embedding_dim": 8, "hidden_size": 8}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="module")
def cache() -> DataCache:
    return DataCache()


def _learner(architecture: Any, catalog: Catalog, cache: DataCache, seed: int = 0, **slots: Any) -> Learner:
    base = Experiment(
        dataset=use("fr_en_questions", pairs=300),
        architecture=architecture,
        loss="seq2seq_loss",
        stepper="teacher_forcing",
        **{"sampler": "sortish", "batch_size": 16, **slots},
    )
    (arm,) = Study(base).resolve(catalog)
    data = cache.get(arm.experiment.component("dataset"))
    return build_learner(arm.experiment, data, seed=seed, catalog=catalog)


def _batches(learner: Learner) -> list[torch.Tensor]:
    learner.train_sampler.start_at(1)
    return [batch.source for batch in learner.train_loader]


@pytest.mark.parametrize("pair", list(itertools.combinations(ARCHITECTURES, 2)), ids=" and ".join)
def test_two_arms_see_the_same_batches_in_the_same_order(
    pair: tuple[str, str], catalog: Catalog, cache: DataCache
) -> None:
    one, other = (_batches(_learner(use(name, **WIDTHS), catalog, cache)) for name in pair)
    assert len(one) == len(other)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("pair", list(itertools.combinations(ARCHITECTURES, 2)), ids=" and ".join)
def test_two_arms_begin_with_equal_weights_in_the_parts_they_share(
    pair: tuple[str, str], catalog: Catalog, cache: DataCache
) -> None:
    one, other = (_learner(use(name, **WIDTHS), catalog, cache).model for name in pair)
    shared = [part for part in PARTS if _shapes(one, part) and _shapes(one, part) == _shapes(other, part)]
    assert {"encoder.embedding", "embedding", "decoder", "output"} <= set(shared)
    for part in shared:
        weights, others = _weights(one, part), _weights(other, part)
        assert all(torch.equal(weights[name], others[name]) for name in weights), part


def _weights(model: nn.Module, part: str) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in model.named_parameters() if name.startswith(f"{part}.")}


def _shapes(model: nn.Module, part: str) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in _weights(model, part).items()}


def test_another_seed_gives_other_batches_and_other_weights(catalog: Catalog, cache: DataCache) -> None:
    one, other = (_learner(use("seq2seq_rnn", **WIDTHS), catalog, cache, seed=seed) for seed in (0, 1))
    assert not all(torch.equal(a, b) for a, b in zip(_batches(one), _batches(other), strict=True))
    assert not torch.equal(one.model.embedding.weight, other.model.embedding.weight)


def test_every_part_of_the_built_in_models_has_its_own_stream(catalog: Catalog, cache: DataCache) -> None:
    for name in ARCHITECTURES:
        learner = _learner(use(name, **WIDTHS), catalog, cache)
        assert {"source_embedding", "encoder", "bridge", "target_embedding", "decoder"} <= set(learner.parts)


def test_a_merged_stream_would_be_found_out(
    catalog: Catalog, cache: DataCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = Streams.seed
    monkeypatch.setattr(
        Streams, "seed", lambda self, *purpose: seed(self, purpose[0])
    )  # all parts on the stream `init`
    one, other = (
        dict(_learner(use(name, **WIDTHS), catalog, cache).model.named_parameters())
        for name in ("seq2seq_rnn", "seq2seq_attn")
    )
    assert torch.equal(one["encoder.recurrent.rnn.weight_hh_l0"], other["encoder.recurrent.rnn.weight_hh_l0"])
    merged = one["encoder.embedding.weight"].flatten()[:64]
    assert torch.equal(merged, one["embedding.weight"].flatten()[:64]), "with one stream, both embeddings begin alike"


def test_forcing_masks_do_not_change_the_batches(catalog: Catalog, cache: DataCache) -> None:
    forced = _learner(use("seq2seq_rnn", **WIDTHS), catalog, cache)
    forced.fit(1)
    fresh = _learner(use("seq2seq_rnn", **WIDTHS), catalog, cache)
    assert all(torch.equal(a, b) for a, b in zip(_batches(forced), _batches(fresh), strict=True))
