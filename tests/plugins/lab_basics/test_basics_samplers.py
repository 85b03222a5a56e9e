from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lab_basics.losses import mse
from lab_basics.samplers import Bucket, FullBatch, Sequential, Shuffle, Sort, Sortish

from lab.errors import DataError, ParameterError
from lab.training import Data, Learner


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def samplers(lengths, batch_size, seed=0):
    size = len(lengths)
    return {
        "sequential": Sequential(size, batch_size),
        "shuffle": Shuffle(size, batch_size, seeded(seed)),
        "sort": Sort(lengths, batch_size),
        "sortish": Sortish(lengths, batch_size, seeded(seed), chunk_batches=3),
        "bucket": Bucket(lengths, batch_size, seeded(seed)),
        "full_batch": FullBatch(size),
    }


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(0, 40_000), max_size=60), batch_size=st.integers(1, 9), seed=st.integers(0, 99))
def test_every_sampler_gives_every_index_once_in_as_many_batches_as_it_says(lengths, batch_size, seed):
    for name, sampler in samplers(lengths, batch_size, seed).items():
        for _ in range(2):
            batches = list(sampler)
            assert sorted(index for batch in batches for index in batch) == list(range(len(lengths))), name
            assert len(batches) == len(sampler), name
            assert all(batches), name


@pytest.mark.parametrize("name", ["shuffle", "sortish", "bucket"])
def test_the_same_state_of_the_generator_gives_the_same_pass(name):
    lengths = np.random.default_rng(0).integers(1, 30, 200)
    first, second, other = (list(samplers(lengths, 8, seed)[name]) for seed in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.mark.parametrize("name", ["shuffle", "sortish", "bucket"])
def test_a_second_pass_is_another_one(name):
    sampler = samplers(np.random.default_rng(0).integers(1, 30, 200), 8)[name]
    assert list(sampler) != list(sampler)


def test_sort_gives_the_longest_first_and_keeps_the_order_of_equals():
    assert list(Sort([2, 9, 5, 9, 1], 2)) == [[1, 3], [2, 0], [4]]


def reference_sortish(lengths, batch_size, chunk_batches, generator):
    """The course's steps, written down one after the other with Python's own sort."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    chunk = batch_size * chunk_batches
    chunks = [sorted(order[i : i + chunk], key=lambda index: -lengths[index]) for i in range(0, len(order), chunk)]
    flat = [index for each in chunks for index in each]
    batches = [flat[i : i + batch_size] for i in range(0, len(flat), batch_size)]
    longest = max(range(len(batches)), key=lambda i: lengths[batches[i][0]])
    batches[0], batches[longest] = batches[longest], batches[0]
    rest = torch.randperm(len(batches) - 1, generator=generator).tolist()
    return [batches[0], *(batches[1 + i] for i in rest)]


@pytest.mark.parametrize("size", [1, 7, 8, 100, 1001])
def test_sortish_is_the_courses_algorithm(size):
    lengths = np.random.default_rng(size).integers(1, 50, size)
    assert list(Sortish(lengths, 8, seeded(3), chunk_batches=5)) == reference_sortish(lengths, 8, 5, seeded(3))


def test_the_first_batch_of_sortish_has_the_longest_example():
    lengths = np.random.default_rng(0).integers(1, 1000, 5000)
    for seed in range(5):
        assert lengths[next(iter(Sortish(lengths, 16, seeded(seed))))].max() == lengths.max()


def test_sortish_pads_little():
    lengths = np.random.default_rng(0).integers(1, 100, 20_000)
    padded = sum(len(batch) * lengths[batch].max() for batch in Sortish(lengths, 64, seeded()))
    assert padded < 1.05 * lengths.sum()


def test_no_batch_of_bucket_holds_more_tokens_than_its_budget():
    lengths = np.random.default_rng(0).integers(1, 100, 5000)
    sampler = Bucket(lengths, 1, seeded(), tokens=700)
    sizes = [len(batch) * lengths[batch].max() for batch in sampler]
    assert max(sizes) <= 700
    assert np.mean(sizes) > 600


def test_bucket_exchanges_examples_of_equal_length_only():
    lengths = np.random.default_rng(0).integers(1, 10, 500)
    sampler = Bucket(lengths, 16, seeded())
    first, second = (sorted(sorted(lengths[batch].tolist()) for batch in sampler) for _ in range(2))
    assert first == second


def test_bucket_has_by_default_about_as_many_tokens_in_a_batch_as_an_even_one():
    assert Bucket([1, 2, 3, 6], 4, seeded()).tokens == 12
    assert Bucket([1, 1, 1, 50], 2, seeded()).tokens == 50


def test_bucket_names_the_example_that_is_longer_than_the_budget():
    with pytest.raises(DataError) as error:
        Bucket([3, 120, 7], 4, seeded(), tokens=100)
    assert str(error.value) == (
        "example 1 has 120 tokens, more than a batch of 100\n"
        "  sampler 'bucket', parameter 'tokens'\n"
        "  set tokens to at least 120, or drop such long examples"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shuffle(9, 0, seeded()), "batch_size must be at least 1, got 0"),
        (
            lambda: Sortish([1], 4, seeded(), chunk_batches=0),
            "chunk_batches must be at least 1, got 0\n  sampler 'sortish'",
        ),
        (lambda: Bucket([1], 4, seeded(), tokens=0), "tokens must be at least 1, got 0\n  sampler 'bucket'"),
        (lambda: Sort([1, -2], 4), "example 1 has the negative length -2"),
        (lambda: Sort([[1], [2]], 4), "lengths must be one number per example, got an array of shape (2, 1)"),
    ],
)
def test_bad_parameters_are_told(make, message):
    with pytest.raises((ParameterError, DataError)) as error:
        make()
    assert str(error.value) == message


def test_lengths_beyond_16_bits_are_sorted_rightly():
    assert list(Sort([70_000, 3, 70_001], 1)) == [[2], [0], [1]]


class WithLengths:
    """Examples of which each is its own index."""

    def __len__(self):
        return 300

    def __getitem__(self, index):
        return torch.tensor(float(index)), torch.tensor(0.0)


@pytest.mark.parametrize("sampler", [Shuffle, Sort, Sortish, Bucket])
def test_a_learner_sees_the_same_batches_for_the_same_seed_and_epoch(sampler):
    lengths = np.random.default_rng(0).integers(1, 30, 300)
    data = Data(WithLengths(), WithLengths(), length=lambda split: lengths)

    def epochs(seed):
        learner = Learner(torch.nn.Linear(1, 1), data, mse, sampler=sampler, batch_size=8, seed=seed, progress=False)
        seen = []
        for epoch in (0, 1):
            learner.train_sampler.start_at(epoch)
            seen.append([batch[0].tolist() for batch in learner.train_loader])
        return seen

    first, again, other = epochs(1), epochs(1), epochs(2)
    assert first == again
    assert len(first[0]) == len(first[1])
    if sampler is not Sort:
        assert first[0] != first[1]
        assert first != other


# --- the last batch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Sequential, Shuffle, Sort, Sortish])
def test_the_batch_that_is_not_full_may_be_left_out(kind):
    facts = {"size": 25, "lengths": np.arange(25) % 7 + 1, "batch_size": 8, "generator": torch.Generator()}
    names = [name for name in inspect.signature(kind).parameters if name in facts]
    sampler = kind(**{name: facts[name] for name in names}, drop_last=True)
    for _ in range(2):
        batches = list(sampler)
        assert [len(batch) for batch in batches] == [8, 8, 8]
        assert len(sampler) == 3
        assert len({index for batch in batches for index in batch}) == 24


@pytest.mark.parametrize(("size", "sizes"), [(24, [8, 8, 8]), (5, [5]), (0, [])])
def test_full_batches_and_an_only_one_stay(size, sizes):
    assert [len(batch) for batch in Sequential(size, 8, drop_last=True)] == sizes
