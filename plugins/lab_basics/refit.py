"""Refit: the recipe of a finished run, trained on its training and its validation examples."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch.utils.data import ConcatDataset, Dataset, TensorDataset

from lab import Data, use
from lab.errors import DataError, LabError
from lab.registry.component import as_use

if TYPE_CHECKING:
    from lab.study.experiment import Experiment, Task

__all__ = ["all_examples", "joined", "refitted"]


def all_examples(dataset: Data) -> Data:
    """Training examples of a dataset together with its validation examples, which are trained on, too.

    For the final training, once settings are chosen; ``valid_loss`` is a second training loss then. Vocabularies and
    scales stay those of the training examples; the test split stays apart.

    Args:
        dataset: the data.

    Raises:
        DataError: there are no validation examples, or examples of their kind cannot be joined.
    """
    if dataset.valid is None:
        raise DataError("there are no validation examples to train on", where=type(dataset).__name__)
    train = joined(dataset.train, dataset.valid)
    note = f"the {len(dataset.valid):,} validation examples are trained on, too: valid_loss says nothing of new ones"
    fingerprint = dataset.fingerprint and hashlib.sha256(f"all examples of {dataset.fingerprint}".encode()).hexdigest()
    return attrs.evolve(dataset, train=train, fingerprint=fingerprint, notes=(*dataset.notes, note))


def joined(one: Any, other: Any) -> Any:
    """Return the examples of two splits as one split.

    A split that gives whole batches (``__getitems__``) says how it is joined with another by ``__add__``.

    Raises:
        DataError: it does not.
    """
    if isinstance(one, TensorDataset) and isinstance(other, TensorDataset):
        return TensorDataset(*(torch.cat(parts) for parts in zip(one.tensors, other.tensors, strict=True)))
    # torch's own __add__ makes a ConcatDataset, which knows no __getitems__
    has_own = getattr(type(one), "__add__", None) not in (None, Dataset.__add__)
    if has_own and type(one) is type(other):
        return one + other
    if hasattr(one, "__getitems__") or hasattr(other, "__getitems__"):
        raise DataError(
            f"examples of {type(one).__name__} and {type(other).__name__} cannot be joined",
            hint="give the split a method __add__ that returns the examples of both",
        )
    return ConcatDataset([one, other])


def refitted(experiment: Experiment | Task) -> Experiment:
    """Return the recipe with all examples; the weights are those of the last epoch, since none can be chosen.

    Raises:
        LabError: it is a training function, or trains on all examples already.
    """
    from lab.study.experiment import Experiment

    if not isinstance(experiment, Experiment):
        raise LabError("a training function reads its own data", hint="give the function a parameter for the last fit")
    dataset = as_use(experiment.dataset)
    if dataset.name == "all_examples":
        raise LabError("this run was trained on all examples already", hint="lab predict KEY TABLE")
    callbacks = [
        as_use(each).with_params({"select": "last", "monitor": "valid_loss"})
        if as_use(each).name.rpartition(":")[2] == "checkpoint"
        else each
        for each in experiment.callbacks
    ]
    # metrics would be of examples that were trained on
    return attrs.evolve(experiment, dataset=use("all_examples", dataset=dataset), callbacks=callbacks, metrics=())
