"""Checks of datasets."""

from __future__ import annotations

import hashlib
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from lab.errors import DataError
from lab.study.experiment import declared_facts
from lab.testing.conformance import Conformance, skip
from lab.testing.finding import Finding
from lab.testing.probe import no_global_randomness, same
from lab.training.data import Data, SequentialSampler
from lab.training.rng import global_generator

__all__ = ["DatasetConformance"]

LOOKED_AT = 500


class DatasetConformance(Conformance):
    """The checks of datasets: ``factory(**params)`` gives a ``Data``.

    A dataset whose corpus is not on this machine is not checked; a small one can be chosen with parameters.
    """

    kind = "datasets"

    @cached_property
    def data(self) -> Data:
        """The data; skips if its corpus is not on this machine."""
        return self._build()

    def exercise(self) -> None:
        self._build().split("train")[0]

    def test_gives_data_with_a_training_split(self) -> None:
        """A ``Data`` whose training and validation splits hold examples."""
        for split in ("train", "valid"):
            self.data.split(split)

    def test_every_example_can_be_read(self) -> None:
        """From index 0 to ``len(split) - 1``."""
        for name, split in self._splits().items():
            # Reading all examples would take minutes on a large corpus.
            for index in (0, len(split) // 2, len(split) - 1):
                try:
                    split[index]
                except Exception as error:
                    raise Finding(f"{self.label}: {name}[{index}] of {len(split)} cannot be read: {error!r}") from error

    def test_splits_are_disjoint(self) -> None:
        """No example of validation or test was trained on."""
        splits = self._splits()
        # Only hashes are kept: the examples of a large corpus do not fit into memory.
        trained = {_digest(splits["train"][index]) for index in range(len(splits["train"]))}
        for name in splits.keys() - {"train"}:
            examples = (splits[name][index] for index in range(min(len(splits[name]), LOOKED_AT)))
            seen = sum(_digest(example) in trained for example in examples)
            if seen:
                looked_at = min(len(splits[name]), LOOKED_AT)
                raise Finding(f"{self.label}: {seen} of {looked_at} examples of the {name} split stand in train, too")

    def test_is_deterministic(self) -> None:
        """Built again under other global random states it has the same examples and the same fingerprint."""
        # Under another global state: a data set that draws from it differs, and so would the numbers of its runs.
        with global_generator(1):
            again = self._build()
        if not self.data.fingerprint:
            raise Finding(f"{self.label} has no fingerprint", hint="Data(fingerprint=...): a hash of the content")
        if again.fingerprint != self.data.fingerprint:
            raise Finding(f"{self.label}: built again, its fingerprint is another", hint="draw from a fixed seed")
        for name, split in self._splits().items():
            first, second = (
                list(islice(map(data.__getitem__, range(3)), len(split))) for data in (split, getattr(again, name))
            )
            if not same(first, second):
                raise Finding(f"{self.label}: built again, its {name} split begins with other examples")

    def test_fingerprint_is_a_hash_of_the_content(self) -> None:
        """It is a hash, the same in every process: not Python's ``hash`` nor an address."""
        fingerprint = self.data.fingerprint
        # hash() of a str is salted per process, and an address is new every time: keys would never match.
        if len(fingerprint) < 8 or not fingerprint.isalnum():
            hint = "hashlib.sha256(content).hexdigest()"
            raise Finding(f"{self.label}: the fingerprint {fingerprint!r} is not a hash", hint=hint)

    def test_batches_can_be_made(self) -> None:
        """``collate`` makes a batch of any number of examples, one included."""
        for name, split in self._splits().items():
            # The last batch of an epoch may hold a single example.
            for size in (1, min(4, len(split))):
                batch = next(iter(self.data.loader(split, SequentialSampler(size, size))))
                if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(batch)):
                    raise Finding(f"{self.label}: a batch of {name} holds no tensor: {type(batch).__name__}")

    def test_labels_are_classes_of_the_data(self) -> None:
        """Targets that are one whole number per example are below the fact ``output_size``, and not negative."""
        size = self.data.facts().get("output_size")
        for name, split in self._splits().items():
            count = min(len(split), LOOKED_AT)
            batch = next(iter(self.data.loader(split, SequentialSampler(count, count))))
            target = batch[-1] if isinstance(batch, (list, tuple)) and len(batch) == 2 else None
            if not (isinstance(target, Tensor) and target.dtype == torch.int64 and target.shape == (count,)):
                skip("its targets are no labels of classes")
            if not isinstance(size, int) or size < 2:
                skip("it does not say how many classes it has")
            wrong = [label for label in sorted(set(target.tolist())) if not 0 <= label < size]
            if wrong:
                raise Finding(f"{self.label}: {name} has the label {wrong[0]}, but output_size is {size}")

    def test_lengths_belong_to_the_examples(self) -> None:
        """``length``, where there is one, gives a number at least 0 for every example."""
        for name, split in self._splits().items():
            lengths = self.data.length(split)
            if lengths is None:
                skip("its examples have no length")
            array = np.asarray(lengths)
            if array.shape != (len(split),) or array.min() < 0:
                raise Finding(f"{self.label}: {len(split)} examples of {name} have lengths of shape {array.shape}")

    def test_declares_its_facts(self) -> None:
        """The return type is a class of ``Data`` whose typed attributes are there: models are checked against it."""
        # The plan checks models against the declared facts before any data is read.
        declared = declared_facts(self.resolved)
        offered = self.data.facts().keys() - {"data"}
        if declared is None and offered:
            raise Finding(
                f"{self.label}: the return type does not say what it offers ({', '.join(sorted(offered))})",
                hint=f"annotate it: def dataset(...) -> {type(self.data).__name__}",
            )
        missing = [name for name in declared or () if name not in offered]
        if missing:
            raise Finding(f"{self.label} declares the fact '{missing[0]}' and does not have it")

    def test_leaves_global_random_state_alone(self) -> None:
        """It draws from generators of its own."""
        self.data  # noqa: B018 (skips where the corpus is not here)
        with no_global_randomness(self.label, hint="draw from a torch.Generator or numpy.random.default_rng(seed)"):
            self._build()

    def _build(self) -> Data:
        component = self.resolved
        try:
            data = component.build({})
        except DataError as error:
            skip(f"its corpus cannot be read here: {error.what}")
        if not isinstance(data, Data):
            raise Finding(f"{self.label} must give a lab.Data, not {type(data).__name__}")
        return data

    def _splits(self) -> dict[str, Any]:
        return {name: getattr(self.data, name) for name in ("train", "valid", "test") if getattr(self.data, name)}


def _digest(example: Any) -> bytes:
    # repr of a tensor leaves out most of its values.
    plain = tree_map_only((Tensor, np.ndarray), lambda array: array.tolist(), example)
    return hashlib.sha256(repr(plain).encode()).digest()
